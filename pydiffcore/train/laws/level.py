# SPDX-License-Identifier: Apache-2.0
"""Laws of the level itself: lognormal, split lognormal, log-uniform, log-logistic, angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from pydiffcore.train.laws.core import FloatArray, Law, invert, law, number, ordered

__all__ = [
    "cosine_interpolated",
    "log_logistic",
    "lognormal",
    "loguniform",
    "split_lognormal",
    "v_diffusion",
]


def lognormal(mean: float = -1.2, std: float = 1.2) -> Law:
    """Normal ln sigma ~ N(mean, std²): sigma = exp(mean + std Φ⁻¹(u)).

    EDM has (-1.2, 1.2), EDM2 (-0.4, 1.0) for latents and (-0.8, 1.6) for pixels at 64².

    Raises:
        ValueError: std is not positive.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1; 2024 (arXiv 2312.02696).
    """
    mean, std = number("mean", mean), number("std", std, above=0.0)
    return normal_law(f"lognormal(mean={mean!r}, std={std!r})", mean, std)


def normal_law(name: str, mean: float, std: float) -> Law:
    def quantile(u: FloatArray) -> Any:
        return torch.special.ndtri(torch.tensor(u)).mul_(std).add_(mean).exp_().numpy()

    def density(sigma: FloatArray) -> Any:
        z = (np.log(sigma) - mean) / std
        return np.exp(-0.5 * z * z) / (std * math.sqrt(2 * math.pi))

    return law(name, quantile, lambda sigma: _ndtr((np.log(sigma) - mean) / std), density)


def split_lognormal(mean: float = -1.2, std_low: float = 1.2, std_high: float = 1.2) -> Law:
    """Normal ln sigma whose deviation is std_low below its mode and std_high above.

    The share r = std_low/(std_low + std_high) lies below exp(mean):
    ln sigma = mean + std_low Φ⁻¹(u/(2 r)) there, mean − std_high Φ⁻¹((1 − u)/(2 (1 − r))) above.

    Raises:
        ValueError: a deviation is not positive.

    Source: k-diffusion, rand_split_log_normal; the two-piece normal of Fechner.
    """
    mean = number("mean", mean)
    low, high = number("std_low", std_low, above=0.0), number("std_high", std_high, above=0.0)
    r = low / (low + high)

    def quantile(u: FloatArray) -> Any:
        below = mean + low * _ndtri(np.minimum(0.5 * u / r, 0.5))
        above = mean - high * _ndtri(np.minimum(0.5 * (1 - u) / (1 - r), 0.5))
        return np.exp(np.where(u < r, below, above))

    def cdf(sigma: FloatArray) -> Any:
        x = np.log(sigma) - mean
        return np.where(x < 0, 2 * r * _ndtr(x / low), 1 - 2 * (1 - r) * _ndtr(-x / high))

    def density(sigma: FloatArray) -> Any:
        x = np.log(sigma) - mean
        z = x / np.where(x < 0, low, high)
        return np.exp(-0.5 * z * z) * 2 / ((low + high) * math.sqrt(2 * math.pi))

    name = f"split_lognormal(mean={mean!r}, std_low={low!r}, std_high={high!r})"
    return law(name, quantile, cdf, density)


def loguniform(sigma_min: float = 0.02, sigma_max: float = 100.0) -> Law:
    """Uniform ln sigma ~ U(ln sigma_min, ln sigma_max): sigma = sigma_min (sigma_max/sigma_min)^u.

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max.

    Source: Song et al. 2021 (arXiv 2011.13456), VE with uniform t; Karras et al. 2022, table 1.
    """
    low, high = ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
    return uniform_law(f"loguniform(sigma_min={low!r}, sigma_max={high!r})", low, high)


def uniform_law(name: str, low: float, high: float) -> Law:
    width = math.log(high / low)
    return law(
        name,
        lambda u: np.clip(low * np.exp(width * u), low, high),
        lambda sigma: np.clip(np.log(sigma / low) / width, 0, 1),
        lambda sigma: np.where((sigma >= low) & (sigma <= high), 1 / width, 0),
    )


def log_logistic(
    mean: float = 0.0, scale: float = 1.0, sigma_min: float = 0.0, sigma_max: float = math.inf
) -> Law:
    """Logistic ln sigma ~ logistic(mean, scale), cut to [sigma_min, sigma_max].

    P(sigma) = 1/(1 + exp((mean − ln sigma)/scale)) before the cut.  (0, 1) is uniform flow time.

    Raises:
        ValueError: scale is not positive, or unless 0 <= sigma_min < sigma_max.

    Source: k-diffusion, rand_log_logistic.
    """
    mean, scale = number("mean", mean), number("scale", scale, above=0.0)
    low, high = _cut(sigma_min, sigma_max)

    def share(sigma: FloatArray) -> Any:
        return 1 / (1 + np.exp((mean - np.log(sigma)) / scale))

    def density(sigma: FloatArray) -> Any:
        return share(sigma) * (1 - share(sigma)) / scale

    def quantile(p: FloatArray) -> Any:
        return np.exp(mean + scale * np.log(p / (1 - p)))

    given = f"mean={mean!r}, scale={scale!r}, sigma_min={low!r}, sigma_max={high!r}"
    return _between(f"log_logistic({given})", low, high, quantile, share, density)


def v_diffusion(
    sigma_data: float = 1.0, sigma_min: float = 0.0, sigma_max: float = math.inf
) -> Law:
    """Angle atan(sigma/sigma_data) uniform: sigma = sigma_data tan(pi u/2), cut to a range.

    This is v-diffusion's cosine schedule with uniform time, and SD3's CosMap for sigma_data = 1.

    Raises:
        ValueError: sigma_data is not positive, or unless 0 <= sigma_min < sigma_max.

    Source: Salimans & Ho 2022 (arXiv 2202.00512), appendix D; k-diffusion, rand_v_diffusion; Esser
    et al. 2024 (arXiv 2403.03206), eq. 21.
    """
    data = number("sigma_data", sigma_data, above=0.0)
    low, high = _cut(sigma_min, sigma_max)

    def share(sigma: FloatArray) -> Any:
        return np.arctan(sigma / data) * (2 / math.pi)

    def quantile(p: FloatArray) -> Any:
        half = 0.5 * math.pi
        return data * (np.sin(half * p) / np.sin(half * (1 - p)))  # tan, to its digits near 1 too

    def density(sigma: FloatArray) -> Any:
        return (2 / math.pi) / (sigma / data + data / sigma)

    given = f"sigma_data={data!r}, sigma_min={low!r}, sigma_max={high!r}"
    return _between(
        f"v_diffusion({given})",
        low,
        high,
        quantile,
        share,
        density,
    )


def cosine_interpolated(
    image_size: float,
    size_low: float = 32.0,
    size_high: float = 256.0,
    sigma_data: float = 1.0,
    sigma_min: float = 1e-3,
    sigma_max: float = 1e3,
) -> Law:
    """Simple diffusion's interpolation between two cosine schedules shifted by resolution.

    With h(u, n) = ln(sigma_data image_size/n) + ln tan(a + u (b − a)), whose angles a and b put its
    ends at sigma_min and sigma_max: ln sigma = (1 − u) h(u, size_high) + u h(u, size_low).

    Args:
        image_size: side of the images.
        size_low: side whose schedule holds at the noisy end.
        size_high: side whose schedule holds at the clean end.
        sigma_data: standard deviation of the data.
        sigma_min, sigma_max: the range.

    Raises:
        ValueError: a size is not positive, size_low > size_high, or the range is empty.

    Source: Hoogeboom et al. 2023 (arXiv 2301.11093), section 3.1; k-diffusion,
    rand_cosine_interpolated.
    """
    side = number("image_size", image_size, above=0.0)
    few, many = number("size_low", size_low, above=0.0), number("size_high", size_high, above=0.0)
    if few > many:  # the interpolation would not rise
        raise ValueError(f"size_low is {few!r}, expected at most size_high = {many!r}")
    data = number("sigma_data", sigma_data, above=0.0)
    low, high = ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
    ends = {n: [math.atan(end * n / (data * side)) for end in (low, high)] for n in (few, many)}

    def curve(u: FloatArray, n: float) -> tuple[Any, Any]:
        """Return h and its derivative."""
        first, last = ends[n]
        angle = first + u * (last - first)
        slope = 2 * (last - first) / np.sin(2 * angle)
        return math.log(data * side / n) + np.log(np.tan(angle)), slope

    def log_sigma(u: FloatArray) -> Any:
        return (1 - u) * curve(u, many)[0] + u * curve(u, few)[0]

    def cdf(sigma: FloatArray) -> FloatArray:
        return invert(log_sigma, np.log(sigma))

    def density(sigma: FloatArray) -> Any:
        u = cdf(sigma)
        (clean, clean_slope), (noisy, noisy_slope) = curve(u, many), curve(u, few)
        slope = (1 - u) * clean_slope + u * noisy_slope + noisy - clean
        return np.where((sigma >= low) & (sigma <= high), 1 / slope, 0)

    given = f"sigma_data={data!r}, sigma_min={low!r}, sigma_max={high!r}"
    name = f"cosine_interpolated({side!r}, size_low={few!r}, size_high={many!r}, {given})"
    return law(name, lambda u: np.exp(log_sigma(u)), cdf, density)


def _between(name: str, low: float, high: float, quantile: Any, share: Any, density: Any) -> Law:
    """Return a law cut to [low, high]: the share p of the whole law runs over its shares there."""
    with np.errstate(divide="ignore"):
        first, last = (float(share(np.float64(end))) for end in (low, high))
    width = last - first

    def inside(sigma: FloatArray) -> Any:
        return (sigma >= low) & (sigma <= high) & (sigma > 0) & np.isfinite(sigma)

    return law(
        name,
        lambda u: np.clip(quantile(first + u * width), low, high),
        lambda sigma: np.clip((share(sigma) - first) / width, 0, 1),
        lambda sigma: np.where(inside(sigma), density(sigma) / width, 0),
    )


def _cut(low: Any, high: Any) -> tuple[float, float]:
    high = number("sigma_max", high, above=0.0, infinite=True)
    if low == 0:
        return 0.0, high
    low = number("sigma_min", low, above=0.0)
    if low >= high:
        raise ValueError(f"sigma_min is {low!r}, expected less than sigma_max = {high!r}")
    return low, high


def _ndtr(x: FloatArray) -> Any:
    return torch.special.ndtr(torch.tensor(x)).numpy()


def _ndtri(p: FloatArray) -> Any:
    return torch.special.ndtri(torch.tensor(p)).numpy()
