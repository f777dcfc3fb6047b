# SPDX-License-Identifier: Apache-2.0
"""An average of a width that is chosen after the training, as a model.

The training kept snapshots of averages of kind "power"; see :mod:`pydiffcore.train.posthoc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pydiffcore.train import checkpoint
from pydiffcore.train.model import Model, built
from pydiffcore.train.posthoc import combined, exponent, weights
from pydiffcore.train.stored import Stored, described, stored

__all__ = ["Reconstruction", "misfit", "reconstructed"]


@dataclass(frozen=True)
class Reconstruction:
    """A reconstructed average.

    Attributes:
        model: in evaluation mode; its ``meta`` says what it was made of.
        width, time: of the average.
        kept: (width, step) of each snapshot that it was made of.
        misfit: of the profile; see :func:`misfit`.
        left_out: what was wrong with snapshots that are not whole.
    """

    model: Model
    width: float
    time: float
    kept: tuple[tuple[float, float], ...]
    misfit: float
    left_out: tuple[str, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write the model, to be sampled from; the path is its name without ending."""
        checkpoint.save(path, self.model.network.state_dict(), self.model.meta)


def reconstructed(folder: str | Path, width: float, time: float | None = None) -> Reconstruction:
    """Return the average of a training that this width would have given.

    Args:
        folder: of the training, with ``snapshots/`` of averages of kind "power".
        width: of the average, relative to the time, in (0, 0.28].
        time: the step at which it would have been taken; the last snapshot's where None.

    Raises:
        FileNotFoundError: the folder has no snapshots.
        ValueError: the width or the time is out of range, or no snapshot is whole.

    Source: Karras et al. 2024 (arXiv 2312.02696), section 3.
    """
    folder = Path(folder)
    exponent(width)  # refuses a width before anything is read
    names, kept, faults = _snapshots(folder)
    last = max(step for _, step in kept)
    at = last if time is None else float(time)
    if not 0 < at <= last:
        raise ValueError(f"time is {at:g}, expected a step above 0, at most {last:g}, the last of "
                         f"{folder / 'snapshots'}")  # fmt: skip
    base = stored(folder)
    made = _model(base, names, kept, (width, at))
    return Reconstruction(made, width, at, tuple(kept), misfit(kept, (width, at)), tuple(faults))


def misfit(kept: Sequence[tuple[float, float]], wanted: tuple[float, float]) -> float:
    """Return how far the combination's profile is from the wanted one, as a share of its norm.

        sqrt(∫ (Σ c_i p_i − p)² dt / ∫ p² dt)

    Args:
        kept, wanted: of ``posthoc.weights``.
    """
    factors = weights(kept, wanted)
    last = max(time for _, time in kept)
    t = last * (np.arange(100_000) + 0.5) / 100_000
    total = sum(c * _profile(t, *each) for c, each in zip(factors, kept, strict=True))
    exact = _profile(t, *wanted)
    return float(np.sqrt(((total - exact) ** 2).sum() / (exact**2).sum()))


def _profile(t: Any, width: float, time: float) -> Any:
    gamma = exponent(width)
    return np.where(t <= time, (gamma + 1) / time * np.minimum(t / time, 1.0) ** gamma, 0.0)


def _snapshots(folder: Path) -> tuple[list[Path], list[tuple[float, float]], list[str]]:
    """Return the whole snapshots of a training, their (width, step), and the others' faults."""
    names = sorted((folder / "snapshots").glob("step-*.json"))
    if not names:
        raise FileNotFoundError(
            f"{folder / 'snapshots'} holds none: a training keeps them of averages of kind "
            "'power', as averages.wide = {kind = 'power', width = 0.1}"
        )
    whole, kept, faults = [], [], []
    for name in names:
        try:
            _, meta = checkpoint.load(name)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
            continue
        if meta["step"] > 0:
            whole.append(name)
            kept.append((float(meta["width"]), float(meta["step"])))
    if not whole:
        raise ValueError(f"{folder / 'snapshots'} holds no whole one: {'; '.join(faults)}")
    return whole, kept, faults


def _model(
    base: Stored,
    names: Sequence[Path],
    kept: Sequence[tuple[float, float]],
    wanted: tuple[float, float],
) -> Model:
    """Return the training's model with the combination of its snapshots as weights."""
    config = base.meta["training"]["config"]
    about = described(
        base.meta["network"], config, base.meta["shape"], base.meta.get("units"),
        round(wanted[1]), f"width {wanted[0]:g}",
    )  # fmt: skip
    about["training"]["snapshots"] = [list(each) for each in kept]
    like = built(base).network
    own = like.state_dict()
    each = (checkpoint.load(name)[0] for name in names)
    made = combined(each, kept, wanted, dict(like.named_parameters()))
    tensors = {name: t.to(own[name].dtype) if name in own else t for name, t in made.items()}
    return built(Stored(base.path, "", tensors, about))
