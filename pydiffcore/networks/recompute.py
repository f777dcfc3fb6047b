# SPDX-License-Identifier: Apache-2.0
"""Gradient checkpointing: forget a block's inner activations, compute them again in backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["call"]


def call(block: nn.Module, *inputs: Any, again: bool) -> Any:
    """Return block(*inputs), computed again in the backward pass where asked for."""
    if again and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)
