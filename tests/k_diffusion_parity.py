# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's samplers beside ours: same model, state, levels and noise, in float64."""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pydiffcore import process
from pydiffcore.adapters import k_diffusion as ours
from pydiffcore.adapters.k_diffusion.peer import peer

SHAPE = (3, 2, 4, 4)
LOW, HIGH = 0.03, 14.6
CHURN = [
    {},
    {"s_churn": 3.0},
    {"s_churn": 40.0, "s_tmin": 0.1, "s_tmax": 5.0, "s_noise": 1.01},
]
ANCESTRAL = [{"eta": eta, "s_noise": s} for eta, s in ((1.0, 1.0), (0.0, 1.0), (0.6, 0.9))]
# at eta 1.5 some steps ask for more noise than their level has
BEYOND = {"eta": 1.5, "s_noise": 1.0}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "euler": CHURN,
    "heun": CHURN,
    "dpm_2": CHURN,
    "lms": [{"order": k} for k in (1, 2, 3, 4, 5)],
    "dpmpp_2m": [{}],
    "dpm_fast": [{}, *ANCESTRAL],
    "euler_ancestral": [{}, *ANCESTRAL, BEYOND],
    "dpm_2_ancestral": [{}, *ANCESTRAL],
    "dpmpp_2s_ancestral": [{}, *ANCESTRAL, BEYOND],
    "dpmpp_sde": [{}, *ANCESTRAL, {"r": 0.3}],
    "dpmpp_2m_sde": [
        {**options, "solver_type": kind} for options in ANCESTRAL for kind in ("midpoint", "heun")
    ],
    "dpmpp_3m_sde": [{}, *ANCESTRAL],
}
SDE = ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde")
COUNTS = (1, 2, 3, 5, 30)
LISTS = ("karras", "exponential", "polyexponential", "vp", "sliced front", "sliced back")
MODELS = ("function", "eps", "eps quantised", "v", "vp v", "learned sigmas", "edm")


@dataclass(frozen=True)
class Case:
    """One comparison."""

    sampler: str
    options: dict[str, Any]
    sigmas: str = "karras"
    n: int = 5
    model: str = "function"

    def crashes(self) -> bool:
        """k-diffusion's SDE multistep samplers read an h that a single step to 0 never sets."""
        single = len(levels(self.sigmas, self.n)) == 2 and levels(self.sigmas, self.n)[-1] == 0
        return self.sampler in ("dpmpp_2m_sde", "dpmpp_3m_sde") and single

    def __str__(self) -> str:
        return f"{self.sampler} {self.options} {self.sigmas} n={self.n} {self.model}"


@dataclass
class Errors:
    """Largest differences, relative to the size of what is compared."""

    result: float
    callbacks: float
    events: list[dict[str, Any]] = field(default_factory=list)


def cases(sampler: str) -> list[Case]:
    """Every option on every list at every count, and every model on some of them."""
    lists = ["karras"] if sampler == "dpm_fast" else LISTS
    counts = [*COUNTS, 6, 7] if sampler == "dpm_fast" else COUNTS
    whole = itertools.product(OPTIONS[sampler], lists, counts, ["function"])
    models = itertools.product(OPTIONS[sampler], lists[:2], [5], MODELS[1:])
    found = [Case(sampler, *rest) for rest in (*whole, *models)]
    return [case for case in found if case.model in available()]


def levels(name: str, n: int) -> torch.Tensor:
    """A list of levels in float64; a sliced one is cut out of a longer one."""
    if name == "vp":
        return ours.get_sigmas_vp(n).double()
    if name == "sliced front":  # begins below its list's highest level
        return ours.get_sigmas_karras(n + 3, LOW, HIGH).double()[3:]
    if name == "sliced back":  # does not end in 0
        return ours.get_sigmas_karras(n + 3, LOW, HIGH).double()[: n + 1]
    return getattr(ours, f"get_sigmas_{name}")(n, LOW, HIGH).double()


class Body(torch.nn.Module):
    """A small nonlinear network."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor, t: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
        t = t.reshape(-1, 1, 1, 1).to(x.dtype)
        y = torch.tanh(x + shift) + 0.1 * torch.sin(2 * x + t / 300)
        return torch.cat([y] * self.channels, dim=1)


def function(x: torch.Tensor, sigma: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    """A denoised prediction."""
    s = sigma.reshape(-1, 1, 1, 1)
    return (x + 0.3 * s * torch.tanh(x / (1 + s) + shift)) / (1 + s**2)


def available() -> list[str]:
    """The models that can be made: layers.Denoiser needs more packages."""
    try:
        peer("layers")
    except ImportError:
        return [name for name in MODELS if name != "edm"]
    return list(MODELS)


def model_of(name: str) -> Any:
    """A function or one of k-diffusion's wrappers around a network."""
    if name == "function":
        return function
    if name == "edm":
        return peer("layers").Denoiser(Body(), sigma_data=0.6)
    external = peer("external")
    if name == "vp v":
        return external.VDenoiser(Body())
    table = torch.from_numpy(np.cumprod(1 - process.linear_betas()))
    if name == "v":
        return external.DiscreteVDDPMDenoiser(Body(), table, quantize=False)
    if name == "learned sigmas":
        wrapper = external.OpenAIDenoiser.__new__(external.OpenAIDenoiser)
        external.DiscreteEpsDDPMDenoiser.__init__(wrapper, Body(2), table, False)
        wrapper.has_learned_sigmas = True
        return wrapper
    return external.DiscreteEpsDDPMDenoiser(Body(), table, quantize=name == "eps quantised")


def noise_sampler(sigma: Any, sigma_next: Any) -> torch.Tensor:
    """Unit normals that are a function of the two levels alone."""
    key = int(float(f"{float(sigma):.5e}") * 1e7) * 1000003 + int(float(f"{sigma_next:.5e}") * 1e7)
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(key), dtype=torch.float64)


@contextmanager
def float64() -> Any:
    """k-diffusion's dpm_fast makes its levels in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def run(module: Any, case: Case, **more: Any) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """Run a case in k-diffusion or here."""
    events: list[dict[str, Any]] = []
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sigmas = levels(case.sigmas, case.n)
    options = {"extra_args": {"shift": 0.2}, "callback": events.append, "disable": True}
    options |= case.options | more
    if "eta" in case.options or case.sampler in SDE or "ancestral" in case.sampler:
        options.setdefault("noise_sampler", noise_sampler)
    torch.manual_seed(5)
    call = getattr(module, f"sample_{case.sampler}")
    at = (LOW, HIGH, case.n) if case.sampler == "dpm_fast" else (sigmas,)
    first = HIGH if case.sampler == "dpm_fast" else sigmas[0]
    with float64():
        return call(model_of(case.model), first * x, *at, **options), events


def relative(a: Any, b: Any) -> float:
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape:
        return math.inf
    difference = float((a - b).abs().max() / b.abs().max().clamp(min=1e-300))
    return math.inf if math.isnan(difference) else difference


def compare(case: Case, **more: Any) -> Errors:
    """Compare results and what the callbacks were given."""
    mine, seen = run(ours, case, **more)
    theirs, told = run(peer("sampling"), case, **more)
    callbacks = math.inf if len(seen) != len(told) else 0.0
    for a, b in zip(seen, told, strict=False):
        if set(a) != set(b) or a["i"] != b["i"]:
            callbacks = math.inf
        names = [name for name in b if name != "i"]
        callbacks = max(callbacks, *(relative(a[name], b[name]) for name in names if name in a))
    return Errors(relative(mine, theirs), callbacks, seen)


SIGMAS = ours.get_sigmas_karras(6, LOW, HIGH)


def start(n: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return n states at the highest level, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return HIGH * torch.randn(n, *SHAPE[1:], generator=generator, dtype=dtype)


def sample(
    name: str, model: Any = function, x: Any = None, sigmas: Any = SIGMAS, **options: Any
) -> torch.Tensor:
    """Return what our function of a name draws."""
    x = start() if x is None else x
    at = (LOW, HIGH, 6) if name == "dpm_fast" else (sigmas,)
    result: torch.Tensor = getattr(ours, f"sample_{name}")(model, x, *at, disable=True, **options)
    return result
