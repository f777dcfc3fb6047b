# SPDX-License-Identifier: Apache-2.0
"""Timing of whole sampling runs: several ways to do the same work, in turn, on one network."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.adapters.peers import Network, Run
from pydiffcore.denoiser import Denoiser
from pydiffcore.plan import Plan
from pydiffcore.prediction import Prediction
from pydiffcore.sample import sample

__all__ = ["OURS", "Subject", "Timing", "compare", "timed"]

OURS = "pydiffcore"
TOLERANCE = 1e-4  # of the largest value of the result, float32 state
FEWEST_ROUNDS = 3
PATIENCE = 4  # no more rounds after this many times the seconds asked for


@dataclass(frozen=True)
class Subject:
    """A network to run samplers on.

    Attributes:
        name: for the reader.
        network: F(input, c_noise).
        prediction: what F means.
        shape: of one sample.
        upper_bound: whether the network costs nothing, so that ratios are the largest possible.

    """

    name: str
    network: Network
    prediction: Prediction
    shape: tuple[int, ...]
    upper_bound: bool = False


@dataclass(frozen=True)
class Timing:
    """What one way of running a plan took.

    Attributes:
        who: pydiffcore, or a peer.
        seconds, outside: of each round, whole run and share outside the network.
        ratios: seconds over pydiffcore's of the same round.
        difference: largest difference from pydiffcore's result on the same initial state and
            noise, over the largest value of that; None where the noise cannot be the same.
        first: seconds of the first run, compilation included.

    """

    who: str
    seconds: tuple[float, ...]
    outside: tuple[float, ...]
    ratios: tuple[float, ...]
    difference: float | None
    first: float

    @property
    def equal(self) -> bool | None:
        """Whether the result is pydiffcore's, within the tolerance; None where it cannot be."""
        return None if self.difference is None else self.difference <= TOLERANCE

    def figures(self) -> dict[str, Any]:
        """Return medians and quartiles, as JSON has them."""
        return {
            "who": self.who,
            "seconds": quartiles(self.seconds),
            "outside_network": quartiles(self.outside),
            "times_pydiffcore": quartiles(self.ratios),
            "repeats": len(self.seconds),
            "first_run_seconds": self.first,
            "difference": self.difference,
            "tolerance": TOLERANCE,
            "equal": self.equal,
        }


def quartiles(values: tuple[float, ...]) -> dict[str, float]:
    """Return median and quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"median": middle, "lower_quartile": low, "upper_quartile": high}


class Clock:
    """A network that counts the time inside it: on a CUDA device by events, without waiting."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network, self.cuda = network, device.type == "cuda"
        self.spent, self.events = 0.0, []  # type: tuple[float, list[Any]]

    def __call__(self, x: Tensor, c_noise: Tensor) -> Tensor:
        if self.cuda:
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            F = self.network(x, c_noise)
            stop.record()
            self.events.append((start, stop))
            return F
        began = time.perf_counter()
        F = self.network(x, c_noise)
        self.spent += time.perf_counter() - began
        return F

    def seconds(self) -> float:
        """Return the time inside the network; the device must be idle."""
        return self.spent + sum(a.elapsed_time(b) for a, b in self.events) / 1e3


def compare(
    subject: Subject,
    plan: Plan,
    runs: Mapping[str, Run],
    *,
    batch: int,
    device: torch.device,
    seconds: float,
    own_noise: Collection[str] = (),
) -> list[Timing]:
    """Time pydiffcore and others in interleaved rounds, and compare what they return.

    Every round runs each of them once, in an order that rotates; the first run of each, which
    is compared, does not count.

    Args:
        subject: the network.
        plan: pydiffcore's, of the subject's prediction.
        runs: the others, by name.
        batch: samples per network call.
        device: where it all runs.
        seconds: how long to go on.  Slow networks get three rounds within four times that, and
            one in any case.
        own_noise: names of those whose noise is their own, so that results cannot be compared.

    """
    state = torch.Generator(device).manual_seed(1)
    x = plan.init_scale * torch.randn((batch, *subject.shape), generator=state, device=device)
    everybody: dict[str, Run] = {OURS: ours(subject, plan, generated=False), **runs}
    expected, _, _ = timed(ours(subject, plan, generated=True), subject.network, x)
    firsts: dict[str, float] = {}
    differences: dict[str, float | None] = {}
    for who, run in everybody.items():
        result, firsts[who], _ = timed(run, subject.network, x)
        comparable = who not in own_noise and (who != OURS or not plan.is_stochastic)
        worst = float((result - expected).abs().max() / expected.abs().max())
        differences[who] = worst if comparable else None
    rounds = interleaved(everybody, subject.network, x, seconds)
    return [
        Timing(
            who,
            seconds=tuple(r[who][0] for r in rounds),
            outside=tuple(r[who][1] for r in rounds),
            ratios=tuple(r[who][0] / r[OURS][0] for r in rounds),
            difference=differences[who],
            first=firsts[who],
        )
        for who in everybody
    ]


def interleaved(
    runs: Mapping[str, Run], network: Network, x: Tensor, seconds: float
) -> list[dict[str, tuple[float, float]]]:
    """Return rounds of (seconds, share of them outside the network), by name."""
    rounds: list[dict[str, tuple[float, float]]] = []
    names, start = list(runs), time.perf_counter()
    while not rounds or more(len(rounds), (time.perf_counter() - start) / max(seconds, 1e-3)):
        turn = len(rounds) % len(names)
        measured = {}
        for who in names[turn:] + names[:turn]:
            _, spent, inside = timed(runs[who], network, x)
            measured[who] = (spent, 1 - inside / spent)
        rounds.append(measured)
    return rounds


def more(rounds: int, spent: float) -> bool:
    """Whether to go on after some rounds and a share of the time."""
    return spent < (PATIENCE if rounds < FEWEST_ROUNDS else 1)


def ours(subject: Subject, plan: Plan, *, generated: bool) -> Run:
    """Return pydiffcore.sample; with the generator's noise, or as anybody would call it."""

    def run(network: Network, x: Tensor, generator: torch.Generator) -> Tensor:
        return sample(
            Denoiser(network, subject.prediction),
            plan,
            shape=subject.shape,
            seeds=range(len(x)),
            x=x,
            noise=generator if generated else None,
            device=x.device,
        )

    return run


@torch.no_grad()
def timed(run: Run, network: Network, x: Tensor) -> tuple[Tensor, float, float]:
    """Return the result, the seconds of the run, and those inside the network."""
    clock, generator = Clock(network, x.device), torch.Generator(x.device).manual_seed(2)
    finish: Callable[[], None] = torch.cuda.synchronize if x.device.type == "cuda" else lambda: None
    finish()
    start = time.perf_counter()
    result = run(clock, x, generator)
    finish()
    return result, time.perf_counter() - start, clock.seconds()
