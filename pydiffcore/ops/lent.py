# SPDX-License-Identifier: Apache-2.0
"""A runner's state in a caller's hands between two rows: to keep, and to edit in place."""

from __future__ import annotations

import torch
from torch import Tensor

from pydiffcore.ops.checks import unchanged
from pydiffcore.ops.runner import Runner

__all__ = ["lend", "take_back"]


def lend(runner: Runner) -> Tensor:
    """Return the query for a caller to keep and to edit: no row writes it.

    An edit has no effect before :func:`take_back`.
    """
    return runner._state[0].clone() if runner._reference is None else runner.query


def take_back(runner: Runner, x: Tensor, grad: bool = False) -> None:
    """Go on from what :func:`lend` returned, as the caller left it.

    Whether it was edited is seen by comparing values: on a CUDA device that waits for it.

    Args:
        runner: between a network call and the row that uses it.
        x: what was lent.
        grad: whether autograd records: an edited run goes on in torch operations, for the edit may
            have a gradient, and the network's may need the state as it was.

    Raises:
        RuntimeError: the network changed its input in place where that is the state.

    """
    if runner._reference is not None:
        return  # x is the register
    if runner._shares_input:
        unchanged(runner._state, runner._version)
    if torch.equal(x, runner._state[0]) and not x.requires_grad:
        return
    if grad:
        runner._reference, runner._plain = runner._make_reference(x), False
        return
    runner._state[0].copy_(x.detach())
    runner._version = runner._state._version
