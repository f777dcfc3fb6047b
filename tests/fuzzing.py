# SPDX-License-Identifier: Apache-2.0
"""Random runs: process × levels × sampler × n × dtype × batch, and what must hold of each.

A run is finite wherever the plan loses fewer digits than float32 has (``Plan.amplification``); its
float32 error is at most 5 times that of the direct float32 run, or eight units in the last place of
what the run computes with (a direct run can be lucky); in float64 the fused run is the direct one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cases
import numpy as np
import torch
from hypothesis import strategies as st

import pydiffcore
from pydiffcore import exact, levels, process
from pydiffcore.ops.noise import INITIAL, normal

# of 24 dimensions, so that a ratio of two rounding errors is one of many
MIXTURE = exact.mixture([0.4, 0.6], np.linspace(-1, 1, 48).reshape(2, 24), [0.3, 0.5])
LIMIT = 1e5  # of amplification, where float32 has two digits left
ULPS = 8 * 2.0**-24
PROCESSES = [None, process.vp(), process.flow(), process.discrete(process.linear_betas())]


@dataclass(frozen=True)
class Run:
    """One run, printable."""

    case: cases.Case
    levels: levels.Levels
    batch: int
    single: bool
    seed: int

    def __repr__(self):
        at = f"{len(self.levels)} steps of {self.levels.name}, {self.levels.sigma[:3]} …"
        dtype = "float32" if self.single else "float64"
        return (
            f"{self.case.id} on {at} {self.levels.sigma[-2:]}, {dtype}, {self.batch}, {self.seed}"
        )


@st.composite
def given_levels(draw, case):
    """Levels of any kind that a sampler takes, from 1 to 100 steps."""
    n, ends_in_zero = draw(st.integers(1, 100)), draw(st.booleans())
    own = case.options.get("process")
    if own is not None:  # a step in the process's own time
        low, high = (0.2, 0.8) if own is cases.VE else (0.01, 0.9)
        return levels.uniform_t(n + 1, own, t_min=low, t_max=high, final_zero=False)
    low = 10 ** draw(st.floats(-3, -0.3))
    high = low * 10 ** draw(st.floats(0.3, 5))
    at = draw(st.sampled_from(PROCESSES))
    count = n if ends_in_zero else n + 1
    end = {"final_zero": ends_in_zero, "process": at}
    kind = draw(st.sampled_from(["karras", "exponential", "explicit"]))
    if kind == "karras":
        rho = draw(st.floats(1, 9))
        return levels.karras(count, sigma_min=low, sigma_max=high, rho=rho, **end)
    if kind == "exponential":
        return levels.exponential(count, sigma_min=low, sigma_max=high, **end)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gaps = random.uniform(0.2, 1.0, max(count - 1, 0))
    log = np.log(high) - np.concatenate([[0.0], np.cumsum(gaps)]) * (
        np.log(high / low) / max(gaps.sum(), 1e-9)
    )
    return levels.explicit([*np.exp(log), *([0.0] if ends_in_zero else [])], at)


@st.composite
def runs(draw):
    """A run of any sampler in the tests' list."""
    case = draw(st.sampled_from(cases.CASES))
    return Run(
        case,
        draw(given_levels(case)),
        draw(st.integers(1, 4)),
        draw(st.booleans()),
        draw(st.integers(0, 2**64 - 9)),
    )


def size(x):
    return float(x.double().square().mean().sqrt())


class Outcome(NamedTuple):
    """What was found, an error over what it may be, and in float32 over the direct run's."""

    what: str
    ratio: float = 0.0
    times_direct: float = 0.0


def outcome(run):
    """Return what was found of a run: a ratio of at most 1 where it is finite.

    "refused": the sampler says by ValueError what it cannot do; "unstable": the plan says so, or
    the direct run overflows.
    """
    sampler, options = run.case.sampler, run.case.options
    try:
        plan = pydiffcore.trace(sampler, run.levels, **options)
    except ValueError as error:
        return Outcome(f"refused: {error}")
    kw = {"shape": MIXTURE.shape, "seeds": range(run.seed, run.seed + run.batch)}
    wide = pydiffcore.direct(sampler, MIXTURE, run.levels, **kw, **options)
    dtype, narrow = torch.float32 if run.single else torch.float64, wide
    if run.single:
        narrow = pydiffcore.direct(sampler, MIXTURE, run.levels, dtype=dtype, **kw, **options)
    unstable = not plan.amplification < LIMIT or not bool(narrow.isfinite().all())
    try:
        fused = pydiffcore.sample(MIXTURE, plan, dtype=dtype, **kw)
    except FloatingPointError:
        if unstable:
            return Outcome("unstable")
        raise
    if unstable:
        return Outcome("unstable")
    assert bool(fused.isfinite().all()), f"{run} is not finite"
    scale = max(size(wide), float(run.levels.sigma[-1]), 1.0)
    error = size(fused - wide) / scale
    if not run.single:
        return Outcome("float64", error / (1e-10 * max(plan.amplification, 1.0)))
    direct = size(narrow.double() - wide) / scale
    allowed = max(5 * direct, ULPS * max(plan.amplification, 1.0))
    return Outcome("float32", error / allowed, error / max(direct, 2.0**-53))


class Errors(NamedTuple):
    """Errors [seeds] of the fused float32 run, the direct one, and that from a moved state."""

    fused: np.ndarray
    direct: np.ndarray
    moved: np.ndarray


def over_seeds(run, count=64):
    """Return the float32 errors of a run's setting, each sample's own.

    The third shows how far luck goes: the direct run again, from initial states 2^-14 apart.
    """
    sampler, options = run.case.sampler, run.case.options
    plan = pydiffcore.trace(sampler, run.levels, **options)
    kw = {"shape": MIXTURE.shape, "seeds": range(count)}
    start = {"purpose": INITIAL, "stream": 0, "dtype": torch.float32}
    x = float(run.levels.sigma[0]) * normal(kw["seeds"], kw["shape"], **start)

    def error(found, x):
        wide = pydiffcore.direct(sampler, MIXTURE, run.levels, x=x.double(), **kw, **options)
        return (found.double() - wide).square().mean(dim=1).sqrt().numpy()

    def direct(x):
        narrow = {"x": x, "dtype": torch.float32}
        return error(pydiffcore.direct(sampler, MIXTURE, run.levels, **narrow, **kw, **options), x)

    fused = error(pydiffcore.sample(MIXTURE, plan, x=x, dtype=torch.float32, **kw), x)
    return Errors(fused, direct(x), direct(x * (1 + 2.0**-14)))
