# SPDX-License-Identifier: Apache-2.0
"""Names of samplers, levels, processes and predictions: the only place where strings choose.

A choice is written ``name`` or ``name:key=value,key=value``; the keys are the arguments of the
function behind the name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydiffcore import levels, prediction, process, samplers
from pydiffcore.hints import hint

__all__ = ["LEVELS", "PREDICTIONS", "PROCESSES", "SAMPLERS", "assignments", "called", "chosen"]

Function = Callable[..., Any]


def _table(betas: Function, **fixed: Any) -> Function:
    """Return the function of a table of betas that makes the process of it, ``zero_snr`` or not."""

    def made(zero_snr: bool = False, **given: Any) -> Any:
        table = betas(**fixed, **given)
        return process.discrete(process.rescale_zero_terminal_snr(table) if zero_snr else table)

    own = inspect.signature(betas).parameters.values()
    rest = [parameter for parameter in own if parameter.name not in fixed]
    zero_snr = inspect.signature(made).parameters["zero_snr"]
    setattr(made, "__signature__", inspect.Signature([*rest, zero_snr]))  # noqa: B010
    made.__name__, made.__doc__ = betas.__name__.removesuffix("_betas"), betas.__doc__
    return made


def _by_tableau(sampler: Function, tables: Mapping[str, Any], usual: str) -> Function:
    """Return a sampler whose ``tableau`` is given by its name."""

    @functools.wraps(sampler)
    def named(*state: Any, tableau: str = usual, **given: Any) -> Any:
        key = tableau.replace("-", "_")
        if key not in tables:
            raise ValueError(f"tableau is {tableau!r}, expected one of {', '.join(tables)}")
        return sampler(*state, tableau=tables[key], **given)

    own = inspect.signature(sampler)
    parameters = own.parameters.copy()
    parameters["tableau"] = parameters["tableau"].replace(annotation="str", default=usual)
    setattr(named, "__signature__", own.replace(parameters=list(parameters.values())))  # noqa: B010
    return named


SAMPLERS: dict[str, Function] = {
    "ab-velocity": samplers.ab_velocity,
    "alphafold3": samplers.alphafold3,
    "ancestral": samplers.ancestral,
    "consistency": samplers.consistency,
    "ddim": samplers.ddim,
    "ddpm": samplers.ddpm,
    "deis": samplers.deis,
    "dpm-2": samplers.dpm_2,
    "dpm-2-ancestral": samplers.dpm_2_ancestral,
    "dpm-fast": samplers.dpm_fast,
    "dpm-solver-2": samplers.dpm_solver_2,
    "dpm-solver-3": samplers.dpm_solver_3,
    "dpm-solver-multi": samplers.dpm_solver_multi,
    "dpm-solver-single": samplers.dpm_solver_single,
    "dpmpp-2m": samplers.dpmpp_2m,
    "dpmpp-2m-sde": samplers.dpmpp_2m_sde,
    "dpmpp-2s": samplers.dpmpp_2s,
    "dpmpp-2s-ancestral": samplers.dpmpp_2s_ancestral,
    "dpmpp-3m": samplers.dpmpp_3m,
    "dpmpp-3m-sde": samplers.dpmpp_3m_sde,
    "dpmpp-3s": samplers.dpmpp_3s,
    "dpmpp-sde": samplers.dpmpp_sde,
    "er-sde": samplers.er_sde,
    "euler": samplers.euler,
    "euler-churn": samplers.euler_churn,
    "euler-maruyama": samplers.euler_maruyama,
    "exponential-rk": _by_tableau(
        samplers.exponential_rk, samplers.EXPONENTIAL, "hochbruck_ostermann_2"
    ),
    "flow-euler-ancestral": samplers.flow_euler_ancestral,
    "flow-heun": samplers.flow_heun,
    "flow-sde": samplers.flow_sde,
    "gradient-estimation": samplers.gradient_estimation,
    "heun": samplers.heun,
    "heunpp2": samplers.heunpp2,
    "implicit-rk": _by_tableau(samplers.implicit_rk, samplers.IMPLICIT, "gauss1"),
    "ipndm": samplers.ipndm,
    "ipndm-v": samplers.ipndm_v,
    "kutta": samplers.kutta,
    "langevin": samplers.langevin,
    "lcm": samplers.lcm,
    "lms": samplers.lms,
    "midpoint": samplers.midpoint,
    "pf-euler": samplers.pf_euler,
    "pf-heun": samplers.pf_heun,
    "plms": samplers.plms,
    "pndm": samplers.pndm,
    "predictor-corrector": samplers.predictor_corrector,
    "ralston": samplers.ralston,
    "res-2s": samplers.res_2s,
    "res-3s": samplers.res_3s,
    "res-5s": samplers.res_5s,
    "res-multistep": samplers.res_multistep,
    "reverse-diffusion": samplers.reverse_diffusion,
    "rk4": samplers.rk4,
    "runge-kutta": _by_tableau(samplers.runge_kutta, samplers.TABLEAUX, "rk4"),
    "sa-solver": samplers.sa_solver,
    "seeds-1": samplers.seeds_1,
    "seeds-2": samplers.seeds_2,
    "seeds-3": samplers.seeds_3,
    "tcd": samplers.tcd,
    "unipc": samplers.unipc,
}
LEVELS: dict[str, Function] = {
    "ays": levels.ays,
    "beta-sigmas": levels.beta_sigmas,
    "beta-timesteps": levels.beta_timesteps,
    "bong-tangent": levels.bong_tangent,
    "ddim-uniform": levels.ddim_uniform,
    "exponential": levels.exponential,
    "flow-shift": levels.flow_shift,
    "iddpm": levels.iddpm,
    "karras": levels.karras,
    "kl-optimal": levels.kl_optimal,
    "laplace": levels.laplace,
    "leading": levels.leading,
    "linear-quadratic": levels.linear_quadratic,
    "linspace": levels.linspace,
    "normal": levels.normal,
    "polyexponential": levels.polyexponential,
    "quadratic": levels.quadratic,
    "sgm-uniform": levels.sgm_uniform,
    "simple": levels.simple,
    "space-timesteps": levels.space_timesteps,
    "trailing": levels.trailing,
    "uniform-lambda": levels.uniform_lambda,
    "uniform-t": levels.uniform_t,
    "ve": levels.ve,
}
PROCESSES: dict[str, Function] = {
    "azula-cosine": process.azula_cosine,
    "azula-decay": process.azula_decay,
    "azula-rectified": process.azula_rectified,
    "azula-vp": process.azula_vp,
    "cascade": process.cascade,
    "const": _table(process.const_betas),
    "cosine": _table(process.cosine_betas),
    "cosmos": process.cosmos,
    "ddpm": _table(process.linear_betas),
    "edm": process.edm,
    "exp": _table(process.exp_betas),
    "flow": process.flow,
    "iddpm": process.iddpm,
    "jsd": _table(process.jsd_betas),
    "laplace-diffusers": _table(process.laplace_diffusers_betas),
    "latent": _table(process.scaled_linear_betas),
    "quad": _table(process.quad_betas),
    "sigmoid": _table(process.sigmoid_betas),
    "sub-vp": process.sub_vp,
    "tangent": process.tangent,
    "ve": process.ve,
    "ve-sqrt": process.ve_sqrt,
    "vp": process.vp,
    "vp-between": process.vp_between,
    "warmup10": _table(process.warmup_betas, fraction=0.1),
    "warmup50": _table(process.warmup_betas, fraction=0.5),
}
PREDICTIONS: dict[str, Function] = {
    "consistency": prediction.consistency,
    "denoised": prediction.denoised,
    "edm": prediction.edm,
    "eps": prediction.eps,
    "iddpm": prediction.iddpm,
    "ncsn": prediction.ncsn,
    "score": prediction.score,
    "trigflow": prediction.trigflow,
    "v": prediction.v,
    "ve": prediction.ve,
    "velocity": prediction.velocity,
    "vp": prediction.vp,
    "x0": prediction.x0,
}
# tables of betas by what diffusers calls them, and names of papers; "linear" means two tables
PROCESS_ALIASES = {
    "rectified": "flow",
    "rectified-flow": "flow",
    "scaled-linear": "latent",
    "squaredcos-cap-v2": "cosine",
    "subvp": "sub-vp",
}


def chosen(axis: str, table: Mapping[str, Function], text: str) -> tuple[Function, dict[str, str]]:
    """Return the function that a text names and its arguments, still as texts.

    Raises:
        ValueError: the table has no such name, or an argument is not ``key=value``.

    """
    name, colon, rest = text.partition(":")
    key = name.strip().lower().replace("_", "-")
    function = table.get(key) or _alias(table, key)
    if function is None:
        meant = _hint(table, name.strip())
        raise ValueError(f"{axis} is {name!r}{meant}, expected one of {', '.join(sorted(table))}")
    return function, assignments(axis, rest.split(",") if colon else [])


def _alias(table: Mapping[str, Function], key: str) -> Function | None:
    """Return what other libraries have under a name."""
    if table is SAMPLERS:
        return samplers.ALIASES.get(key.replace("-", "_"))
    return table.get(PROCESS_ALIASES.get(key, "")) if table is PROCESSES else None


def _hint(table: Mapping[str, Function], name: str) -> str:
    """Return what a name that is not there means, in brackets, or nothing."""
    modules = ((SAMPLERS, samplers), (LEVELS, levels), (PROCESSES, process))
    elsewhere = next((m.ELSEWHERE for own, m in modules if own is table), prediction.ELSEWHERE)
    found = hint(name, table, elsewhere)
    return f" ({found})" if found else ""


def assignments(owner: str, items: list[str]) -> dict[str, str]:
    """Return ``key=value`` texts as a dict."""
    given = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise ValueError(f"{owner}: {item!r} is not of the form key=value")
        given[key.strip().replace("-", "_")] = value.strip()
    return given


def called(axis: str, function: Function, given: Mapping[str, str], **fixed: Any) -> Any:
    """Call a function with texts turned into what its arguments are, and with ``fixed`` values.

    A fixed value is passed where the function has an argument of that name, and left out where
    it has none.  A missing ``process`` cannot happen: the caller fixes it.

    Raises:
        ValueError: an argument is unknown, or its text is no value of the argument's kind.

    """
    return bound(axis, function, given, **fixed)()


def bound(axis: str, function: Function, given: Mapping[str, str], **fixed: Any) -> Any:
    """Return the function with its keyword arguments bound; see :func:`called`."""
    accepted = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("x", "denoise", "levels", "noise")
    }
    values = {name: value for name, value in fixed.items() if name in accepted}
    for name, text in given.items():
        if name in fixed or name not in accepted:
            options = ", ".join(n for n in accepted if n not in fixed) or "none"
            label = _label(function)
            raise ValueError(f"{axis} {label} has no argument {name!r}; it takes: {options}")
        values[name] = _value(f"{axis} argument {name}", text, accepted[name])
    return partial(function, **values)


def _label(function: Any) -> str:
    inner = function.func if isinstance(function, partial) else function
    return str(inner.__name__).replace("_", "-")


def _value(what: str, text: str, parameter: inspect.Parameter) -> Any:
    """Return a text as the kind of value that the parameter's annotation names."""
    annotation = str(getattr(parameter.annotation, "__name__", parameter.annotation))
    kind = annotation.split("|")[0].strip()
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{what} is {text!r}, expected true or false")
        return text.lower() == "true"
    if kind not in ("int", "float"):
        return text
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        expected = "a whole number" if kind == "int" else "a number"
        raise ValueError(f"{what} is {text!r}, expected {expected}") from None
