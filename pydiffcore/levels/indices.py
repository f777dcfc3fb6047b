# SPDX-License-Identifier: Apache-2.0
"""Levels at chosen indices of a table, by the names that users of other programs know.

N is the number of entries of a tabulated process, t an index 0 .. N-1.  Without final_zero a rule
whose indices come to 0 has a step fewer than indices.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from pydiffcore.levels.core import UNBOUNDED, FloatArray, Levels, assemble, falling, step_count
from pydiffcore.levels.quantile import beta_quantile
from pydiffcore.levels.tables import at_indices, at_most, table_of
from pydiffcore.process import Process


def normal(n: int, process: Process, final_zero: bool = True) -> Levels:
    """Levels of n times spaced evenly over the process's range, both ends included.

    On a table the indices N-1 ... 0, log-linear between entries: ComfyUI's "normal" and the levels
    of k-diffusion's discrete models.  linspace(rounded=True) has the same times, rounded.

    Args:
        n: number of steps.
        process: gives the level of a time.
        final_zero: end at 0 (and count that step) or at the lowest time.

    Raises:
        ValueError: for n < 1.

    Source: k-diffusion, DiscreteSchedule.get_sigmas.

    """
    points = step_count(n) + (not final_zero)
    t = np.linspace(process.t_max, process.t_min, points)
    return _at_times(t, process, f"normal(n={n}, process={process.name})", final_zero)


def sgm_uniform(n: int, process: Process, final_zero: bool = True) -> Levels:
    """Levels of n + 1 times spaced evenly over the process's range, without the last one.

    Args and errors are those of normal(); without final_zero the lowest time is kept as the end.

    Source: Blattmann et al. 2023 (arXiv 2311.15127), the authors' code (generative-models).
    """
    t = np.linspace(process.t_max, process.t_min, step_count(n) + 1)
    name = f"sgm_uniform(n={n}, process={process.name})"
    return _at_times(t[:-1] if final_zero else t, process, name, final_zero)


def _at_times(t: FloatArray, process: Process, name: str, final_zero: bool) -> Levels:
    sigma = np.minimum(np.asarray(process.level(t)), UNBOUNDED)
    return assemble(sigma, final_zero, process, name)


def simple(n: int, process: Process, final_zero: bool = True) -> Levels:
    """Levels of every (N/n)-th entry from the last: t_i = N - 1 - floor(i N / n).

    Args:
        n: number of steps, at most N.
        process: a tabulated process.
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n out of range or a process without a table.

    Source: ComfyUI's "simple".

    """
    table = table_of(process)
    n = at_most(n, table, process)
    # floor of the product, not of the quotient: which is which only where N/n is no binary number.
    t = table.size - 1.0 - np.floor(np.arange(n) * (table.size / n))
    return at_indices(t, table, final_zero, process, f"simple(n={n}, process={process.name})")


def ddim_uniform(n: int, process: Process, final_zero: bool = True) -> Levels:
    """Levels of the indices 1, 1 + c, 1 + 2c, ... below N, c = floor(N / n), from the top.

    Where n does not divide N there are more steps than n (31 for n = 30 of 1000), as in latent
    diffusion's own code; leading(steps_offset=1) has the first n of these indices.

    Args:
        n: number of steps, at most N.
        process: a tabulated process of at least two entries.
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n out of range or a process without a table.

    Source: Rombach et al. 2022 (arXiv 2112.10752), the authors' code; ComfyUI's "ddim_uniform".

    """
    table = table_of(process)
    n = at_most(n, table, process)
    if table.size < 2:
        raise ValueError(f"process must have at least 2 entries, {process.name} has 1")
    t = np.arange(1, table.size, table.size // n)[::-1].astype(np.float64)
    name = f"ddim_uniform(n={n}, process={process.name})"
    return at_indices(t, table, final_zero, process, name)


def quadratic(n: int, process: Process, share: float = 0.8, final_zero: bool = True) -> Levels:
    """Levels of indices spaced evenly in their root: t_i = floor((i / (n-1) sqrt(share N))^2).

    i counts from the clean end; a single step begins at the top of the range.  Indices that the
    rounding makes equal are one level: there may be fewer than n steps.

    Args:
        n: number of steps, at most N.
        process: a tabulated process.
        share: the part of the table that is used, in (0, 1); the noisiest part is left out.
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n or share out of range or a process without a table.

    Source: Song et al. 2020 (arXiv 2010.02502), appendix D.2, with the authors' factor 0.8.

    """
    table = table_of(process)
    n = at_most(n, table, process)
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie strictly between 0 and 1, got {share!r}")
    top = math.sqrt(table.size * share)
    t = np.floor(np.linspace(0.0, top, n) ** 2) if n > 1 else np.floor(np.array([top**2]))
    t = falling(t[::-1])
    name = f"quadratic(n={n}, process={process.name}, share={float(share)!r})"
    return at_indices(t, table, final_zero, process, name)


def space_timesteps(n: int | Sequence[int], process: Process, final_zero: bool = True) -> Levels:
    """Levels of indices spread evenly over each section of the table.

    The table is cut into as many sections as there are counts, the first ones an entry longer where
    they cannot be equal, from the clean end; a section of m entries from s with the count k has the
    indices s + round(j (m-1) / (k-1)), or s alone for k = 1.

    Args:
        n: number of steps, or one count for each section, the cleanest first.
        process: a tabulated process.
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for a count that its section cannot hold, no steps, or a process without a
            table.

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), the authors' code.

    """
    table = table_of(process)
    counts = [n] if isinstance(n, str) or not isinstance(n, Iterable) else list(n)
    for k in counts:
        if isinstance(k, bool) or not isinstance(k, int | np.integer):
            raise ValueError(f"n must be a whole number of steps, or one each section, got {n!r}")
    sections = np.array_split(np.arange(table.size), len(counts)) if counts else []
    t: list[float] = []
    for section, k in zip(sections, counts, strict=True):
        if not 0 <= k <= section.size:
            raise ValueError(f"n must give each section 0 to {section.size} steps, got {k}")
        stride = (section.size - 1) / (k - 1) if k > 1 else 1.0
        place = 0.0
        for _ in range(k):
            t.append(float(section[0] + round(place)))
            place += stride  # summed, as the authors do: halves are decided by its rounding
    if not t:
        raise ValueError(f"n must ask for at least one step, got {n!r}")
    name = f"space_timesteps(n={counts if len(counts) > 1 else counts[0]}, process={process.name})"
    return at_indices(np.array(t[::-1]), table, final_zero, process, name)


def beta_timesteps(
    n: int,
    process: Process,
    alpha: float = 0.6,
    beta: float = 0.6,
    final_zero: bool = True,
) -> Levels:
    """Levels of indices at quantiles of a Beta distribution: t_i = round(q(1 - i / n) (N - 1)).

    q is the quantile of Beta(alpha, beta).  Indices that the rounding makes equal are one level:
    there may be fewer than n steps.  diffusers has something else by this name, beta_sigmas().

    Args:
        n: number of steps, at most N.
        process: a tabulated process.
        alpha, beta: parameters of the distribution, in (0, 1000]; (0.5, 0.7) is "beta57".
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n or parameters out of range or a process without a table.

    Source: Lee et al. 2024 (arXiv 2407.12173), section 4; ComfyUI's "beta".

    """
    table = table_of(process)
    n = at_most(n, table, process)
    p = 1.0 - np.linspace(0.0, 1.0, n, endpoint=False)
    t = falling(np.round(beta_quantile(p, alpha, beta) * (table.size - 1)))
    given = f"alpha={float(alpha)!r}, beta={float(beta)!r}"
    name = f"beta_timesteps(n={n}, process={process.name}, {given})"
    return at_indices(t, table, final_zero, process, name)
