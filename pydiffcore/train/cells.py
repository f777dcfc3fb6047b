# SPDX-License-Identifier: Apache-2.0
"""Any cell of the design space: a preset's, with parts replaced by their names, as files have them.

process = { name = "vp", beta_max = 10.0 }
prediction = { name = "v" }
law = { name = "uniform_t" }
weight = { name = "min_snr", gamma = 5.0 }
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pydiffcore import prediction as predictions
from pydiffcore import process as processes
from pydiffcore.process import Process
from pydiffcore.train import laws, weights
from pydiffcore.train.arguments import checked
from pydiffcore.train.laws import discrete_uniform
from pydiffcore.train.presets import Cell

__all__ = ["PARTS", "replaced"]

# The module of each part, and what its functions return; a process goes before what is made of it.
PARTS: dict[str, tuple[ModuleType, str]] = {
    "process": (processes, "Process"),
    "prediction": (predictions, "Prediction"),
    "weight": (weights, "Weight"),
    "law": (laws, "Law"),
}


def replaced(
    cell: Cell, given: Mapping[str, Mapping[str, Any] | None], **names: str | None
) -> Cell:
    """Return a cell with the parts that are given; what they make of a process is of its own.

    A table without a law of its own draws its entries.

    Args:
        cell: of ``PRESETS``.
        given: of some of PARTS the name of a function and its arguments, or None for the cell's.
        **names: of the loss and the sampler, or None for the cell's.

    Raises:
        ValueError: a name is not known, or its arguments do not fit.
    """
    process = cell.process
    made: dict[str, Any] = {name: each for name, each in names.items() if each is not None}
    for part in PARTS:
        wanted = given.get(part)
        if wanted is not None:
            made[part] = _made(part, wanted, process)
            process = made.get("process", process)
    if "process" in made and "law" not in made and process.size is not None:
        made["law"] = discrete_uniform(process)
    return dataclasses.replace(cell, **made)


def _made(part: str, given: Mapping[str, Any], process: Process) -> Any:
    """Return what a function of a part's module makes; a process is the cell's."""
    module, kind = PARTS[part]
    names = [name for name, each in inspect.getmembers(module, inspect.isfunction)
             if not name.startswith("_") and _returned(each) == kind]  # fmt: skip
    rest = dict(given)
    name = rest.pop("name", None)
    if name not in names:
        raise ValueError(f"{part}.name is {name!r}, expected one of {', '.join(names)}")
    make = getattr(module, str(name))
    checked(part, str(name), make, rest)
    if "process" in inspect.signature(make).parameters:
        rest.setdefault("process", process)
    if isinstance(rest.get("base"), Mapping):  # that laws.shifted shifts
        rest["base"] = _made("law", rest["base"], process)
    if isinstance(rest.get("betas"), Mapping):
        rest["betas"] = _betas(rest["betas"])
    try:
        return make(**rest)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{part}: {error}") from None


def _betas(given: Mapping[str, Any]) -> Any:
    """Return the table of betas of a name and its arguments, of which one may be a table."""
    names = [name for name in processes.__all__ if name.endswith("_betas")]
    names.append("rescale_zero_terminal_snr")
    rest = dict(given)
    name = rest.pop("name", None)
    if isinstance(rest.get("betas"), Mapping):
        rest["betas"] = _betas(rest["betas"])
    if name not in names:
        raise ValueError(f"process.betas.name is {name!r}, expected one of {', '.join(names)}")
    checked("process.betas", str(name), getattr(processes, str(name)), rest)
    try:
        return getattr(processes, str(name))(**rest)
    except (TypeError, ValueError) as error:
        raise ValueError(f"process.betas: {error}") from None


def _returned(function: Any) -> str:
    """Return the name of what a function says it returns."""
    said = inspect.signature(function).return_annotation
    return said if isinstance(said, str) else getattr(said, "__name__", "")
