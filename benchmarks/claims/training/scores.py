# SPDX-License-Identifier: Apache-2.0
"""Every preset's learned score beside the exact one, on data whose score is known.

The data are a mixture of five Gaussians in the plane, of unlike weights and widths from 0.04 to
0.2. Each preset's cell (process, prediction, weight, law of the levels and loss as they are) trains
`mlp` on 1,280,000 fresh draws with the trainer that images have. As score = (D − x)/σ², the score's
error is that of D. At ten levels from the 1 % to the 99 % quantile of the law,

    R(σ) = E|D − D*|² / E|D_lin − D*|²,        x ~ p_σ

with D* the exact denoiser and D_lin the best linear one: 0 for the exact score and 1 for a network
that learned mean and covariance alone. The bar is on the mean of R over the levels where there is
something to learn: where D_lin's excess E|D_lin − D*|² is at least 5 % of its loss E|D_lin − x0|².
The averaged network's samples, drawn with the sampler that the paper has, are compared by energy
distance, relative to that of a Gaussian of the data's mean and covariance.

EDM2's u is compared with the loss that it stands for, and iDDPM's variances with the posterior's:
as the Kullback-Leibler divergence of the steps from the best ones, over that of the better of the
two fixed variances. That falls short above σ = 1: a variance's gradient goes with the square of
ln(large/small), which is 0.75 at the second step and 5e-5 at high noise, so that uniform steps
teach the lowest levels alone. The lengths of the trainings were chosen by u, which no average
smooths: after 1500 of the 2500 steps it was 0.16 off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.claims.claim import Figure, main
from benchmarks.claims.training import scores_page
from benchmarks.claims.training.energy import FloatArray, energy
from pydiffcore import Denoiser, exact, sample
from pydiffcore.data import Batch
from pydiffcore.train.config import configured
from pydiffcore.train.native import native_plan
from pydiffcore.train.presets import PRESETS
from pydiffcore.train.trainer import Trainer
from pydiffcore.train.variational import chain_of

STEPS, BATCH, LEVELS, JUDGED, SAMPLES, SEED = 2500, 512, 10, 16384, 2048, 0
NOTICEABLE, BAR = 0.05, 0.1
# Steps of the samplers, where their papers' are many; all others have native_plan's.
STEPS_DRAWN = {
    "ddpm": 250,
    "iddpm": 250,
    "ncsnpp-ve": 250,
    "ddpmpp-vp": 500,
    "subvp": 500,
    "edm2": 32,
}
MIXTURE = exact.mixture(
    [0.3, 0.25, 0.2, 0.15, 0.1],
    [[-0.65, -0.25], [0.1, 0.7], [0.6, -0.05], [0.05, -0.7], [0.85, 0.6]],
    [[0.15, 0.08], [0.06, 0.06], [0.1, 0.2], [0.12, 0.05], [0.04, 0.09]],
)
LINEAR = exact.gaussian(MIXTURE.mean, covariance=MIXTURE.covariance)


@dataclass(frozen=True)
class Row:
    """Errors at a level, each a mean square over elements and x.

    Attributes:
        sigma: the level.
        inside: whether it lies between the law's quantiles.
        learned, linear: |D − D*|² and |D_lin − D*|².
        left, linear_left: |D* − x0|², the posterior variance, and |D_lin − x0|².
        loss: λ|D − x0|².
        u: what the loss's own network says of ln(loss), NaN without one.
    """

    sigma: float
    inside: bool
    learned: float
    linear: float
    left: float
    linear_left: float
    loss: float
    u: float = math.nan

    @property
    def noticeable(self) -> bool:
        """Whether the linear denoiser misses something there, and the law trains it."""
        return self.inside and self.linear >= NOTICEABLE * self.linear_left


def trained(preset: str) -> Trainer:
    """Train a preset's cell on fresh draws."""
    trainer = Trainer(
        configured(preset=preset, overrides=[
            "network.name=mlp", "network.options={width=128, depth=3}", f"optimiser.batch={BATCH}",
            "optimiser.rate={peak=2e-3, kind='cosine', warmup=100}", f"run.images={STEPS * BATCH}",
            f"run.seed={SEED}", "averages.ema={kind='half_life', images=20000}",
        ]), shape=(2,), classes=0,
    )  # fmt: skip
    generator = np.random.default_rng(SEED)
    for i in range(STEPS):
        x0 = torch.from_numpy(MIXTURE.sample(BATCH, generator)).float()
        numbers = range(i * BATCH, (i + 1) * BATCH)
        trainer.advance(Batch(x0, None, numbers, numbers.stop))
    return trainer


def denoised(trainer: Trainer, x: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Return D(x; sigma) of the averaged network, and its v, empty where it learns none."""
    cell, network = trainer.cell, trainer.averages["ema"].eval()
    c_skip, c_out, c_in, c_noise = (float(c) for c in cell.prediction.coefficients(sigma))
    with torch.no_grad():
        output = network(torch.from_numpy(c_in * x).float(), torch.full((len(x),), c_noise))
    F, v = output.double().numpy()[:, :2], output.double().numpy()[:, 2:]
    return c_skip * x + c_out * F, v


def noised(sigma: float) -> tuple[FloatArray, FloatArray]:
    """Return x0 and x = x0 + sigma z, [JUDGED, 2] each, that no training has seen."""
    generator = np.random.default_rng(SEED + 1)
    x0 = MIXTURE.sample(JUDGED, generator)
    return x0, x0 + sigma * generator.standard_normal(x0.shape)


def row(trainer: Trainer, sigma: float, inside: bool) -> Row:
    """Measure one level."""
    x0, x = noised(sigma)
    D, _ = denoised(trainer, x, sigma)
    best, linear = MIXTURE(x, sigma), LINEAR(x, sigma)

    def mean(a: FloatArray, b: FloatArray) -> float:
        return float(np.mean((a - b) ** 2))

    u = math.nan
    if trainer.head is not None:
        c_noise = float(trainer.cell.prediction.coefficients(sigma)[3])
        with torch.no_grad():
            u = float(trainer.head(torch.full((1,), c_noise)))
    loss = float(trainer.cell.weight(sigma)) * mean(D, x0)
    return Row(sigma, inside, mean(D, best), mean(linear, best), mean(best, x0), mean(linear, x0),
               loss, u)  # fmt: skip


def rows(trainer: Trainer, ends: tuple[float, float]) -> list[Row]:
    """Measure the levels that the law trains, and the sampler's last and first besides."""
    levels = trainer.cell.law.levels
    low, high = trainer.cell.law.quantile(np.array([0.01, 0.99]))
    inside = np.geomspace(low, high, LEVELS)
    if levels is not None:  # a table's own levels, which the bound of the chain wants
        inside = levels[np.abs(np.log(levels / inside[:, None])).argmin(axis=1)]
    found = [row(trainer, float(sigma), True) for sigma in inside]
    return sorted([*found, *(row(trainer, end, False) for end in ends)], key=lambda r: r.sigma)


def posterior_variance(x: FloatArray, sigma: float) -> FloatArray:
    """Return Var[x0 | x] of each element, σ² ∂D*/∂x by central differences, [B, 2]."""
    h = 1e-5 * sigma
    slopes = []
    for j in range(2):
        e = h * np.eye(2)[j]
        slopes.append((MIXTURE(x + e, sigma) - MIXTURE(x - e, sigma))[:, j] / (2 * h))
    return sigma**2 * np.stack(slopes, axis=1)


def variances(trainer: Trainer, i: int, count: int) -> tuple[float, float, float]:
    """Return the divergence, in nats, of step i from the best one: learned, small, large variance.

    The best one has the exact mean, and the variance that is least given x: small + gain² Var.
    """
    chain = chain_of(trainer.cell.process)
    sigma = float(chain.levels[i])
    x = noised(sigma)[1][:count]
    small, large, gain = chain.log_small[i], chain.log_large[i], chain.gain[i]
    best = np.log(np.exp(small) + gain**2 * posterior_variance(x, sigma))
    v = denoised(trainer, x, sigma)[1]
    learned = small + 0.5 * (v + 1) * (large - small)

    def divergence(log_p: FloatArray | float) -> float:
        return float(np.mean(0.5 * (np.exp(best - log_p) - 1 + log_p - best)))

    return divergence(learned), divergence(small), divergence(large)


def learned_variances(preset: str, trainer: Trainer, found: list[Row]) -> Iterator[Figure]:
    """How far the learned variances of the chain are from the best, in all and by level."""
    chain = chain_of(trainer.cell.process)
    learned, small, large = (
        sum(parts) for parts in
        zip(*(variances(trainer, i, 512) for i in range(1, len(chain.levels))), strict=True)
    )  # fmt: skip
    yield Figure(
        f"{preset}: divergence by the learned variances over that by the better fixed ones, of "
        "all steps together", learned / min(small, large),
        note=f"{learned:.2g} nats per element; small {small:.2g}, large {large:.2g}",
    )  # fmt: skip
    inside = [each.sigma for each in found if each.inside]
    steps = chain.indices(np.array(inside))
    each = [variances(trainer, int(i), JUDGED) for i in steps]
    shares = [one / min(*fixed) for one, *fixed in each]
    yield Figure(
        f"{preset}: the same, mean of the ten levels' own ratios", float(np.mean(shares)), "<= 1",
        note=", ".join(f"{share:.2g}" for share in shares)
        + f"; of the highest, {min(each[-1][1:]):.1g} nats are to be learned",
    )  # fmt: skip


def sampled(preset: str, trainer: Trainer) -> tuple[Figure, tuple[float, float]]:
    """Draw with the preset's own sampler; return the figure, and its last and first level."""
    cell, network = trainer.cell, trainer.averages["ema"].eval()
    # The bounds are those of images; 0.3 % of the data lie outside.
    plan = native_plan(cell, STEPS_DRAWN.get(preset), bounds=(-1.0, 1.0))
    denoiser = Denoiser(network, cell.prediction, learned_variance=cell.learned_variance)
    x = sample(denoiser, plan, shape=trainer.shape, seeds=range(SAMPLES)).double().numpy()
    generator = np.random.default_rng(SEED + 2)
    fresh = MIXTURE.sample(2 * SAMPLES, generator)
    gaussian = generator.multivariate_normal(MIXTURE.mean, MIXTURE.covariance, 2 * SAMPLES)
    far = energy(gaussian, fresh)
    note = f"{plan.nfe} calls, {SAMPLES} samples; two sets of the data of that size: "
    note += f"{energy(MIXTURE.sample(SAMPLES, generator), fresh) / far:.1g}"
    figure = Figure(f"{preset}: energy distance of {cell.sampler}'s samples, that of a "
                    "Gaussian being 1", energy(x, fresh) / far, f"<= {BAR}", note=note)  # fmt: skip
    return figure, (float(plan.sigma.min()), float(plan.sigma.max()))


def judged(preset: str, found: list[Row]) -> Figure:
    """The figure with the bar: the mean of R where there is something to learn."""
    noticed = [each for each in found if each.noticeable]
    shares = [each.learned / each.linear for each in noticed]
    note = f"{len(noticed)} levels from {noticed[0].sigma:.2g} to {noticed[-1].sigma:.2g}: "
    note += ", ".join(f"{share:.2g}" for share in shares)
    what = f"{preset}: share of what the best linear denoiser misses"
    return Figure(what, float(np.mean(shares)), f"<= {BAR}", note=note)


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    table: dict[str, list[Row]] = {}
    for preset in PRESETS:
        trainer = trained(preset)
        figure, ends = sampled(preset, trainer)
        found = table[preset] = rows(trainer, ends)
        yield judged(preset, found)
        if trainer.head is not None:
            most = max(abs(each.u - math.log(each.loss)) for each in found if each.inside)
            yield Figure(
                f"{preset}: largest distance of u from ln E λ(D − x0)², ten levels", most, "<= 0.1"
            )
        if trainer.cell.loss == "hybrid":
            yield from learned_variances(preset, trainer, found)
        yield figure
    scores_page.write(table, (__doc__ or "").strip())


if __name__ == "__main__":
    main(measure)
