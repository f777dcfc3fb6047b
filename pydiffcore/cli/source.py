# SPDX-License-Identifier: Apache-2.0
"""Where a network comes from: a checkpoint, or a function of the user's own module."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from pydiffcore.adapters.autoencoder import KLCodec
    from pydiffcore.data import Span
    from pydiffcore.denoiser import Denoiser
    from pydiffcore.train.presets import Cell

__all__ = ["OWN", "Source", "is_local", "open_source", "takes"]

OWN = "own"


@dataclass(frozen=True)
class Source:
    """A network and what is known about it.

    Attributes:
        model: a Denoiser, or a callable that says nothing about its prediction.
        shape: of one sample, None where only the user knows.
        classes: number of classes, None where it is unknown or there are none.
        where: what :func:`open_source` opens it again with, and the SHA-256 of its file.
        span: of data in floating point, whose units files of numbers have; None elsewhere.
        cell: how a checkpoint was trained, None where nobody knows.
        codec: what decodes the samples, None where they are what is wanted.
        note: what a user should know of the choice of weights, or "".

    """

    model: Denoiser | Callable[..., Any]
    shape: tuple[int, ...] | None
    classes: int | None
    where: Mapping[str, str]
    span: Span | None = None
    cell: Cell | None = None
    codec: KLCodec | None = None
    note: str = ""

    @property
    def network(self) -> Callable[..., Any]:
        """The network itself."""
        from pydiffcore.denoiser import Denoiser

        return self.model.network if isinstance(self.model, Denoiser) else self.model

    def in_units(self, x0: Tensor) -> Tensor:
        """Return samples in the units of the data that the network was trained on."""
        return x0 if self.span is None else self.span.restored(x0)

    def written(self, x0: Tensor, numbers: bool) -> Tensor:
        """Return samples as a file has them: of numbers in uint8 or the data's units, or x0."""
        if self.codec is None:
            return self.in_units(x0) if numbers else x0
        pixels = self.codec.decode(self.in_units(x0)).cpu()
        return pixels if numbers else pixels.float() / 127.5 - 1

    def pixels(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what is written of a sample."""
        return shape if self.codec is None else self.codec.pixels(shape)


def open_source(where: Mapping[str, str], device: str = "cpu") -> Source:
    """Open a network.

    Args:
        where: ``checkpoint`` with a file or directory, and ``average`` with the name of one of its
            averages or without; or ``function`` with ``module:function``.
            ``codec`` names what decodes its samples, or is own for what its training names.
        device: where its weights are put, if it has any.

    """
    import torch

    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device is {device}, but torch finds no CUDA device")
    given = where.get("checkpoint")
    source = _checkpoint(given, where.get("average")) if given else _function(where["function"])
    network: Any = source.network
    if hasattr(network, "parameters"):
        network.to(device).eval()
    return _decoded(source, where.get("codec"), device)


def _decoded(source: Source, codec: str | None, device: str) -> Source:
    """Return a source with its codec, if one is wanted, and named as what was opened."""
    where = dict(source.where)
    own = where.pop("codec", None)
    name = own if codec == OWN else codec
    if not name:
        return replace(source, where=where)
    from pydiffcore.adapters.autoencoder import KLCodec

    where["codec"] = name
    return replace(source, where=where, codec=KLCodec.open(name, device))


def takes(network: Callable[..., Any], argument: str) -> bool:
    """Whether a network can be called with an argument of this name."""
    function = getattr(network, "forward", network)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _checkpoint(given: str, average: str | None) -> Source:
    from pydiffcore.train.model import built
    from pydiffcore.train.stored import stored

    held = stored(given, average)
    stem, model = held.path, built(held)
    described = json.loads(stem.with_name(f"{stem.name}.json").read_bytes())
    where = {"checkpoint": str(stem), "sha256": str(described["sha256"])}
    if held.average:
        where["average"] = held.average
    training = held.meta.get("training") or {}
    if own := training.get("config", {}).get("data", {}).get("codec"):
        where["codec"] = str(own)
    if model.observed is not None:
        raise ValueError(
            f"{stem} is conditioned on observations: expected a draw from Python, with "
            "load_model(...).denoiser(observation=...)"
        )
    note = f"{stem}: {held.note}" if held.note else ""
    return Source(
        model.denoiser(), model.shape, model.classes or None, where, model.span, model.cell,
        note=note,
    )  # fmt: skip


def _function(name: str) -> Source:
    """Import ``module:function``; call it where it needs no arguments."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"--network is {name!r}, expected module:function")
    search_here()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ImportError(f"--network {name}: {error}") from error
    if not hasattr(module, attribute):
        raise ValueError(f"--network {name}: {module_name} has no {attribute!r}")
    model = _model(name, getattr(module, attribute))
    where = {"function": name}
    if getattr(module, "__file__", None):
        where |= {"source": str(module.__file__), "sha256": _sha256(Path(str(module.__file__)))}
    return Source(model, None, None, where)


def search_here() -> None:
    """Let modules of the working directory be imported, as ``python -m`` does."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def is_local(name: str) -> bool:
    """Whether the module of ``module:function`` is a file below the working directory."""
    search_here()
    try:
        found = importlib.util.find_spec(name.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        return False
    if found is None or not found.has_location:  # "frozen" and "built-in" are no paths
        return False
    return Path(str(found.origin)).resolve().is_relative_to(Path.cwd().resolve())


def _model(name: str, found: Any) -> Any:
    """Return what a function makes, or the function itself where it needs arguments."""
    from pydiffcore.denoiser import Denoiser

    is_model = isinstance(found, Denoiser) or hasattr(found, "parameters")
    if (inspect.isclass(found) or not is_model) and callable(found) and _needs_nothing(found):
        found = found()
    if not (isinstance(found, Denoiser) or callable(found)):
        raise ValueError(
            f"--network {name} gave {type(found).__name__}, expected a network, a "
            "pydiffcore.Denoiser or a function D(x, sigma)"
        )
    return found


def _needs_nothing(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in positional for p in parameters)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
