# SPDX-License-Identifier: Apache-2.0
"""EDM's wrapper around a network, which its user says it is: nothing in a class tells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pydiffcore import prediction
from pydiffcore.denoiser import Denoiser

__all__ = ["edm_network"]


def edm_network(model: Any) -> Denoiser:
    """Return what is inside EDM's wrapper, so that its multiplications happen in the row's kernel.

    D(x; σ) = c_skip x + c_out F(c_in x; log(σ)/4, class_labels) with F = ``model.model`` (EDM2:
    ``model.unet``).  That ``model(x, sigma, class_labels=None)`` does this and nothing besides is
    the caller's word, as for EDM's EDMPrecond and EDM2's Precond; VPPrecond, VEPrecond and
    iDDPMPrecond do something else.  Class labels become what the wrapper makes of them, and with
    ``use_fp16`` the network runs in float16 on CUDA.
    Karras et al. 2022 (arXiv 2206.00364), table 1 and eq. 7.

    Args:
        model: has ``sigma_data`` and ``model`` or ``unet``; ``label_dim`` and ``use_fp16`` if any.

    Raises:
        TypeError: it has not.

    """
    inner = getattr(model, "model", None) or getattr(model, "unet", None)
    scale = getattr(model, "sigma_data", None)
    if not callable(inner) or isinstance(scale, bool) or not isinstance(scale, int | float):
        raise TypeError(
            f"model is {type(model).__name__}, expected EDM's wrapper: a network as .model or "
            ".unet, and a number .sigma_data"
        )

    def call(x: Tensor, label: Tensor, class_labels: Tensor | None = None, **more: Any) -> Any:
        half = getattr(model, "use_fp16", False) and x.device.type == "cuda"
        if more.pop("force_fp32", False):
            half = False
        given = x.to(torch.float16 if half else torch.float32)
        labels = _labels(class_labels, int(getattr(model, "label_dim", 0) or 0), x.device)
        return inner(given, label.to(torch.float32), class_labels=labels, **more)

    return Denoiser(call, prediction.edm(float(scale)))


def _labels(labels: Tensor | None, classes: int, device: torch.device) -> Tensor | None:
    """Return labels as the wrapper hands them on: float32 [B, classes], zeros for none."""
    if classes == 0:
        return None
    if labels is None:
        return torch.zeros(1, classes, device=device)
    return labels.to(torch.float32).reshape(-1, classes)
