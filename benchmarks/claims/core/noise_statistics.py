# SPDX-License-Identifier: Apache-2.0
"""The noise is unit normal and independent, as far as 10⁸ values can tell.

10 seeds × 10 streams × 10⁶ elements of the public ``pydiffcore.normal``; the seeds are consecutive
small numbers and numbers that differ in one high bit, the streams are consecutive, since that is
where a counter-based generator would fail. Everything is summed in float64. A family of tests has
one figure, its largest |z|, and its bar is the value that a family of so many ideal statistics
exceeds once in a thousand times; seeds are fixed, so the figures are the same at each run.

The tail is also known without sampling: every radius word whose radius reaches 4 is enumerated,
which gives the exact mass of the generator's law beyond 4, 5 and 6 σ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy import special, stats

import pydiffcore
from benchmarks.claims.claim import Figure, main
from pydiffcore.ops.noise import SAMPLER, reference_box_muller

SEEDS = [0, 1, 2, 3, 4, 5, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
STREAMS = range(10)
SIZE = 1_000_000
SERIES = len(SEEDS) * len(STREAMS)
N = SERIES * SIZE
CHUNK = 50_000


def limit(size: int) -> float:
    """|z| that the largest of ``size`` unit normals exceeds once in a thousand times."""
    return float(stats.norm.isf(1e-3 / (2 * size)))


def family(what: str, z: np.ndarray, note: str) -> Figure:
    """The largest |z| of a family of statistics that are unit normals for ideal noise."""
    z = np.ravel(z)
    return Figure(f"{what}, largest |z| of {z.size:,}", float(np.abs(z).max()),
                  f"<= {limit(z.size):.2f}", note=note)  # fmt: skip


def noise() -> torch.Tensor:
    """All values, float32 [seeds × streams, SIZE]."""
    parts = [pydiffcore.normal(SEEDS, (SIZE,), purpose=SAMPLER, stream=s) for s in STREAMS]
    return torch.cat(parts)


def moments(values: torch.Tensor) -> np.ndarray:
    """z-scores of the moments 1 … 8, [5, 8]: of each lane of a Philox block, then of all."""
    total = torch.zeros(4, 8, dtype=torch.float64)
    for row in values:
        x = row.double().view(-1, 4)
        power = x.clone()
        for k in range(8):
            total[:, k] += power.sum(0)
            power *= x
    sums = np.vstack([total.numpy(), total.numpy().sum(0)])
    count = np.array([N / 4] * 4 + [N])[:, None]
    odd = np.array([math.prod(range(1, k, 2)) if k % 2 == 0 else 0 for k in range(1, 9)])
    second = np.array([math.prod(range(1, 2 * k, 2)) for k in range(1, 9)])
    return (sums / count - odd) / np.sqrt((second - odd**2) / count)


def kolmogorov(values: torch.Tensor) -> tuple[float, float]:
    """Distance of the empirical distribution from Φ, over all values, and its p-value."""
    ordered = np.sort(values.view(-1).numpy())
    distance = 0.0
    for start in range(0, N, 1 << 22):
        part = special.ndtr(ordered[start : start + (1 << 22)].astype(np.float64))
        rank = np.arange(start, start + len(part)) / N
        distance = max(distance, float((part - rank).max()), float((rank + 1 / N - part).max()))
    return distance, float(special.kolmogorov(distance * math.sqrt(N)))


def tail_counts(values: torch.Tensor) -> tuple[np.ndarray, list[int]]:
    """z-scores of the numbers of values beyond ±4 and ±5, from the exact binomial law."""
    scores, counts = [], []
    for bound in (4.0, 5.0):
        for side in (1, -1):
            count = int((side * values > bound).sum())
            law = stats.binom(N, special.ndtr(-bound))
            # The mid-p value: the count's own probability is shared between both sides.
            scores.append(-special.ndtri(law.sf(count) + law.pmf(count) / 2))
            counts.append(count)
    return np.array(scores), counts


def exact_tail(bound: float) -> float:
    """Mass of the generator's own law beyond ±bound over the normal's, minus 1.

    A radius r with the angle uniform puts (2/π) arccos(bound / r) of its mass there.
    """
    words = np.arange(math.ceil(2**32 * math.exp(-(bound**2) / 2)) + 64, dtype=np.uint64)
    radius, _ = reference_box_muller(words, np.zeros_like(words))
    r = radius.astype(np.float64)
    beyond = 2 / math.pi * np.arccos(bound / r[r > bound])
    return float(math.fsum(beyond) / 2**32 / (2 * special.ndtr(-bound)) - 1)


def correlations(values: torch.Tensor) -> list[np.ndarray]:
    """z-scores of sums of products, of the values [0] and of their squares [1].

    Matrices of 400 sequences of 250,000 values each: one per stream, seed and lane of a block.
    """
    blocks = values.view(SERIES, -1, 4)
    width = 4 * SERIES
    gram, gram2 = torch.zeros(2, width, width, dtype=torch.float64)
    for start in range(0, blocks.shape[1], CHUNK // 4):
        part = blocks[:, start : start + CHUNK // 4].double()
        part = part.permute(0, 2, 1).reshape(width, -1)
        gram += part @ part.T
        squares = (part.square_() - 1) / math.sqrt(2)
        gram2 += squares @ squares.T
    return [total.numpy() / math.sqrt(SIZE / 4) for total in (gram, gram2)]


def pooled(matrix: np.ndarray) -> np.ndarray:
    """z-scores of all pairs of streams, over seeds and lanes, and of all pairs of seeds."""
    cube = matrix.reshape(10, 10, 4, 10, 10, 4)
    streams = np.einsum("aklbkl->ab", cube)
    seeds = np.einsum("kalkbl->ab", cube)
    pairs = np.triu_indices(10, 1)
    return np.concatenate([streams[pairs], seeds[pairs]]) / math.sqrt(40)


def lags(values: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """z-scores of the circular correlations at every lag below SIZE / 2, pooled over the series."""
    power, power2 = torch.zeros(2, SIZE // 2 + 1, dtype=torch.float64)
    for row in values:
        x = row.double()
        power += torch.fft.rfft(x).abs().square()
        power2 += torch.fft.rfft((x.square() - 1) / math.sqrt(2)).abs().square()
    both = [torch.fft.irfft(p, n=SIZE)[1 : SIZE // 2] / math.sqrt(N) for p in (power, power2)]
    return both[0].numpy(), both[1].numpy()


def tails(values: torch.Tensor) -> Iterator[Figure]:
    """Tail mass, sampled and enumerated."""
    score, counts = tail_counts(values)
    yield family("counts beyond +4, −4, +5, −5", score,
                 f"{counts}, exact binomial law; expected 3167 and 28.7; seen would be 7 % more "
                 "beyond 4, 80 % more beyond 5")  # fmt: skip
    for bound, bar, note in (
        (4.0, "<= 1e-4", "enumerated, no sampling error"),
        (5.0, "<= 1e-3", "enumerated, no sampling error"),
        (6.0, "", "enumerated: 65 radius words reach so far; the largest value is 6.76, beyond "
         "which a true normal has a mass of 1.3e-11"),
    ):  # fmt: skip
        yield Figure(f"tail mass beyond {bound:g}σ, relative error", abs(exact_tail(bound)), bar,
                     note=note)  # fmt: skip


def dependence(values: torch.Tensor) -> Iterator[Figure]:
    """Correlations between sequences and inside them."""
    upper = np.triu_indices(4 * SERIES, 1)
    for matrix, of in zip(correlations(values), ("values", "squares"), strict=True):
        yield family(f"correlation of {of} across streams and across seeds", pooled(matrix),
                     "pairs of 10 streams, pairs of 10 seeds, 10⁷ values each; seen would be a "
                     "correlation of 1.4e-3 in one pair")  # fmt: skip
        yield family(f"correlation of {of}, every pair of (seed, stream, lane)", matrix[upper],
                     "250,000 values each; seen would be a correlation of 0.012 in one "
                     "pair")  # fmt: skip
    for score, of in zip(lags(values), ("values", "squares"), strict=True):
        yield family(f"correlation of {of} at every lag below 500,000", score,
                     "FFT, pooled over the 100 series; seen would be a correlation of 6e-4 at one "
                     "lag")  # fmt: skip


def measure() -> Iterator[Figure]:
    """Draw, then test one family after another."""
    values = noise()
    yield Figure("values tested", values.numel(), ">= 1e8",
                 note=f"{len(SEEDS)} seeds × {len(STREAMS)} streams")  # fmt: skip
    distance, p = kolmogorov(values)
    yield Figure("Kolmogorov–Smirnov p-value", p, ">= 1e-4",
                 note=f"D = {distance:.2e}; D above 2.2e-4 would be refused: a mean of 5.6e-4 or a "
                 "deviation off by 9.2e-4")  # fmt: skip
    score = moments(values)
    yield family("moments 1–8, all values", score[-1],
                 "exact variances; seen would be a mean of 4e-4, a variance off by 5.4e-4, an 8th "
                 "moment off by 0.5 %")  # fmt: skip
    yield family("moments 1–8, each lane of a block", score[:-1],
                 "cosine and sine of two pairs of words; seen would be twice as much")  # fmt: skip
    yield from tails(values)
    yield from dependence(values)


if __name__ == "__main__":
    main(measure)
