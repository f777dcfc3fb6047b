# SPDX-License-Identifier: Apache-2.0
"""The variational bound of a discrete chain, in bits per dimension, and the hybrid loss.

A table of N levels sigma_0 < … < sigma_(N−1) is a chain x_(N−1) … x_0 in the scale of x_t, with
alpha_i² = 1/(1 + sigma_i²) and sigma_(−1) = 0.  Its posterior given x0 and the network's step are

    q(x_(i−1) | x_i, x0) = N(gain_i x0 + … x_i, small_i)       gain = (s² − r²)/(s² sqrt(1 + r²))
    p(x_(i−1) | x_i)     = N(gain_i D + … x_i, e^l)             large = (s² − r²)/(1 + s²)
    l = f ln large_i + (1 − f) ln small_i,  f = (v + 1)/2       small = (s² − r²) r²/(s² (1 + r²))

with s = sigma_i and r = sigma_(i−1); large is beta_i.  Hence each step's KL divergence depends on
D − x0 and v alone.  The last step, to the data, is the likelihood of 8-bit pixels under the
Gaussian.  small_0 = 0 has no logarithm; small_1 stands for it.
Source: Ho et al. 2020 (arXiv 2006.11239), eqs. 5 to 7 and 13; Nichol & Dhariwal 2021 (arXiv
2102.09672), eqs. 15 and 16.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.denoiser import halves
from pydiffcore.ops.corruption import corrupt
from pydiffcore.prediction import Prediction
from pydiffcore.process import Process
from pydiffcore.train.loss import Weight
from pydiffcore.train.squared import squared_error
from pydiffcore.train.weights import on_output, unit_eps

__all__ = ["Chain", "hybrid_terms", "vlb_terms"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Chain:
    """The steps of a table, each float64 [N].

    Fields:
        levels: sigma_i, ascending.
        gain: what the mean of x_(i−1) has of x0.
        log_small, log_large: logarithms of the two variances that learned ones lie between.
    """

    levels: FloatArray
    gain: FloatArray
    log_small: FloatArray
    log_large: FloatArray

    def indices(self, sigma: Any) -> NDArray[np.int64]:
        """Return the index of each level, int64 [B]; ValueError for one that the table lacks."""
        given = np.asarray(sigma, np.float64)
        found = np.searchsorted(np.sqrt(self.levels[1:] * self.levels[:-1]), given)
        missing = ~np.isclose(self.levels[found], given, rtol=1e-6, atol=0)
        if missing.any():
            raise ValueError(
                f"sigma holds {float(given[missing][0])}, which is no level of the table"
            )
        return found

    def bits(self, square: Tensor, v: Tensor, index: NDArray[np.int64]) -> Tensor:
        """Return KL(q ‖ p) of each element in bits, [B, *], of steps that do not end at the data.

        Args:
            square: (D − x0)², [B, *].
            v: the learned part of the variance, [B, *].
            index: i of each sample, int64 [B].
        """
        small, large = (
            self._column(self.log_small, index, v),
            self._column(self.log_large, index, v),
        )
        log_p = small + 0.5 * (v + 1) * (large - small)
        gain = self._column(self.gain**2, index, v)
        nats = log_p - small - 1 + (small - log_p).exp() + gain * square * (-log_p).exp()
        return nats * (0.5 / math.log(2))

    def pixel_bits(self, x0: Tensor, D: Tensor, v: Tensor) -> Tensor:
        """Return −log2 p(x0 | x_0's noise) of 8-bit pixels in [−1, 1], element by element, [k, *].

        The Gaussian's mass between the edges of the pixel's value, 1/255 on either side; the
        outermost values reach to infinity.
        """
        small, large = float(self.log_small[0]), float(self.log_large[0])
        scale = (-0.5 * (small + 0.5 * (v + 1) * (large - small))).exp()
        above, below = (x0 + 1 / 255 - D) * scale, (x0 - 1 / 255 - D) * scale
        low, high = torch.special.log_ndtr(above), torch.special.log_ndtr(-below)
        # Between two upper tails the difference would cancel: mirror those to the lower side.
        flip = above + below > 0
        more = torch.where(flip, high, low)
        less = torch.special.log_ndtr(torch.where(flip, -above, below))
        inside = more + torch.log(-torch.expm1(less - more))
        log_p = torch.where(x0 < -0.999, low, torch.where(x0 > 0.999, high, inside))
        return log_p * (-1 / math.log(2))

    def _column(self, values: FloatArray, index: NDArray[np.int64], like: Tensor) -> Tensor:
        column = torch.from_numpy(values[index]).to(like)
        return column.view(-1, *(1,) * (like.ndim - 1))


@functools.lru_cache(maxsize=16)
def chain_of(process: Process) -> Chain:
    """Return the chain of a process with a table.

    Raises:
        ValueError: the process has no table, one entry only, or an infinite level.
    """
    if process.size is None or process.size < 2:
        raise ValueError(f"process is {process.name}, expected one with a table of 2 or more")
    s = np.asarray(process.level(np.arange(process.size)), np.float64)
    if not np.isfinite(s[-1]):
        raise ValueError(
            f"process is {process.name}, whose last level is infinite: it has no bound"
        )
    r = np.append(0.0, s[:-1])
    difference = (s - r) * (s + r)
    large = difference / (1 + s * s)
    small = difference * (r / s) ** 2 / (1 + r * r)
    small[0] = small[1]
    return Chain(s, difference / (s * s * np.hypot(1, r)), np.log(small), np.log(large))


def vlb_terms(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: FloatArray,
    prediction: Prediction,
    process: Process,
    *,
    seeds: Any,
    stream: int = 0,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return N times a step's part of the variational bound, bits per dimension: [B].

    Its mean over uniform indices is the bound L_0 + … + L_(N−1), without the last level's own
    divergence from N(0, 1), which no network changes.

    Args:
        network: returns twice the channels on axis 1, F and v.
        images: clean data [B, C, *] in [−1, 1] of 256 values, uint8 or floating-point.
        sigma: levels [B], each of the table.
        prediction: what F means.
        process: the process with the table.
        seeds, stream, condition: of ``denoising_loss``.

    Raises:
        TypeError, ValueError: an argument does not fit.

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), eqs. 4 to 7.
    """
    noisy, target, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    F, v = halves(network(noisy, c_noise, **(condition or {})))
    return _bound(F, v, images, target, sigma, prediction, process)


def hybrid_terms(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: FloatArray,
    prediction: Prediction,
    process: Process,
    *,
    seeds: Any,
    stream: int = 0,
    weight: Weight | None = None,
    share: float = 0.001,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return L_simple + share · L_vlb, where the bound trains the variance only: [B].

    Args:
        network, images, sigma, prediction, process, seeds, stream, condition: of
            :func:`vlb_terms`.
        weight: of the first part; unit_eps() where None.
        share: of the bound, which is the sum over all N steps.

    Raises:
        TypeError, ValueError: an argument does not fit.

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), eq. 16.
    """
    noisy, target, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    F, v = halves(network(noisy, c_noise, **(condition or {})))
    simple = squared_error(F, target)
    weigh = on_output(weight or unit_eps(), prediction, sigma)
    bound = _bound(F.detach(), v, images, target, sigma, prediction, process)
    return simple * torch.from_numpy(weigh).to(simple) + share * bound


def _bound(
    F: Tensor,
    v: Tensor,
    images: Tensor,
    target: Tensor,
    sigma: FloatArray,
    prediction: Prediction,
    process: Process,
) -> Tensor:
    chain = chain_of(process)
    index = chain.indices(sigma)
    v = v.to(torch.promote_types(v.dtype, target.dtype))
    c_out = torch.from_numpy(prediction.coefficients(sigma)[1]).to(target)
    error = (F - target) * c_out.view(-1, *(1,) * (target.ndim - 1))
    terms = chain.bits(error.square(), v, index).flatten(1).mean(1)
    last = np.flatnonzero(index == 0)
    if last.size:
        rows = torch.from_numpy(last).to(target.device)
        clean = images[rows]
        x0 = clean.float() / 127.5 - 1 if images.dtype == torch.uint8 else clean.to(target)
        pixels = chain.pixel_bits(x0, x0 + error[rows], v[rows])
        terms = terms.index_copy(0, rows, pixels.flatten(1).mean(1).to(terms))
    return len(chain.levels) * terms
