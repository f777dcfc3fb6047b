# SPDX-License-Identifier: Apache-2.0
"""A drawing: everything that fixes the samples, as JSON has it, so that they can be drawn again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn

from pydiffcore.cli.source import Source, takes

if TYPE_CHECKING:
    from torch import Tensor

    from pydiffcore.denoiser import Denoiser
    from pydiffcore.plan import Plan
    from pydiffcore.prediction import Prediction

__all__ = ["Drawing", "draw", "machine", "read_drawing"]

FORMAT = "pydiffcore drawing 1"


@dataclass(frozen=True)
class Drawing:
    """What was drawn; the plan goes beside it.

    Attributes:
        network: what the network is opened with, and the SHA-256 of its file.
        plan_hash: of the plan.
        shape: of one sample.
        seeds: one per sample.
        batch: samples per network call, of which a network's last bits can depend.
        classes: one per sample, or None.
        guidance: weight w of u + w(c − u), or None.
        interval: levels between which guidance acts, or None for all.
        dtype, io_dtype: of the state, and of the network's input and output.
        device, backend: where and by what it ran.
        made_with: versions and machine, for the reader.

    """

    network: dict[str, str]
    plan_hash: str
    shape: tuple[int, ...]
    seeds: tuple[int, ...]
    batch: int
    classes: tuple[int, ...] | None
    guidance: float | None
    interval: tuple[float, float] | None
    dtype: str
    io_dtype: str
    device: str
    backend: str
    made_with: dict[str, Any]

    def text(self) -> str:
        """Return the drawing as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)})


def read_drawing(text: str, origin: str) -> Drawing:
    """Read a drawing from its JSON; ValueError where it is none."""
    try:
        content = json.loads(text)
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        listed = {f.name: content[f.name] for f in fields(Drawing)}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{origin} holds no {FORMAT!r}: {error!r}") from None
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in listed.items()}
    return Drawing(**values)


def machine() -> dict[str, Any]:
    """Return versions and machine: what the last bits of a network's output can depend on."""
    import numpy
    import torch

    import pydiffcore
    from pydiffcore.ops import native

    return {
        "pydiffcore": pydiffcore.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "target": native.target(),
        "threads": torch.get_num_threads(),
    }


def draw(
    drawing: Drawing,
    plan: Plan,
    source: Source,
    progress: bool | Callable[[int, int], None] = False,
) -> Tensor:
    """Draw the samples, [N, *shape]."""
    import torch

    from pydiffcore.sample import sample

    if plan.hash != drawing.plan_hash:
        raise ValueError(f"the plan has the hash {plan.hash}, expected {drawing.plan_hash}")
    return sample(
        conditioned(drawing, plan, source),
        plan,
        shape=drawing.shape,
        seeds=drawing.seeds,
        batch=drawing.batch,
        dtype=getattr(torch, drawing.dtype),
        io_dtype=getattr(torch, drawing.io_dtype),
        device=drawing.device,
        backend=drawing.backend,
        progress=progress,
    ).cpu()


def recorded(plan: Plan) -> Prediction:
    """Return the prediction that a plan was traced for; its coefficients are in the plan."""
    from pydiffcore.prediction import Prediction

    def coefficients(sigma: Any) -> NoReturn:
        raise RuntimeError(f"{plan.prediction} is known at the levels of its plan only")

    return Prediction(plan.prediction, coefficients)


def conditioned(drawing: Drawing, plan: Plan, source: Source) -> Denoiser:
    """Return the source's denoiser with the drawing's classes and guidance."""
    import torch

    from pydiffcore.denoiser import Denoiser
    from pydiffcore.guidance import Guidance

    own = source.model
    if not isinstance(own, Denoiser):
        own = Denoiser(source.network, recorded(plan))
    if drawing.classes is None:
        if drawing.guidance is not None:
            raise ValueError("--guidance needs classes: give --class")
        return own
    if not takes(source.network, "class_labels"):
        raise ValueError("--class was given, but the network takes no argument class_labels")
    labels = torch.tensor(drawing.classes, device=drawing.device)
    guidance = own.guidance
    if drawing.guidance is not None:
        interval = drawing.interval or (0.0, float("inf"))
        guidance = Guidance(drawing.guidance, {"class_labels": None}, interval)
    return replace(own, condition={**own.condition, "class_labels": labels}, guidance=guidance)
