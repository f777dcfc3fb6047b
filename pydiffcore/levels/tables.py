# SPDX-License-Identifier: Apache-2.0
"""Levels taken from the table of a discrete process.

N is the number of entries, t an index 0 .. N-1.  The spacings trailing, leading and linspace are
those of table 2 of Lin et al. 2024 (arXiv 2305.08891) with the rounding that the schedulers of the
diffusers library use, so that a network sees the same labels there and here.  Without final_zero a
rule whose indices come to 0 has a step fewer than indices.
"""

import numpy as np

from pydiffcore import process as processes
from pydiffcore.levels.core import UNBOUNDED, FloatArray, Levels, assemble, ramp, step_count
from pydiffcore.levels.number import ends
from pydiffcore.process import Process
from pydiffcore.process.core import checked


def iddpm(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 81.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels of the iDDPM column of EDM's table 1: evenly indexed entries of its table u_j.

    sigma_i = v_k, k = floor(r (m-1) + 1/2), where v_0 > ... > v_{m-1} are the entries of
    u_j within [sigma_min, sigma_max].  The default range of the default table starts at j0 = 8.

    Args:
        n: number of steps, at most the number of entries in the range; r = i/(n − 1) runs over
            their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: range of the entries used.
        process: a tabulated process whose levels are u_j; iddpm() by default.
        final_zero: end at 0 (and count that step) or at the last entry.

    Raises:
        ValueError: for n out of range, an empty range, or a process without a table.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    low, high = ends(sigma_min, sigma_max)
    process = process or processes.iddpm()
    table = table_of(process)[::-1]
    table = table[(table >= low) & (table <= high)]
    r = ramp(n, final_zero)
    if r.size > table.size:
        raise ValueError(
            f"n = {n} asks for {r.size} levels, but {process.name} has {table.size} entries "
            f"between sigma_min = {low!r} and sigma_max = {high!r}"
        )
    sigma = table[np.floor(r * (table.size - 1) + 0.5).astype(np.int64)]
    name = f"iddpm(n={n}, sigma_min={low!r}, sigma_max={high!r}, process={process.name})"
    return assemble(sigma, final_zero, process, name)


def table_of(process: Process) -> FloatArray:
    size = checked(process).size
    if size is None:
        raise ValueError(f"process must be tabulated (discrete or iddpm), got {process.name}")
    return np.minimum(process.level(np.arange(size)), UNBOUNDED)


def at_indices(
    t: FloatArray, table: FloatArray, final_zero: bool, process: Process, name: str
) -> Levels:
    """Return the levels at falling indices, to 0 or to the table's lowest level, visited or not."""
    if t[0] > table.size - 1:
        raise ValueError(f"{name} starts at index {t[0]:g}, past the last entry {table.size - 1}")
    if not final_zero and t.size == 1 and t[0] == 0:
        raise ValueError(
            f"{name} has the table's lowest level alone: with final_zero=False expected n of at "
            "least 2"
        )
    whole = t.astype(np.int64)
    sigma = table[whole]
    fractional = t != whole
    if fractional.any():
        sigma[fractional] = np.interp(t[fractional], np.arange(table.size), table)
    if not final_zero and t[-1] > 0.0:
        sigma = np.append(sigma, table[0])
    return assemble(sigma, final_zero, process, name)


def at_most(n: int, table: FloatArray, process: Process) -> int:
    if step_count(n) > table.size:
        raise ValueError(f"n must be at most the {table.size} entries of {process.name}, got {n}")
    return int(n)


def trailing(n: int, process: Process, final_zero: bool = True) -> Levels:
    """Levels of the indices t_i = round(N (1 - i / n)) - 1: the last entry comes first.

    Args:
        n: number of steps, at most N.
        process: a tabulated process.
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n out of range or a process without a table.

    Source: Lin et al. 2024 (arXiv 2305.08891), table 2.

    """
    table = table_of(process)
    n = at_most(n, table, process)
    # Halves are decided by the rounding of arange's own stride, so any other form of the same sum
    # would round some of them the other way than diffusers.  For some n (975 of 1000) arange gives
    # one entry too many, which is there an index of -1; n entries are taken.
    t = np.round(np.arange(table.size, 0.0, -table.size / n)[:n]) - 1.0
    return at_indices(t, table, final_zero, process, f"trailing(n={n}, process={process.name})")


def leading(
    n: int,
    process: Process,
    steps_offset: int = 0,
    drop_last: bool = False,
    final_zero: bool = True,
) -> Levels:
    """Levels of the indices t_i = (n - 1 - i) floor(N / n) + steps_offset.

    Args:
        n: number of steps, at most N.
        process: a tabulated process.
        steps_offset: added to every index.
        drop_last: make n + 1 indices, (n - i) floor(N / (n + 1)) + steps_offset, and leave out the
            lowest, as diffusers' DPMSolverMultistep does.
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n out of range, a process without a table, or an index outside it.

    Source: Lin et al. 2024 (arXiv 2305.08891), table 2.

    """
    table = table_of(process)
    n = at_most(n, table, process)
    if isinstance(steps_offset, bool) or not isinstance(steps_offset, int) or steps_offset < 0:
        raise ValueError(f"steps_offset must be a whole number from 0, got {steps_offset!r}")
    stride = table.size // (n + 1 if drop_last else n)
    t = (np.arange(n, dtype=np.float64)[::-1] + drop_last) * stride + steps_offset
    name = f"leading(n={n}, process={process.name}, steps_offset={steps_offset}"
    return at_indices(t, table, final_zero, process, f"{name}, drop_last={bool(drop_last)})")


def linspace(
    n: int,
    process: Process,
    drop_last: bool = False,
    rounded: bool = True,
    final_zero: bool = True,
) -> Levels:
    """Levels of n indices spaced evenly from N - 1 to 0, both included.

    For n = 1 the index is N - 1 (diffusers takes 0, where nothing is noise).

    Args:
        n: number of steps, at most N.
        process: a tabulated process.
        drop_last: make n + 1 indices and leave out 0, as diffusers' DPMSolverMultistep does.
        rounded: round to whole indices, as diffusers' DDIM, DDPM and DPMSolverMultistep do; with
            rounded=False levels between entries are interpolated linearly, as its Euler does (the
            time of such a level then differs from the index, as time() interpolates in log level).
        final_zero: end at 0, or at the lowest level of the table.

    Raises:
        ValueError: for n out of range or a process without a table.

    Source: Lin et al. 2024 (arXiv 2305.08891), table 2.

    """
    table = table_of(process)
    n = at_most(n, table, process)
    points = n + 1 if drop_last else n
    last = table.size - 1.0
    t = np.linspace(0.0, last, points)[::-1][:n] if points > 1 else np.array([last])
    t = np.round(t) if rounded else t
    name = f"linspace(n={n}, process={process.name}, drop_last={bool(drop_last)}"
    return at_indices(t, table, final_zero, process, f"{name}, rounded={bool(rounded)})")
