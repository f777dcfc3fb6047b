# SPDX-License-Identifier: Apache-2.0
"""The cells of the design space that papers have trained, as data.

A cell is a process, what the network's output means, the weight of its error, the law of the levels
it is trained at, the loss, a network and the sampler it came with.  Any field may be replaced:
``dataclasses.replace(PRESETS["edm"], weight=weights.soft_min_snr())``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydiffcore import prediction as predictions
from pydiffcore import process as processes
from pydiffcore.prediction import Prediction
from pydiffcore.process import Process
from pydiffcore.train import laws, weights
from pydiffcore.train.laws import Law
from pydiffcore.train.weights import Weight

__all__ = ["LOSSES", "PRESETS", "Cell"]

LOSSES = ("denoising", "uncertainty", "hybrid", "vlb", "variance")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to train.

    Fields:
        process: what turns data into noise.
        prediction: what the network's output means.
        weight: lambda of |D − x0|².
        law: of the training levels.
        network: the name of a network of ``pydiffcore.networks``.
        sampler: the name of the sampler of ``pydiffcore.samplers`` that the paper has.
        loss: one of LOSSES; "hybrid", "vlb" and "variance" need a network of twice the channels.

    Raises:
        ValueError: loss is none of LOSSES, or needs a table that the process does not have.
    """

    process: Process
    prediction: Prediction
    weight: Weight
    law: Law
    network: str
    sampler: str
    loss: str = "denoising"

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss is {self.loss!r}, expected one of {', '.join(LOSSES)}")
        if self.loss in ("hybrid", "vlb") and self.process.size is None:
            raise ValueError(
                f"process is {self.process.name}, expected one with a table for loss {self.loss!r}"
            )

    @property
    def learned_variance(self) -> bool:
        """Whether the network returns a variance beside F, in a second half of its channels."""
        return self.loss in ("hybrid", "vlb", "variance")


def _tables() -> dict[str, Cell]:
    linear, cosine = processes.discrete(processes.linear_betas()), processes.iddpm()
    return {
        # Ho et al. 2020 (arXiv 2006.11239), section 4
        "ddpm": Cell(
            process=linear,
            prediction=predictions.eps(linear),
            weight=weights.unit_eps(),
            law=laws.discrete_uniform(linear),
            network="ddpmpp",
            sampler="ddpm",
        ),
        # Nichol & Dhariwal 2021 (arXiv 2102.09672), sections 3.1 and 3.2, with the 1000 levels that
        # Karras et al. 2022 give it; the paper's own have 4000
        "iddpm": Cell(
            process=cosine,
            prediction=predictions.eps(cosine),
            weight=weights.unit_eps(),
            law=laws.discrete_uniform(cosine),
            network="adm",
            sampler="ddpm",
            loss="hybrid",
        ),
        # Song & Ermon 2020 (arXiv 2006.09011), for data in [-1, 1]
        "ncsn": Cell(
            process=processes.ve(),
            prediction=predictions.ve(),
            weight=weights.anneal(2.0),
            law=laws.geometric(),
            network="refinenet",
            sampler="langevin",
        ),
    }


def _score_sdes() -> dict[str, Cell]:
    ve, vp, sub_vp = processes.ve(), processes.vp(), processes.sub_vp()
    return {
        # Song et al. 2021 (arXiv 2011.13456), appendices C and H
        "ncsnpp-ve": Cell(
            process=ve,
            prediction=predictions.ve(),
            weight=weights.unit_eps(),
            law=laws.loguniform(),
            network="ncsnpp",
            sampler="predictor_corrector",
        ),
        "ddpmpp-vp": Cell(
            process=vp,
            prediction=predictions.vp(),
            weight=weights.unit_eps(),
            law=laws.uniform_t(vp),
            network="ddpmpp",
            sampler="euler_maruyama",
        ),
        "subvp": Cell(
            process=sub_vp,
            prediction=predictions.eps(sub_vp),
            weight=weights.unit_eps(),
            law=laws.uniform_t(sub_vp),
            network="ddpmpp",
            sampler="euler_maruyama",
        ),
    }


def _denoisers() -> dict[str, Cell]:
    return {
        # Karras et al. 2022 (arXiv 2206.00364), table 1
        "edm": Cell(
            process=processes.edm(),
            prediction=predictions.edm(),
            weight=weights.edm(),
            law=laws.lognormal(-1.2, 1.2),
            network="ddpmpp",
            sampler="heun",
        ),
        # Karras et al. 2024 (arXiv 2312.02696)
        "edm2": Cell(
            process=processes.edm(),
            prediction=predictions.edm(),
            weight=weights.edm(),
            law=laws.lognormal(-0.4, 1.0),
            network="edm2",
            sampler="heun",
            loss="uncertainty",
        ),
        # Liu et al. 2023 (arXiv 2209.03003); Ma et al. 2024 (arXiv 2401.08740) for the network
        "flow": Cell(
            process=processes.flow(),
            prediction=predictions.velocity(),
            weight=weights.flow(),
            law=laws.uniform_flow(),
            network="dit",
            sampler="euler",
        ),
    }


PRESETS: Mapping[str, Cell] = MappingProxyType({**_tables(), **_score_sdes(), **_denoisers()})
