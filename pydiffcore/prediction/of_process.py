# SPDX-License-Identifier: Apache-2.0
"""Predictions of a process's network, which sees x_t = alpha x and the process's own label."""

from typing import Any

import numpy as np

from pydiffcore import process as processes
from pydiffcore.prediction.core import FloatArray, Prediction, predicted
from pydiffcore.process import Process
from pydiffcore.process.core import checked


def label(process: Process, sigma: FloatArray) -> Any:
    return process.label(process.time(sigma))


def eps(process: Process) -> Prediction:
    """F is the noise: D = x - sigma F(alpha x; label).

    Args:
        process: gives c_in = alpha and the label of a level.

    Source: Ho et al. 2020 (arXiv 2006.11239), eq. 15 solved for x0.

    """
    return predicted(
        f"eps({checked(process).name})",
        lambda sigma: (1.0, -sigma, process.alpha_at(sigma), label(process, sigma)),
    )


def x0(process: Process) -> Prediction:
    """F is the clean sample: D = F(alpha x; label).

    Args:
        process: gives c_in = alpha and the label of a level.

    """
    return predicted(
        f"x0({checked(process).name})",
        lambda sigma: (0.0, 1.0, process.alpha_at(sigma), label(process, sigma)),
    )


def v(process: Process) -> Prediction:
    """F is v = alpha eps - sigma_t x0: D = (alpha x_t - sigma_t F) / (alpha^2 + sigma_t^2).

    In the EDM frame D = (x - (sigma / alpha) F(alpha x; label)) / (1 + sigma^2).  For a
    variance-preserving process alpha^2 + sigma_t^2 = 1 and this is the usual alpha x_t - sigma_t F;
    for other processes v keeps its definition and the division makes D exact.

    Args:
        process: gives alpha and the label of a level.

    Source: Salimans & Ho 2022 (arXiv 2202.00512), appendix D.

    """

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        alpha = process.alpha_at(sigma)
        total = np.hypot(1.0, sigma)
        return total**-2.0, -(sigma / total) / (alpha * total), alpha, label(process, sigma)

    return predicted(f"v({checked(process).name})", formula)


def score(process: Process) -> Prediction:
    """F is the score of the marginal of x_t: D = x + alpha sigma^2 F(alpha x; label).

    Tweedie's formula alpha D = x_t + sigma_t^2 grad log p_t(x_t), divided by alpha.

    Args:
        process: gives alpha and the label of a level.

    Source: Song et al. 2021 (arXiv 2011.13456), eq. 7; Efron 2011 for Tweedie's formula.

    """

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        alpha = process.alpha_at(sigma)
        return 1.0, (alpha * sigma) * sigma, alpha, label(process, sigma)

    return predicted(f"score({checked(process).name})", formula)


def velocity(process: Process | None = None) -> Prediction:
    """F is the rectified-flow velocity eps - x0: D = (x_t - sigma_t F) / (alpha + sigma_t).

    In the EDM frame D = (x - sigma F(alpha x; label)) / (1 + sigma).  For flow(), where
    alpha + sigma_t = 1, F is dx_t / dt; on another process F is still eps - x0 and D exact.

    Args:
        process: gives c_in = alpha and the label of a level; flow() by default.

    Source: Liu et al. 2023 (arXiv 2209.03003), eq. 1 with noise as the start point.

    """
    chosen = processes.flow() if process is None else checked(process)

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        total = 1.0 + sigma
        return 1.0 / total, -sigma / total, chosen.alpha_at(sigma), label(chosen, sigma)

    return predicted(f"velocity({chosen.name})", formula)
