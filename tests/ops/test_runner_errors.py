# SPDX-License-Identifier: Apache-2.0
"""What a runner refuses: wrong outputs, values that are not finite, wrong arguments."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import Runner, levels, prediction, samplers

PLAN = pydiffcore.trace(samplers.dpmpp_2m_sde, levels.karras(6, 0.02), prediction.edm())
SHAPE, SEEDS = (3, 4), range(5)


def advance(F, *, plan=PLAN, calls=1, **kw):
    runner = Runner(plan, SHAPE, SEEDS, **kw)
    runner.start()
    for _ in range(calls):
        runner.advance(F)


GOOD = torch.zeros((5, *SHAPE))


@pytest.mark.parametrize(
    ("F", "error", "says"),
    [
        (
            np.zeros((5, 3, 4)),
            TypeError,
            "output, is ndarray, expected a torch",
        ),
        (
            GOOD.double(),
            TypeError,
            "expected the io_dtype torch.float32",
        ),
        (GOOD[:4], ValueError, r"has shape \(4, 3, 4\), expected \(5, 3, 4\)"),
        (GOOD.to("meta"), ValueError, "is on meta, expected cpu"),
        (GOOD.int(), TypeError, "has dtype"),
    ],
)
def test_a_wrong_output_is_named(F, error, says):
    with pytest.raises(error, match=says):
        advance(F)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_output_that_is_not_finite_names_call_and_sample(bad, backend):
    F = GOOD.clone()
    F[3, 1, 2] = bad
    with pytest.raises(FloatingPointError, match=r"at call 0 \(sigma = 80\), first in sample 3"):
        advance(F, backend=backend)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_an_output_that_overflows_in_the_row_is_named(backend):
    """Finite in float64, or before guidance, but not in the row's float32."""
    runner = Runner(PLAN, SHAPE, SEEDS, io_dtype=torch.float64, backend=backend)
    runner.start()
    with pytest.raises(FloatingPointError, match="first in sample 0"):
        runner.advance(torch.full((5, *SHAPE), 1e39, dtype=torch.float64))
    runner = Runner(PLAN, SHAPE, SEEDS, guidance=np.full(6, 3.0), backend=backend)
    runner.start()
    with pytest.raises(FloatingPointError, match="first in sample 0"):
        runner.advance(torch.full((5, *SHAPE), 3e38), torch.full((5, *SHAPE), -3e38))


def test_a_start_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="x holds a value that is not finite"):
        Runner(PLAN, SHAPE, SEEDS).start(torch.full((5, *SHAPE), np.nan))


def test_more_rows_than_the_plan_has():
    with pytest.raises(RuntimeError, match="row 7 of a plan with 6 network calls"):
        advance(GOOD, calls=7)
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        Runner(PLAN, SHAPE, SEEDS).advance(GOOD)


@pytest.mark.parametrize(
    ("kw", "error", "says"),
    [
        ({"dtype": torch.float16}, TypeError, "dtype is torch.float16, expected one of"),
        ({"io_dtype": torch.int8}, TypeError, "io_dtype is torch.int8"),
        ({"seeds": [1, -2]}, ValueError, "seeds"),
        ({"seeds": []}, ValueError, "seeds"),
        ({"seeds": [2**64]}, ValueError, "seeds"),
        ({"seeds": [0.5]}, (TypeError, ValueError), "seeds"),
        ({"shape": (-1, 2)}, ValueError, "shape is"),
        ({"backend": "gpu"}, ValueError, "backend is 'gpu'"),
        ({"guidance": np.ones(3)}, ValueError, r"guidance has shape \(3,\), expected \(6,\)"),
        ({"guidance": np.full(6, np.nan)}, ValueError, "guidance holds"),
        ({"noise": torch.zeros(1)}, ValueError, r"noise has shape \(1,\), expected \(5, 5, 3, 4\)"),
        ({"noise": "x"}, TypeError, "noise is str"),
        ({"noise": torch.full((5, 5, 3, 4), np.nan)}, ValueError, "noise holds"),
    ],
)
def test_a_wrong_argument_is_named(kw, error, says):
    kw = {"shape": SHAPE, "seeds": SEEDS, **kw}
    with pytest.raises(error, match=says):
        Runner(PLAN, **kw)
