# SPDX-License-Identifier: Apache-2.0
"""What papers state of a training beside its cell: optimiser, rate, averages, dropout, length.

They are fields of a configuration, which what a file or a command gives goes over.  The papers
train for days on many devices; so they are asked for, by ``recipe = "paper"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydiffcore.train.presets import PRESETS

__all__ = ["AVERAGES", "RECIPES", "filled"]

AVERAGES: Mapping[str, Mapping[str, Any]] = {"ema": {"kind": "half_life", "images": 500_000.0}}
ADAM: Mapping[str, Any] = {"betas": [0.9, 0.999], "eps": 1e-8}
MILLION = 1_000_000


def _of(steps: int, optimiser: dict[str, Any], decay: float, **rest: Any) -> dict[str, Any]:
    """Return a recipe of a paper whose average forgets by a fixed decay."""
    return {
        "optimiser": {**ADAM, **optimiser},
        "averages": {"ema": {"kind": "fixed", "decay": decay}},
        "run": {"images": steps * optimiser["batch"]},
        **rest,
    }


def _score_sde(decay: float, scale: float = 1.0) -> dict[str, Any]:
    """Song et al. 2021 (arXiv 2011.13456), appendix H, and its code, for CIFAR-10.

    ``scale`` is that of the loss here to the loss there: what the code compares gradients with, a
    norm to clip at and Adam's eps, goes with it.
    """
    rate = {"peak": 2e-4, "kind": "constant", "warmup": 5000}
    optimiser = {"batch": 128, "rate": rate, "clip": scale, "eps": ADAM["eps"] * scale}
    return _of(1_300_000, optimiser, decay, data={"mirror": True}, network=_dropout(0.1))


def _dropout(p: float) -> dict[str, Any]:
    return {"options": {"dropout": p}}


def _constant(rate: float) -> dict[str, Any]:
    return {"peak": rate, "kind": "constant"}


RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Ho et al. 2020 (arXiv 2006.11239), appendix B, for CIFAR-10; warm-up and clip of its code
        "ddpm": _of(
            800_000,
            {"batch": 128, "rate": _constant(2e-4) | {"warmup": 5000}, "clip": 1.0},
            0.9999, data={"mirror": True}, network=_dropout(0.1),
        ),
        # Nichol & Dhariwal 2021 (arXiv 2102.09672), appendix A, for CIFAR-10; dropout of its code
        "iddpm": _of(
            500_000, {"batch": 128, "rate": _constant(1e-4)}, 0.9999, network=_dropout(0.3)
        ),
        # Song & Ermon 2020 (arXiv 2006.09011), appendix B, for CIFAR-10
        "ncsn": _of(
            300_000, {"batch": 128, "rate": _constant(1e-4)}, 0.999, data={"mirror": True}
        ),
        # Of VE the code halves the sum over 3 x 32 x 32 elements, of the others it takes the mean.
        "ncsnpp-ve": _score_sde(0.999, scale=2 / 3072),
        "ddpmpp-vp": _score_sde(0.9999),
        "subvp": _score_sde(0.9999),
        # Karras et al. 2022 (arXiv 2206.00364), table 7, for CIFAR-10: 10 million images of warm-up
        "edm": {
            "optimiser": {
                **ADAM, "batch": 512, "rate": _constant(1e-3) | {"warmup": 10 * MILLION // 512},
            },
            "averages": {"ema": {"kind": "half_life", "images": 0.5 * MILLION, "ramp": 0.05}},
            "data": {"augment": 0.12, "label_dropout": 0.0},
            "run": {"images": 200 * MILLION},
        },
        # Karras et al. 2024 (arXiv 2312.02696), table 6, for XS on latents, and section 3.1
        "edm2": {
            "optimiser": {
                "batch": 2048, "betas": [0.9, 0.99], "eps": 1e-8,
                "rate": {
                    "peak": 0.012, "kind": "inverse_sqrt", "reference": 70_000,
                    "warmup": 10 * MILLION // 2048,
                },
            },
            "averages": {
                "wide": {"kind": "power", "width": 0.1},
                "narrow": {"kind": "power", "width": 0.05},
            },
            "data": {"label_dropout": 0.0},
            "run": {"images": 2**31, "save_every": 4096},
        },
        # Ma et al. 2024 (arXiv 2401.08740), section 4, after Peebles & Xie 2023 (arXiv 2212.09748)
        "flow": _of(
            400_000, {"batch": 256, "rate": _constant(1e-4)}, 0.9999, data={"mirror": True}
        ),
    }
)  # fmt: skip


def filled(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a configuration with what its recipe and its averages leave out.

    Averages that are given stand in the place of the default; one that has the name of a default
    and no kind of its own is that one with other fields, and where all are such the others stay.
    A recipe says nothing of data and network where another network is given than the preset's.
    """
    made = dict(content)
    known: Mapping[str, Any] = AVERAGES
    if made.get("recipe") == "paper":
        preset = made.get("preset", "edm")
        preset = preset if isinstance(preset, str) and preset in RECIPES else None
        recipe = dict(RECIPES[preset]) if preset else {}
        known = recipe.pop("averages", AVERAGES)
        network = made.get("network")
        named = network.get("name") if isinstance(network, Mapping) else None
        if preset and named not in (None, PRESETS[preset].network):
            recipe.pop("data", None)
            recipe.pop("network", None)
        made = _under(recipe, made)
        made.setdefault("averages", {name: dict(each) for name, each in known.items()})
    if isinstance(given := made.get("averages"), Mapping):
        fields = [isinstance(each, Mapping) and "kind" not in each for each in given.values()]
        if given and all(fields) and given.keys() <= known.keys():
            given = {name: given.get(name, {}) for name in known}
        made["averages"] = {
            name: {**known.get(name, {}), **each}
            if isinstance(each, Mapping) and "kind" not in each
            else each
            for name, each in given.items()
        }
    return made


def _under(default: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables of defaults below tables that are given."""
    made = dict(default)
    for name, value in given.items():
        below = made.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        made[name] = _under(below, value) if both else value  # type: ignore[arg-type]
    return made
