# SPDX-License-Identifier: Apache-2.0
"""The kernels of the squared error refuse what they cannot take, by its name."""

import pytest
import torch

from pydiffcore.ops import native


def operands(**changed):
    return {"F": torch.ones(2, 3), "target_": torch.zeros(2, 3), **changed}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"F": torch.ones(2, 3).double()}, TypeError, "F has dtype torch.float64"),
        ({"target_": torch.zeros(2, 3).bfloat16()}, TypeError, "target has dtype torch.bfloat16"),
        ({"target_": torch.zeros(2, 4)}, ValueError, "F has shape .* expected that of target"),
        ({"F": torch.ones(3, 2).T}, ValueError, "F has shape .* contiguous"),
        ({"F": torch.ones(0, 3), "target_": torch.ones(0, 3)}, ValueError, "at least one element"),
        ({"F": torch.ones(2, 0), "target_": torch.ones(2, 0)}, ValueError, "at least one element"),
        ({"factor": torch.ones(3)}, ValueError, r"factor has shape \(3,\), expected \(2,\)"),
        ({"factor": torch.ones(2).double()}, TypeError, "factor has dtype torch.float64"),
        ({"F": torch.ones(2, 3, device="meta")}, ValueError, "F is on meta"),
    ],
)
def test_bad_operands(changed, error, message):
    with pytest.raises(error, match=message):
        native.squared_error(**operands(**changed))


@pytest.mark.parametrize("scale", [torch.ones(3), torch.ones(2, 1), torch.ones(1)])
def test_bad_scales(scale):
    with pytest.raises(ValueError, match=r"scale has shape .* expected \(2,\) or \(\)"):
        native.squared_gradient(**operands(), scale=scale)


def test_a_small_one_by_hand():
    F, target = torch.tensor([[1.0, 2.0], [3.0, 5.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    factor = torch.tensor([2.0, 0.5])
    assert native.squared_error(F, target).tolist() == [2.5, 10.0]
    assert native.squared_error(F, target, whole=True) == 6.25
    assert native.squared_error(F, target, factor, whole=True) == 5.0
    assert native.squared_gradient(F, target, factor).tolist() == [[2.0, 4.0], [1.0, 2.0]]
    assert native.squared_gradient(F, target, torch.tensor(3.0))[0].tolist() == [3.0, 6.0]
