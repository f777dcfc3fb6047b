# SPDX-License-Identifier: Apache-2.0
"""A plan for the eye: a table in text and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydiffcore.plan.plan import Plan

__all__ = ["format_plan", "plot_plan"]


def format_plan(plan: Plan, limit: int | None = 24) -> str:
    """Return header, rows and what the plan found about itself, as text."""
    n = plan.nfe
    rows = list(range(n + 1))
    hidden = 0
    if limit is not None and n + 1 > limit:
        head = max(limit - limit // 3, 1)
        tail = max(limit // 3, 1)
        hidden = n + 1 - head - tail
        rows = rows[:head] + rows[-tail:]
    lines = [f"{'row':>5} {'sigma':>10} {'c_noise':>10}  registers after the row"]
    for row in rows:
        if hidden and row == rows[-max((limit or 0) // 3, 1)]:
            lines.append(f"{'…':>5} {hidden} rows more")
        lines.append(_format_row(plan, row))
    kind = "stochastic" if plan.is_stochastic else "deterministic"
    clip = f", clip {plan.clip}" if plan.clip else ""
    error, ratio = plan.x0_error, plan.noise_ratio
    return "\n".join(
        [
            f"{plan.sampler} on {plan.levels}, prediction {plan.prediction}{clip}",
            f"{n} network calls, {plan.registers} registers, {kind}, {plan.draws} noise streams, "
            f"amplification {plan.amplification:.3g}",
            f"with a perfect denoiser: x0 error ≤ {error.max():.1e}, "
            f"noise/sigma from {ratio.min():.12g} to {ratio.max():.12g}",
            *lines,
            f"hash {plan.hash[:16]}",
        ]
    )


def _format_row(plan: Plan, row: int) -> str:
    n = plan.nfe
    sigma = f"{plan.sigma[row]:10.4g}" if row < n else f"{plan.sigma_final:10.4g}"
    label = f"{plan.c_noise[row]:10.4g}" if row < n else " " * 10
    parts = []
    for j in range(plan.registers_out[row]):
        terms = [(plan.A[row, j, k], f"r{k}") for k in range(plan.registers_in[row])]
        terms += [(plan.B[row, j], "D"), (plan.B_raw[row, j], "D_raw")]
        terms += [
            (c, _noise(plan, m)) for c, m in zip(plan.S[row, j], plan.stream[row], strict=True)
        ]
        text = "".join(f" {c:+.5g}·{name}" for c, name in terms if c != 0) or " 0"
        parts.append(f"r{j}' ={text}")
    return f"{row:>5} {sigma} {label}  " + ";  ".join(parts)


def _noise(plan: Plan, stream: int) -> str:
    learned = stream >= 0 and plan.spread[stream] != 0
    return f"z{stream}·exp({plan.spread[stream]:.3g}·f)" if learned else f"z{stream}"


def plot_plan(plan: Plan, path: str | Path | None = None) -> Any:
    """Draw levels, coefficients of the query's row and added noise; needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plan.plot needs matplotlib: pip install 'pydiffcore[digits]'") from None
    figure = Figure(figsize=(8, 7), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    rows = np.arange(plan.nfe + 1)
    top.semilogy(rows[:-1], plan.sigma, "o-", ms=3)
    top.set_ylabel("sigma of the query")
    top.set_title(f"{plan.sampler} on {plan.levels}\nprediction {plan.prediction}", fontsize=9)
    for k in range(plan.registers):
        middle.plot(rows, plan.A[:, 0, k], ".-", label=f"r{k}")
    middle.plot(rows, plan.B[:, 0] + plan.B_raw[:, 0], ".-", label="D")
    middle.set_ylabel("coefficients of the next query")
    middle.legend(fontsize=8)
    bottom.plot(rows, np.sqrt((plan.S[:, 0] ** 2).sum(axis=1)), ".-", label="added noise")
    bottom.plot(rows, plan.noise_ratio - 1, ".-", label="noise/sigma − 1")
    bottom.set_xlabel("row")
    bottom.legend(fontsize=8)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
