# SPDX-License-Identifier: Apache-2.0
"""Tables of betas, beta_0 ... beta_{N-1}, of which discrete() makes a process.

abar_i = prod_{j <= i} (1 - beta_j) is the signal's variance at index i.  Two traps of the field:
quad_betas is scaled_linear_betas with other ends, and laplace_diffusers_betas is not the Laplace
schedule of its paper, whose levels are levels.laplace.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore.process.core import FloatArray, as_float64, positive


def linear_betas(n: int = 1000, start: float = 1e-4, end: float = 0.02) -> FloatArray:
    """Return betas spaced evenly from start to end, float64 [n] (Ho et al. 2020, section 4)."""
    return np.linspace(*beta_range(start, end), count(n))


def scaled_linear_betas(n: int = 1000, start: float = 0.00085, end: float = 0.012) -> FloatArray:
    """Return betas whose square roots are spaced evenly, float64 [n] (Rombach et al. 2022).

    Latent diffusion's own code calls this form "linear".
    """
    low, high = beta_range(start, end)
    return np.linspace(math.sqrt(low), math.sqrt(high), count(n)) ** 2


def quad_betas(n: int = 1000, start: float = 1e-4, end: float = 0.02) -> FloatArray:
    """Return scaled_linear_betas() between the ends of DDPM, which its authors call "quad"."""
    return scaled_linear_betas(n, start, end)


def const_betas(n: int = 1000, end: float = 0.02) -> FloatArray:
    """Return n times the same beta (Ho et al. 2020, "const" of the authors' code)."""
    return np.full(count(n), beta_range(end, end)[1])


def jsd_betas(n: int = 1000) -> FloatArray:
    """Return betas 1/n, 1/(n - 1), ..., 1: abar_i = 1 - (i + 1)/n; the terminal signal is zero.

    Raises:
        ValueError: for n < 2, where the only beta would be 1.

    Source: Sohl-Dickstein et al. 2015 (arXiv 1503.03585), section 2.4.1, for binomial diffusion;
    "jsd" of DDPM's code.

    """
    if count(n) < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    return 1.0 / np.arange(n, 0, -1, dtype=np.float64)


def warmup_betas(
    n: int = 1000, start: float = 1e-4, end: float = 0.02, fraction: float = 0.1
) -> FloatArray:
    """Return betas spaced evenly from start to end, then constant: "warmup10", "warmup50" of DDPM.

    Args:
        n: number of betas.
        start, end: first and last beta.
        fraction: of the betas that are spaced, int(n * fraction) of them.

    Raises:
        ValueError: for n < 1, a beta outside (0, 1) or a fraction outside [0, 1].

    Source: Ho et al. 2020 (arXiv 2006.11239), the authors' code.

    """
    low, high = beta_range(start, end)
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must lie in [0, 1], got {fraction!r}")
    betas = np.full(count(n), high)
    spaced = int(n * fraction)
    betas[:spaced] = np.linspace(low, high, spaced)
    return betas


def sigmoid_betas(
    n: int = 1000, start: float = 1e-4, end: float = 0.02, width: float = 6.0
) -> FloatArray:
    """Return betas on a sigmoid: beta_i = start + (end - start) / (1 + exp(-u_i)).

    Args:
        n: number of betas.
        start, end: what the betas tend to on either side.
        width: u is spaced evenly from -width to width.

    Raises:
        ValueError: for n < 1, a beta outside (0, 1) or a width that is not positive.

    Source: Xu et al. 2022 (GeoDiff, arXiv 2203.02923), the authors' code.

    """
    low, high = beta_range(start, end)
    width = positive("width", width)
    return low + (high - low) / (1.0 + np.exp(-np.linspace(-width, width, count(n))))


def alpha_bar_betas(
    alpha_bar: Callable[[float], Any], n: int = 1000, max_beta: float = 0.999
) -> FloatArray:
    """Return the betas of a curve abar(t): beta_i = min(1 - abar((i+1)/n) / abar(i/n), max_beta).

    Args:
        alpha_bar: abar of a time in [0, 1]; positive before t = 1, falling.
        n: number of betas.
        max_beta: the largest beta, in (0, 1).

    Raises:
        ValueError: for n < 1, max_beta outside (0, 1), or a curve that does not fall.

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), section 3.2.

    """
    beta_range(max_beta, max_beta)
    times = np.arange(count(n) + 1) / n
    abar = np.array([float(alpha_bar(t)) for t in times])  # scalars of NumPy, which divide by 0
    betas = 1.0 - abar[1:] / abar[:-1]
    if not np.all(betas > 0.0):
        at = int(np.argmin(betas > 0.0))
        raise ValueError(f"alpha_bar must fall; it does not from t = {at}/{n} to {at + 1}/{n}")
    return np.minimum(betas, max_beta)


def cosine_betas(n: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> FloatArray:
    """Return the betas of the cosine schedule, float64 [n].

    beta_i = min(1 - a((i + 1) / n) / a(i / n), max_beta), a(t) = cos^2(pi/2 (t + s) / (1 + s)),
    s = offset.

    Raises:
        ValueError: for n < 1, offset <= 0 or max_beta outside (0, 1).

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), eq. 17.

    """
    offset = positive("offset", offset)
    beta_range(max_beta, max_beta)
    t = np.arange(count(n) + 1) / n
    cosine = np.cos(0.5 * math.pi * (t + offset) / (1.0 + offset))
    return np.minimum(1.0 - (cosine[1:] / cosine[:-1]) ** 2, max_beta)


def exp_betas(n: int = 1000, rate: float = 12.0, max_beta: float = 0.999) -> FloatArray:
    """Return the betas of abar(t) = exp(-rate t): n times 1 - exp(-rate / n), at most max_beta.

    Raises:
        ValueError: for n < 1, rate <= 0 or max_beta outside (0, 1).

    Source: the "exp" form of diffusers' betas_for_alpha_bar.

    """
    beta_range(max_beta, max_beta)
    return np.full(count(n), min(-math.expm1(-positive("rate", rate) / n), max_beta))


def laplace_diffusers_betas(n: int = 1000, max_beta: float = 0.999) -> FloatArray:
    """Return the betas that diffusers calls "laplace": abar = sqrt(snr / (1 + snr)).

    snr = exp(lam), lam = -sign(1/2 - t) log(1 - 2 |1/2 - t| + 1e-6) / 2.  The square root makes
    abar what alpha should be: the levels run from 0.15 to 5.5 only, where a thirtieth of the
    signal's variance is left.  For the schedule of the paper see levels.laplace.

    Raises:
        ValueError: for n < 1 or max_beta outside (0, 1).

    Source: after Hang et al. 2024 (arXiv 2407.03297), table 1, as diffusers has it.

    """

    def abar(t: float) -> Any:
        side = np.copysign(1.0, 0.5 - t)
        lam = -0.5 * side * np.log(1.0 - 2.0 * np.abs(0.5 - t) + 1e-6)
        return np.sqrt(1.0 / (1.0 + np.exp(-lam)))

    return alpha_bar_betas(abar, n, max_beta)


def rescale_zero_terminal_snr(betas: ArrayLike, last_alpha_bar: float = 0.0) -> FloatArray:
    """Return betas whose last entry has no signal: sqrt(abar) moved and scaled linearly.

    sqrt(abar_i) becomes (sqrt(abar_i) - sqrt(abar_T)) sqrt(abar_0) / (sqrt(abar_0) - sqrt(abar_T)):
    the first entry stays, the last becomes 0.  Its level is infinite; levels of the table put
    1e12 in its place.

    Args:
        betas: float64 [N], N >= 2, each in (0, 1).
        last_alpha_bar: abar of the last entry, for networks that were run with a small number
            instead of 0 (4.897e-8, level 4519, is in use).

    Raises:
        ValueError: for a wrong shape, a beta out of range, or a last_alpha_bar outside [0, abar of
            the entry before).

    Source: Lin et al. 2024 (arXiv 2305.08891), algorithm 1.

    """
    betas = as_float64(betas)
    if betas.ndim != 1 or betas.size < 2:
        raise ValueError(f"betas must have shape [N] with N >= 2, got shape {betas.shape}")
    if not np.all((betas > 0.0) & (betas < 1.0)):
        at = int(np.argmin((betas > 0.0) & (betas < 1.0)))
        raise ValueError(f"betas must lie in (0, 1); betas[{at}] is {betas[at]!r}")
    log_root = 0.5 * np.cumsum(np.log1p(-betas))
    # Against the last entry: roots and their differences keep their digits where all are tiny.
    excess = np.expm1(log_root - log_root[-1])
    abar = (np.exp(log_root[0]) * excess / excess[0]) ** 2
    if not 0.0 <= last_alpha_bar < abar[-2]:
        raise ValueError(f"last_alpha_bar must lie in [0, {abar[-2]!r}), got {last_alpha_bar!r}")
    abar[-1] = last_alpha_bar
    return np.append(betas[0], 1.0 - abar[1:] / abar[:-1])


def count(n: int, name: str = "n") -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"{name} must be a positive integer, got {n!r}")
    return int(n)


def beta_range(start: float, end: float) -> tuple[float, float]:
    for name, value in (("start", start), ("end", end)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    return float(start), float(end)
