# SPDX-License-Identifier: Apache-2.0
"""The page and the picture of the claim on learned scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCUMENT = Path("docs/learned_scores.md")


def write(table: Mapping[str, Sequence[Any]], doc: str) -> None:
    """Write docs/learned_scores.md and .png of the rows of each preset."""
    lines = ["# Learned scores", "", doc, ""]
    lines += [
        "`python -m benchmarks.claims.training.scores` writes this page. Every error is the root",
        "of a mean square, relative to the posterior deviation sqrt E|D* − x0|²: of the learned",
        "denoiser, and of the best linear one. Bold is where the linear one misses something, and",
        "is what the bar counts; a level in brackets is the sampler's last or first, outside the",
        "law's quantiles.",
        "",
        "Far above the data's own deviation, of 0.5, a network that returns eps or a score errs in",
        "D by σ times as much as in its output. That is large beside the posterior deviation and",
        "small beside x, whose deviation is σ; the samples' distances in [claims](claims.md) show",
        "what it costs. A velocity, and EDM's F, have no such factor.",
        "",
        "![Error by noise level](learned_scores.png)",
    ]
    for preset, rows in table.items():
        lines += ["", f"## {preset}", "", "| σ | learned | linear | R |", "|---:|---:|---:|---:|"]
        for row in rows:
            sigma = f"{row.sigma:.3g}" if row.inside else f"({row.sigma:.3g})"
            share = f"{row.learned / row.linear:.2g}"
            share = f"**{share}**" if row.noticeable else "–" if row.linear < 1e-6 else share
            errors = " | ".join(f"{error:.2g}" for error in relative(row))
            lines.append(f"| {sigma} | {errors} | {share} |")
    DOCUMENT.write_text("\n".join(lines) + "\n")
    plot(table)


def relative(row: Any) -> tuple[float, float]:
    """Errors of the learned and of the linear denoiser over the posterior deviation."""
    return math.sqrt(row.learned / row.left), math.sqrt(row.linear / row.left)


def plot(table: Mapping[str, Sequence[Any]]) -> None:
    """One curve per preset, full where the law trains."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    every = sorted((row for rows in table.values() for row in rows), key=lambda row: row.sigma)
    sigma = [row.sigma for row in every]
    axes.plot(sigma, [relative(row)[1] for row in every], "k--", label="best linear denoiser")
    for preset, rows in table.items():
        inside = [row for row in rows if row.inside]
        (line,) = axes.plot(
            [r.sigma for r in inside], [relative(r)[0] for r in inside], "o-", ms=4, label=preset
        )
        values = [relative(row)[0] for row in rows]
        axes.plot([row.sigma for row in rows], values, ":", color=line.get_color(), linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="σ", ylim=(3e-3, 10))
    axes.set_ylabel("root mean square error of D over the posterior deviation")
    axes.set_title("learned against exact denoisers (dotted: outside the law's 1 % … 99 %)")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(DOCUMENT.with_suffix(".png"), dpi=75)
    plt.close(figure)
