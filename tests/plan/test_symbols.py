# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from pydiffcore import levels, samplers, trace
from pydiffcore.plan import TraceError

LEVELS = levels.karras(5)


def traced(body, sigmas=LEVELS):
    return trace(lambda x, denoise, levels, noise: body(x, denoise, noise), sigmas)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (lambda x, D, z: x * D(x, 1.0), "product"),
        (lambda x, D, z: x / D(x, 1.0), "quotient"),
        (lambda x, D, z: 1.0 / D(x, 1.0), "reciprocal"),
        (lambda x, D, z: D(x, 1.0) ** 2, "power"),
        (lambda x, D, z: abs(D(x, 1.0)), "absolute"),
        (lambda x, D, z: D(x, 1.0) + 1.0, "adding the number"),
        (lambda x, D, z: D(x, 1.0) if x > 0 else x, "comparison"),
        (lambda x, D, z: D(x, 1.0) if x else x, "truth"),
        (lambda x, D, z: D(x, 1.0).norm(), "attribute 'norm'"),
        (lambda x, D, z: D(x, 1.0)[0], "element"),
        (lambda x, D, z: float(D(x, 1.0)), "value"),
        (lambda x, D, z: torch.tanh(D(x, 1.0)), "torch.tanh"),
        (lambda x, D, z: torch.lerp(x, D(x, 1.0), 0.5), "torch.lerp"),
    ],
)
def test_what_is_not_linear_is_refused_with_a_way_out(body, what):
    with pytest.raises(TraceError, match=what) as raised:
        traced(body)
    assert "pydiffcore.direct" in str(raised.value)


def test_division_by_zero_is_refused():
    with pytest.raises(ZeroDivisionError, match="divided its state by 0"):
        traced(lambda x, D, z: D(x, 1.0) / 0.0)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_query_needs_a_level(sigma):
    with pytest.raises(ValueError, match="sigma is"):
        traced(lambda x, D, z: D(x, sigma))


def test_numbers_of_any_kind_are_coefficients():
    plan = traced(lambda x, D, z: np.float64(2) * D(x, 1.0) + x / np.float32(4) - x * 1)
    assert plan.B[1, 0] == 2.0
    assert plan.A[1, 0, 0] == -0.75


def test_sum_starts_with_zero():
    plan = traced(lambda x, D, z: sum([D(x, 2.0), x, x]))
    assert (plan.B[1, 0], plan.A[1, 0, 0]) == (1.0, 2.0)


def test_a_sampler_that_returns_something_else():
    with pytest.raises(TraceError, match="returned NoneType"):
        traced(lambda x, D, z: D(x, 1.0) and None if False else (D(x, 1.0), None)[1])


def test_a_sampler_without_a_call():
    with pytest.raises(ValueError, match="never called the denoiser"):
        traced(lambda x, D, z: x)


def test_levels_must_be_levels():
    with pytest.raises(TypeError, match=r"levels\.explicit"):
        trace(samplers.euler, [3.0, 2.0, 0.0])


@pytest.mark.parametrize("clip", [(1, -1), (0, 0), (float("nan"), 1), "ab", (1,)])
def test_clip_is_an_ascending_pair(clip):
    with pytest.raises(ValueError, match="clip is"):
        trace(samplers.euler, LEVELS, clip=clip)
