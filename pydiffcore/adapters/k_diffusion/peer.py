# SPDX-License-Identifier: Apache-2.0
"""The peer itself: modules of an installed k-diffusion, without what its package imports first.

``import k_diffusion`` needs torchvision, clip, scikit-image and more for training and evaluation;
its samplers need none of that.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["missing", "peer"]

NEEDS = ("k_diffusion", "torchsde", "torchdiffeq", "scipy", "tqdm")


def missing() -> list[str]:
    """Return what k-diffusion's samplers need and is not installed."""
    return [name for name in NEEDS if find_spec(name) is None]


def peer(name: str) -> ModuleType:
    """Return ``k_diffusion.<name>``, "sampling" or "external".

    Where the whole package cannot be imported its parts are, beside a ``utils`` that has the one
    function they call.

    Raises:
        ImportError: k-diffusion, or what its samplers need, is not installed.

    """
    if absent := missing():
        raise ImportError(f"k-diffusion's samplers need {', '.join(absent)}")
    try:
        return import_module(f"k_diffusion.{name}")
    except ImportError:
        pass
    for part in [part for part in sys.modules if part.split(".")[0] == "k_diffusion"]:
        del sys.modules[part]  # what a failed import left behind
    spec = find_spec("k_diffusion")
    assert spec is not None
    package, tools = module_from_spec(spec), ModuleType("k_diffusion.utils")
    tools.append_dims = _append_dims  # type: ignore[attr-defined]
    package.utils = tools  # type: ignore[attr-defined]
    sys.modules.update({"k_diffusion": package, "k_diffusion.utils": tools})
    return import_module(f"k_diffusion.{name}")


def _append_dims(x: Any, ndim: int) -> Any:
    return x[(..., *[None] * (ndim - x.ndim))]
