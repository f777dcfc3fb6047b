# SPDX-License-Identifier: Apache-2.0
"""Orders of convergence against exact solutions of the probability-flow ODE.

The slope of log error over log n, n = 20 … 320, on a Gaussian, and on a one-dimensional mixture
(its exact solution by quantiles) from the n where it is in its asymptotic range.
"""

import numpy as np

from benchmarks.claims.claim import Figure, main
from pydiffcore import exact, levels, samplers

START, END = 10.0, 0.05
SIZES = [20, 40, 80, 160, 320]
BARS = {"euler": (1, 0.1), "heun": (2, 0.15), "dpmpp_2m": (2, 0.15)}


def order(sampler, data, x, truth, sizes):
    """Return the fitted order."""
    errors = [
        np.abs(
            sampler(x, data, levels.exponential(n + 1, END, START, final_zero=False), None) - truth
        ).max()
        for n in sizes
    ]
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def measure():
    gaussian = exact.gaussian(np.array([0.4]), np.array([0.5]))
    mixture = exact.mixture([0.4, 0.6], [[-1.0], [0.8]], [0.3, 0.4])
    x = START * np.linspace(-1.7, 1.9, 8)[:, None]
    for name, (expected, tolerance) in BARS.items():
        sampler = getattr(samplers, name)
        late = [320, 640, 1280] if expected == 1 else [80, 160, 320]
        for what, data, sizes in (("Gaussian", gaussian, SIZES), ("mixture", mixture, late)):
            found = order(sampler, data, x, data.solution(x, START, END), sizes)
            yield Figure(
                f"{name} on a {what}: distance of the order from {expected}",
                abs(found - expected),
                f"<= {tolerance}",
                note=f"order {found:.3f}, n = {sizes[0]} … {sizes[-1]}",
            )


if __name__ == "__main__":
    main(measure)
