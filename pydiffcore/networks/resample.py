# SPDX-License-Identifier: Apache-2.0
"""Halving and doubling of images by a separable filter.

[1, 1]        mean of 2×2 pixels, and copies
[1, 3, 3, 1]  the FIR filter of Karras et al. 2020 (arXiv 1912.04958), used by NCSN++ of
              Song et al. 2021 (arXiv 2011.13456), appendix H
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BOX", "FIR", "Resample"]

BOX = (1.0, 1.0)
FIR = (1.0, 3.0, 3.0, 1.0)


class Resample(nn.Module):
    """Halve (step −1), double (+1) or leave (0) height and width.

    Args:
        step: −1, 0 or +1.
        taps: of the filter, an even number of them; outside the image is 0.
    """

    kernel: Tensor

    def __init__(self, step: int, taps: Sequence[float] = BOX) -> None:
        super().__init__()
        self.step, self.box = step, tuple(taps) == BOX
        row = torch.tensor(taps) / sum(taps)
        kernel = torch.outer(row, row)[None, None]
        self.register_buffer("kernel", kernel, persistent=False)
        self.margin = (len(taps) - 2) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, H/2, W/2], [B, C, 2H, 2W] or x of x [B, C, H, W]."""
        if not self.step:
            return x
        if self.box:
            if self.step < 0:
                return functional.avg_pool2d(x, 2)
            return functional.interpolate(x, scale_factor=2, mode="nearest")
        kernel = self._kernels(x)
        if self.step < 0:
            return functional.conv2d(x, kernel, stride=2, padding=self.margin, groups=x.shape[1])
        return functional.conv_transpose2d(
            x, 4 * kernel, stride=2, padding=self.margin, groups=x.shape[1]
        )

    def blur(self, x: Tensor, margin: int) -> Tensor:
        """Return the filtered image at full resolution, with a margin of zeros around x."""
        return functional.conv2d(x, self._kernels(x), padding=margin, groups=x.shape[1])

    def _kernels(self, x: Tensor) -> Tensor:
        return self.kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)
