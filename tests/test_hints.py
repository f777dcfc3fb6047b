# SPDX-License-Identifier: Apache-2.0
"""Names and arguments as other libraries' users type them are answered with what is meant."""

import re

import numpy as np
import pytest

from pydiffcore import levels, prediction, process, samplers


@pytest.mark.parametrize("module", [samplers, levels, prediction])
def test_names_of_others_are_answered_with_names_that_are_there(module):
    for name, here in module.ELSEWHERE.items():
        with pytest.raises(
            AttributeError, match=rf"no attribute '{name}': it is {re.escape(here)}"
        ):
            getattr(module, name)
        assert hasattr(module, re.match(r"\w+", here)[0])


@pytest.mark.parametrize(
    ("module", "name", "near"),
    [
        (samplers, "dpmpp2m", "dpmpp_2m"), (samplers, "Euler", "euler"),
        (levels, "karas", "karras"), (prediction, "velocty", "velocity"),
    ],
)  # fmt: skip
def test_a_name_that_is_nearly_there(module, name, near):
    with pytest.raises(AttributeError, match=f"did you mean '{near}'"):
        getattr(module, name)
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqqq'$"):
        module.qqqqqq  # noqa: B018


@pytest.mark.parametrize(
    "use",
    [
        lambda betas: levels.trailing(10, betas),
        lambda betas: levels.uniform_t(10, betas),
        *(getattr(prediction, name) for name in ("eps", "x0", "v", "score", "velocity")),
    ],
)
def test_betas_are_no_process(use):
    with pytest.raises(TypeError, match=r"process is ndarray, .*process\.discrete\(betas\)"):
        use(process.linear_betas())
    assert use(process.discrete(process.linear_betas())) is not None
    assert np.ndim(process.linear_betas()) == 1
