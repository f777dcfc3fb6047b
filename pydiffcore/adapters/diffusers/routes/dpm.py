# SPDX-License-Identifier: Apache-2.0
"""What the DPM-Solvers share, multistep and singlestep: their names, checks and schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.adapters.diffusers.routes.sigma import no_curve

__all__ = ["ALGORITHMS", "SOLVERS", "emptied", "schedule", "setup", "stochastic"]

Options = Mapping[str, Any]
Array = NDArray[Any]
# Whether D is integrated, or the noise; and the share of the reverse SDE.
ALGORITHMS = {
    "dpmsolver++": ("x0", 0.0),
    "dpmsolver": ("eps", 0.0),
    "sde-dpmsolver++": ("x0", 1.0),
    "sde-dpmsolver": ("eps", 1.0),
}
SOLVERS = ("midpoint", "heun")


def setup(s: Any, algorithms: tuple[str, ...]) -> dict[str, Any]:
    """Return the tables of a solver that has some of the algorithms.

    Raises:
        ValueError: the noise is integrated, and the run ends at level 0.

    """
    made = log_snr.setup_tables(s)
    log_snr.renamed(
        s,
        algorithm_type=(algorithms, {"deis": "dpmsolver++"}),
        solver_type=(SOLVERS, dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint")),
    )
    if s.config.final_sigmas_type == "zero" and ALGORITHMS[s.config.algorithm_type][0] == "eps":
        raise ValueError(
            f"final_sigmas_type is 'zero', which {s.config.algorithm_type!r} cannot end at: its "
            "noise has no limit there; expected 'sigma_min'"
        )
    return {**made, "model_outputs": emptied(s)}


def emptied(s: Any) -> list[None]:
    """Return the history that diffusers' attribute shows before a run."""
    return [None] * s.config.solver_order


def curved(s: Any, n: int, *, always_rounded: bool = False) -> tuple[Any, Any] | None:
    """Return timesteps and sigmas of the curve that the configuration asks for, or None."""
    config, table = s.config, log_snr.table_of(s)
    if config.get("use_lu_lambdas") and not config.use_karras_sigmas:
        log = np.log(table)
        sigmas = np.exp(np.linspace(log[-1], log[0], n))
    else:
        found = spacing.transformed(config, table[::-1], n)
        if found is None:
            return None
        sigmas = found
    at = spacing.sigma_to_t(sigmas, np.log(table))
    whole = config.use_karras_sigmas or config.get("use_lu_lambdas")
    whole = whole and (always_rounded or config.beta_schedule != "squaredcos_cap_v2")
    return (at.round() if whole else at), sigmas


def schedule(
    s: Any,
    n: int | None,
    mu: float | None,
    timesteps: Any,
    spaced: Callable[[int], Array],
    *,
    always_rounded: bool = False,
) -> dict[str, Any]:
    """Return timesteps and sigmas: given, of a curve, of a flow, or of the table.

    Args:
        s: the scheduler.
        n: number of steps, where no timesteps are given.
        mu: of a dynamic shift.
        timesteps: in the place of n.
        spaced: n → timesteps of the table.
        always_rounded: whether a curve's are whole with cosine betas too.

    """
    log_snr.shift_by(s, mu)
    if (n is None) == (timesteps is None):
        raise ValueError("expected exactly one of num_inference_steps and timesteps")
    if n is None:
        no_curve(s.config, "timesteps")
        at = np.array(timesteps).astype(np.int64)
    else:
        at = spaced(n)
    n, table = n or len(at), log_snr.table_of(s)
    found = curved(s, n, always_rounded=always_rounded)
    if found is not None:
        at, sigmas = found
    elif s.config.use_flow_sigmas:
        sigmas = log_snr.flow_times(s, n)
        at = sigmas * s.config.num_train_timesteps
    else:
        sigmas = np.interp(at, np.arange(len(table)), table)
    return {
        **log_snr.timetable(at, sigmas, log_snr.last_level(s, float(table[0]))),
        "num_inference_steps": len(at),
        "model_outputs": emptied(s),
    }


def stochastic(s: Any, index: int, timestep: Any, options: Options) -> bool:
    """Whether each step draws: diffusers draws on the last one too, where nothing is added."""
    return str(s.config.algorithm_type).startswith("sde")
