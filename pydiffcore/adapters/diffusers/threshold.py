# SPDX-License-Identifier: Apache-2.0
"""Dynamic thresholding, Saharia et al. 2022 (arXiv 2205.11487), section 2.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["threshold"]


def threshold(D: Tensor, config: Mapping[str, Any]) -> Tensor:
    """Clip each sample at s, the quantile of its |D|, and divide by s; s in [1, sample_max_value].

    Args:
        D: [B, ...] float32 or float64.
        config: dynamic_thresholding_ratio and sample_max_value.

    """
    flat = D.reshape(len(D), -1)
    s = torch.quantile(flat.abs(), config["dynamic_thresholding_ratio"], dim=1)
    s = s.clamp(min=1, max=config["sample_max_value"])[:, None]
    return (torch.clamp(flat, -s, s) / s).reshape(D.shape)
