# SPDX-License-Identifier: Apache-2.0
"""Arguments of a run that are left out come from those that are given, or are asked for."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels, samplers

PLAN = pydiffcore.trace(samplers.heun, levels.karras(4))


def zero(x, sigma):
    return 0.5 * x


def test_what_is_left_out_is_that_of_the_state():
    """Shape, seeds and dtype from x and the noise; arrays and lists as tensors."""
    plan = pydiffcore.trace(samplers.ancestral, levels.karras(4))
    rng = np.random.default_rng(0)
    x, z = plan.init_scale * rng.normal(size=(3, 2, 5)), rng.normal(size=(plan.draws, 3, 2, 5))
    whole = {"shape": (2, 5), "seeds": range(3), "dtype": torch.float64}
    expected = pydiffcore.sample(
        zero, plan, x=torch.from_numpy(x), noise=torch.from_numpy(z), **whole
    )
    assert expected.dtype == torch.float64
    for given_x, given_z in ((x, z), (torch.from_numpy(x), list(z)), (x, list(torch.tensor(z)))):
        assert torch.equal(pydiffcore.sample(zero, plan, x=given_x, noise=given_z), expected)
    assert torch.equal(pydiffcore.sample(zero, plan, x=x, noise=z, batch=2), expected)
    single = pydiffcore.sample(zero, plan, x=torch.from_numpy(x).float(), noise=list(z.astype("f")))
    assert single.dtype == torch.float32
    mixed = pydiffcore.sample(zero, plan, x=torch.from_numpy(x).float(), noise=z)
    assert mixed.dtype == torch.float64  # the wider of the two
    assert pydiffcore.sample(zero, plan, x=x, noise=z, dtype=torch.float32).dtype == torch.float32
    seeded = pydiffcore.sample(zero, plan, noise=z, seeds=range(3))
    assert (seeded.shape, seeded.dtype) == ((3, 2, 5), torch.float64)
    *_, last = pydiffcore.trajectory(zero, plan, x=x, noise=z)
    assert torch.equal(last.x, expected)
    assert pydiffcore.sample(zero, PLAN, x=x).dtype == torch.float64  # which draws nothing
    still = x[::-1].astype(">f8")  # negative strides, other bytes, and nobody may write
    still.setflags(write=False)
    given = pydiffcore.sample(zero, PLAN, x=still, noise=[])
    assert torch.equal(given, pydiffcore.sample(zero, PLAN, x=x[::-1].copy()))
    assert torch.equal(pydiffcore.sample(zero, PLAN, x=list(torch.from_numpy(x))),
                       pydiffcore.sample(zero, PLAN, x=x))  # fmt: skip


@pytest.mark.parametrize(
    ("kw", "says"),
    [
        ({"seeds": range(3)}, "shape is missing"),
        ({"shape": (2,)}, "seeds is missing: one per sample, as x"),
        ({"x": torch.zeros(3, 2)}, "seeds is missing: ancestral draws its noise from them"),
        ({"noise": torch.zeros(4, 3, 2)}, "seeds is missing: one per sample, as x"),
        ({"x": torch.zeros(3, 2), "shape": (3, 2), "seeds": [1, 2, 3]}, "shape is that of one sa"),
        ({"x": torch.zeros(3, 2), "noise": torch.zeros(4, 3, 3)}, r"noise has shape \(4, 3, 3\)"),
        ({"x": torch.zeros(()), "noise": torch.zeros(4, 3, 2)}, r"x is tensor\(0\.\), expected"),
        ({"x": torch.zeros(()), "seeds": [1]}, r"x has shape \(\), expected 1 samples"),
    ],
)
def test_what_cannot_be_left_out_is_named(kw, says):
    plan = pydiffcore.trace(samplers.ancestral, levels.karras(4))
    with pytest.raises(ValueError, match=says):
        pydiffcore.sample(zero, plan, **kw)
