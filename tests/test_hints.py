# SPDX-License-Identifier: Apache-2.0
"""Names and arguments as other libraries' users type them are answered with what is meant."""

import inspect
import re
from functools import partial

import numpy as np
import pytest

from pydiffcore import levels, prediction, process, samplers, trace
from pydiffcore.adapters import diffusers as schedulers


@pytest.mark.parametrize("module", [samplers, levels, prediction, process])
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
        (samplers, "euler_ancestrl", "euler_ancestral"), (process, "linear_beta", "linear_betas"),
    ],
)  # fmt: skip
def test_a_name_that_is_nearly_there(module, name, near):
    with pytest.raises(AttributeError, match=f"did you mean '{near}'"):
        getattr(module, name)
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqqq'$"):
        module.qqqqqq  # noqa: B018


@pytest.mark.parametrize("name", ["ncsnv2_stp", "cosine", "ddim_uniform", "TABLEUX", "res_cfg"])
def test_what_is_no_slip_of_the_hand_is_not_guessed_at(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'$"):
        getattr(samplers, name)


def test_schedulers_are_said_to_be_in_their_adapter():
    for name in schedulers.FAMILIES:
        with pytest.raises(AttributeError, match=rf"pydiffcore\.adapters\.diffusers\.{name}$"):
            getattr(samplers, name)


@pytest.mark.parametrize(
    ("module", "name", "here"),
    [
        (samplers, "ncsn", "langevin"), (samplers, "ald", "langevin"),
        (samplers, "edm_sampler", "heun"), (samplers, "flow_match_euler", "euler"),
        (samplers, "heunpp", "heunpp2"), (samplers, "res_2m", "res_multistep"),
        (levels, "use_karras_sigmas", "karras"), (levels, "beta57", "beta_timesteps"),
        (levels, "gits", "optimal"), (levels, "logSNR", "uniform_lambda"),
        (levels, "lu", "uniform_lambda"), (levels, "flux", "flow_shift"),
        (levels, "sd3", "flow_shift"), (levels, "flow", "flow_shift"),
        (levels, "time_quadratic", "uniform_t"),
        (process, "linear", "discrete"), (process, "scaled_linear", "discrete"),
        (process, "cosine", "discrete"), (process, "squaredcos_cap_v2", "discrete"),
        (process, "sigmoid", "discrete"), (process, "laplace", "discrete"),
        (process, "zsnr", "discrete"), (process, "rectified", "flow"),
    ],
)  # fmt: skip
def test_a_name_that_has_a_hint(module, name, here):
    with pytest.raises(AttributeError, match=f"it is {here}"):
        getattr(module, name)


def test_names_of_others_that_are_ours_exactly():
    from pydiffcore.samplers import euler_ancestral, uni_pc

    assert euler_ancestral is samplers.ancestral
    assert samplers.dpm2_ancestral is samplers.dpm_2_ancestral
    assert samplers.dpmpp_2s_a is samplers.dpmpp_2s_ancestral
    bound = {"order": 3, "lower_order_final": True, "variant": "bh1"}
    listed = levels.karras(6)
    assert trace(uni_pc, listed) == trace(samplers.unipc, listed, **bound)
    assert trace(uni_pc, listed).hash == trace(samplers.unipc, listed, **bound).hash
    assert trace(uni_pc, listed, order=2).sampler.startswith("unipc(order=2")


def test_aliases_are_no_samplers_of_their_own():
    names = dir(samplers)
    assert not set(samplers.ALIASES) & (set(names) | set(samplers.ELSEWHERE))
    for alias in samplers.ALIASES.values():
        whole = alias.func if isinstance(alias, partial) else alias
        assert getattr(samplers, whole.__name__) is whole
        inspect.signature(alias)
        assert trace(alias, levels.karras(5, process=process.vp())).nfe >= 5


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
