# SPDX-License-Identifier: Apache-2.0
"""SA-Solver: pydiffcore.samplers.sa_solver on diffusers' timesteps, τ a function of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pydiffcore.adapters.diffusers.family import Family, table_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.samplers import sa_solver

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]


def sa(
    x: Any, denoise: Any, levels: Any, noise: Any, *, taus: Sequence[float], **options: Any
) -> Any:
    """SA-Solver with the τ of each step: two that begin at one level may differ in their times."""
    in_turn = iter(taus)  # the sampler asks once per step
    return sa_solver(x, denoise, levels, noise, tau=lambda sigma: next(in_turn), **options)


def between(t: Any) -> int:
    """τ is 1 in the middle of the process."""
    return 1 if 200 <= t <= 800 else 0


def sa_setup(s: Any) -> dict[str, Any]:
    if s.config.algorithm_type not in ("data_prediction", "noise_prediction"):
        raise NotImplementedError(
            f"algorithm_type is {s.config.algorithm_type!r}, expected 'data_prediction' or "
            "'noise_prediction'"
        )
    return {
        **log_snr.setup_tables(s),
        **emptied(s),
        "timestep_list": [None] * kept(s),
        "tau_func": between if s.config.tau_func is None else s.config.tau_func,
        "predict_x0": s.config.algorithm_type == "data_prediction",
    }


def kept(s: Any) -> int:
    """Number of network outputs that a step reads."""
    return int(max(s.config.predictor_order, s.config.corrector_order - 1))


def emptied(s: Any) -> dict[str, Any]:
    return {"model_outputs": [None] * kept(s), "lower_order_nums": 0, "last_sample": None}


def sa_schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    made = log_snr.schedule(s, num_inference_steps)
    return {**made, "num_inference_steps": len(made["timesteps"]), **emptied(s)}


def refuse_of_noise(s: Any) -> None:
    """Refuse what the integral of the noise has no step of, in diffusers either.

    Raises:
        ValueError: a network that predicts a flow.
        NotImplementedError: dynamic thresholding.

    """
    if s.config.prediction_type == "flow_prediction":
        raise ValueError(
            "prediction_type is 'flow_prediction', expected one of epsilon, sample, v_prediction "
            "where algorithm_type is 'noise_prediction'"
        )
    if s.config.thresholding:
        raise NotImplementedError(
            "thresholding is True, expected False where algorithm_type is 'noise_prediction'"
        )


def one_output(
    s: Any, output: Tensor, sample: Tensor, timestep: Any
) -> tuple[Tensor, Tensor | None]:
    """Refuse a network that learned a variance: diffusers' own draws noise for its half too.

    Raises:
        NotImplementedError: there is a second half.

    """
    kind = s.config.variance_type
    if kind in ("learned", "learned_range") and output.shape[1] == 2 * sample.shape[1]:
        raise NotImplementedError(
            f"variance_type is {kind!r}, of which SASolverScheduler has no step: expected None and "
            f"the first {sample.shape[1]} channels of model_output, which has {output.shape[1]}"
        )
    return output, None


def sa_recipe(s: Any, begin: int, options: Options) -> Recipe:
    if not s.predict_x0:
        refuse_of_noise(s)
    taus = tuple(float(s.tau_func(t)) for t in s.timesteps[begin:].cpu())  # tensors, as from a loop
    return log_snr.recipe_in_frame(
        s, begin, sa, taus=taus,
        predictor=s.config.predictor_order, corrector=s.config.corrector_order,
        predict="x0" if s.predict_x0 else "eps", variant="bh1" if s.predict_x0 else "exact",
        lower_order_final=bool(s.config.lower_order_final),
    )  # fmt: skip


FAMILIES = {
    "SASolverScheduler": Family(
        setup=sa_setup,
        schedule=sa_schedule,
        recipe=sa_recipe,
        kinds=("epsilon", "sample", "v_prediction", "flow_prediction"),
        noising=table_noising,
        draws=lambda s, index, t, options: True,
        second="",
        split=one_output,
        local=("model_outputs", "lower_order_nums", "last_sample"),
        members=log_snr.members,
    ),
}
