# SPDX-License-Identifier: Apache-2.0
"""Strong orders: samplers of the reverse SDE along given Brownian paths, more and more steps.

Between two levels the exact solution for a fixed D adds σ'² (M(σ'⁻²) − M(σ⁻²)) with M a Brownian
motion in the clock σ⁻², so that a step's unit normal is M's increment over its standard deviation,
whatever the steps. The data are a mixture of two Gaussians in one dimension, the levels go from 10
to 0.05 evenly in ln σ, and n steps are compared with 2048 of them on the same 1,000 paths: the
figure is the slope of log E|x_n − x| over log n, its bar the nominal order less 0.15. With additive
noise Euler's method has strong order 1, and so have the others: of the path they draw increments
alone. A two-stage step draws its middle from the same path.
er_sde solves an SDE of its own: on the same paths it stays 0.7 away from the others at every n, and
is compared with 2048 steps of itself. Not measured: churn, Langevin and predictor-corrector steps,
samplers in a process's own time, and seeds_3, whose thirds of a step are off the finest grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.claims.claim import Figure, main
from pydiffcore import exact, levels, samplers

MIXTURE = exact.mixture([0.4, 0.6], np.array([[-1.0], [0.8]]), [0.3, 0.5])
SIZES, FINEST, PATHS = (16, 32, 64, 128), 2048, 1000
HIGH, LOW = 10.0, 0.05
CASES: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("ancestral", samplers.ancestral, {}),
    ("ddim(eta=1)", samplers.ddim, {"eta": 1.0}),
    ("dpmpp_2m_sde", samplers.dpmpp_2m_sde, {}),
    ("dpmpp_2m_sde(solver=heun)", samplers.dpmpp_2m_sde, {"solver": "heun"}),
    ("dpmpp_3m_sde", samplers.dpmpp_3m_sde, {}),
    ("dpmpp_sde", samplers.dpmpp_sde, {}),
    ("er_sde(order=1)", samplers.er_sde, {"order": 1}),
    ("er_sde(order=3)", samplers.er_sde, {"order": 3}),
    ("seeds_1", samplers.seeds_1, {}),
    ("seeds_2", samplers.seeds_2, {}),
]


class Path:
    """M at σ⁻² for levels of the finest grid, [PATHS] each."""

    def __init__(self, seed: int) -> None:
        at = HIGH * (LOW / HIGH) ** (np.arange(FINEST + 1) / FINEST)
        spread = np.sqrt(np.diff(at**-2.0))
        z = np.random.default_rng(seed).normal(size=(FINEST, PATHS))
        self.log, self.M = np.log(at), np.cumsum(spread[:, None] * z, axis=0)
        self.M = np.concatenate([np.zeros((1, PATHS)), self.M])

    def noise(self, sigma: float, sigma_next: float) -> NDArray[np.float64]:
        """Return the unit normals of a step, [PATHS, 1]."""
        i, j = (int(np.argmin(np.abs(self.log - np.log(s)))) for s in (sigma, sigma_next))
        moved = self.M[j] - self.M[i]
        return np.asarray(moved / np.sqrt(sigma_next**-2.0 - sigma**-2.0))[:, None]


def final(sampler: Callable[..., Any], options: dict[str, Any], n: int, path: Path) -> Any:
    at = levels.explicit(HIGH * (LOW / HIGH) ** (np.arange(n + 1) / n))
    x = HIGH * np.random.default_rng(1).normal(size=(PATHS, 1))
    return sampler(x, MIXTURE, at, path.noise, **options)


def measure() -> Iterator[Figure]:
    path = Path(0)
    common = final(samplers.ancestral, {}, FINEST, path)
    for name, sampler, options in CASES:
        own = sampler is samplers.er_sde
        reference = final(sampler, options, FINEST, path) if own else common
        error = [np.abs(final(sampler, options, n, path) - reference).mean() for n in SIZES]
        slope = -np.polyfit(np.log(SIZES), np.log(error), 1)[0]
        note = f"mean error {error[0]:.2g} to {error[-1]:.2g}"
        limit = ", to its own limit" if own else ""
        yield Figure(f"{name}: strong order{limit}", float(slope), ">= 0.85", note=note)


if __name__ == "__main__":
    main(measure)
