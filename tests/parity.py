# SPDX-License-Identifier: Apache-2.0
"""Our schedulers beside diffusers' on the same inputs and noise, step by step and whole loops.

Errors are relative to the largest of 1 and of the states that a step combines.  Where diffusers'
float32 arithmetic itself is off by more than the bar (cosine betas reach sigma = 20000, and
x + (sigma' - sigma) d cancels), its own code runs once more in float64 on the same tables, beside
ours in float64: the formulas must then agree, and our float32 must be as near them as theirs.  From
one start that is a toss where both are mostly the rounding of the same states; so where ours is
farther, STARTS decide by the sign test, which fails ours if it is farther from nearly all of them,
or from one of them by more than AT_MOST times.
"""

import inspect
import math
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch

import pydiffcore.adapters.diffusers as ours

SHAPE = (2, 3, 4, 4)
STARTS, FARTHER = 16, 14  # of equals, one in 480 has 14 or more
AT_MOST = 2.0
TABLES = (
    "alphas_cumprod", "final_alpha_cumprod", "one", "sigmas", "sigmas_interpol", "sigmas_up",
    "sigmas_down", "alpha_t", "sigma_t", "lambda_t", "discrete_sigmas", "betas", "alphas",
)  # fmt: skip

ROUNDED = (
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler",
    "DEISMultistepScheduler", "SASolverScheduler",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A configuration, what set_timesteps is given, and what each step is given."""

    name: str
    config: dict[str, Any]
    timesteps: dict[str, Any]
    step: dict[str, Any] = field(default_factory=dict)
    begin: int = 0


@dataclass(frozen=True)
class Axes:
    """A product of constructor arguments, with lists of what set_timesteps and step are given."""

    name: str
    config: dict[str, list[Any]]
    timesteps: list[dict[str, Any]]
    step: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    begin: list[int] = field(default_factory=lambda: [0])

    def cases(self):
        """Yield every case of the product."""
        for values in product(*self.config.values()):
            config = dict(zip(self.config, values, strict=True))
            for timesteps, step, begin in product(self.timesteps, self.step, self.begin):
                yield Case(self.name, config, timesteps, step, begin)


def network(x, t):
    """A smooth stand-in that amplifies no rounding error."""
    return 0.6 * torch.tanh(x) + 0.2 * torch.sin(x + float(t) / 500)


@contextmanager
def quiet():
    """Without diffusers' deprecations and NumPy's."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.set_verbosity(before)


class Wide:
    """The module torch, whose float32 is float64."""

    def __getattr__(self, name):
        return torch.float64 if name == "float32" else getattr(torch, name)


def wide_table(scheduler, name):
    """Turn one of a scheduler's tables into float64, if it has it."""
    value = getattr(scheduler, name, None)
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        setattr(scheduler, name, value.double())


@contextmanager
def widened(scheduler):
    """Diffusers' own steps in float64, on the tables that it made in float32."""
    for name in TABLES:
        wide_table(scheduler, name)
    from diffusers.utils import torch_utils

    module, draw = sys.modules[type(scheduler).__module__], torch_utils.randn_tensor

    def narrow(shape, dtype=None, **options):
        return draw(shape, dtype=torch.float32, **options).to(dtype)

    module.torch, torch_utils.randn_tensor = Wide(), narrow  # the numbers of the float32 run
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = narrow
    try:
        yield
    finally:
        module.torch, torch_utils.randn_tensor = torch, draw
        if hasattr(module, "randn_tensor"):
            module.randn_tensor = draw


def start(scheduler, case, dtype=torch.float32, seed=1):
    """Set timesteps; return the first state and the timesteps to run."""
    scheduler.set_timesteps(**case.timesteps)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)).to(dtype)
    doubled = len(set(scheduler.timesteps[:2].tolist())) == 1 < len(scheduler.timesteps)
    # where rounding makes the first two timesteps one, diffusers' own begins at the second
    if (case.begin or (doubled and case.name in ROUNDED)) and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(case.begin)
    return x * float(getattr(scheduler, "init_noise_sigma", 1.0)), scheduler.timesteps[case.begin :]


def outputs(scheduler, x, t):
    """The network's output, with a second half where the scheduler reads a learned variance."""
    if hasattr(scheduler, "scale_model_input"):
        F = network(scheduler.scale_model_input(x, t), t).to(x.dtype)
    else:
        F = network(x, t).to(x.dtype)
    if type(scheduler).__name__ == "ScoreSdeVeScheduler":
        low, high = scheduler.config.sigma_min, scheduler.config.sigma_max
        sigma = low * (high / low) ** float(t)
        return (network(x / (1 + sigma), t) - x) / (1 + sigma**2)  # about a score
    kind = scheduler.config.get("variance_type")
    if type(scheduler).__name__ != "DDPMScheduler" or kind not in ("learned", "learned_range"):
        return F
    v = torch.sin(F)
    return torch.cat([F, v**2 if kind == "learned" else v], dim=1)


def run(scheduler, case, x, steps, feed=None, seed=5):
    """Return the states after each step and what else each step returned."""
    method = getattr(scheduler, "step_pred" if hasattr(scheduler, "step_pred") else "step")
    options = dict(case.step)
    if "generator" in inspect.signature(method).parameters:
        options["generator"] = torch.Generator().manual_seed(seed)
    states, seconds = [], []
    for i, t in enumerate(steps):
        x = x if feed is None else feed[i]
        result = list(method(outputs(scheduler, x, t), t, x, **options).values())
        x = result[0]
        states.append(x)
        seconds += result[1:]
    return states, seconds


def error(found, expected, scale):
    """Largest difference over the largest of 1, the expected value and the scale."""
    value = float((found - expected).abs().max() / max(1.0, float(expected.abs().max()), scale))
    return math.inf if math.isnan(value) else value  # which max() would pass over


@dataclass(frozen=True)
class Errors:
    """Whole loop, step by step on the same states, second outputs, timesteps; all in float32.

    Where these do not meet the bar, ``wide`` is the whole loop in float64, and ``near`` and
    ``peer`` how far our and diffusers' float32 steps are from its float64 ones on the same states:
    ours may be as far as its own.  ``farther`` says that it is not, from several starts.
    """

    whole: float
    fed: float
    second: float
    timesteps: float
    wide: float | None = None
    near: float | None = None
    peer: float | None = None
    finite: bool = True
    farther: bool = False

    def holds(self, bar: float) -> bool:
        """Whether the case is equal within the bar."""
        return self.value() <= bar

    def value(self) -> float:
        """Return the error that counts."""
        loops = max(self.whole, self.fed)
        if self.wide is not None:
            loops = max(self.wide, self.near if self.farther else 0.0)
        return max(loops, self.second, self.timesteps)


def made(module, case):
    """Construct a scheduler of diffusers or of ours."""
    with quiet():
        return getattr(module, case.name)(**case.config)


def worst(found, expected, scales):
    """Largest error of a list of states."""
    assert len(found) == len(expected)
    errors = [error(a, b, s) for a, b, s in zip(found, expected, scales, strict=False)]
    return max(errors, default=0.0)


def away(found, expected):
    """Largest difference of timesteps from those of diffusers that are numbers."""
    if not bool(found.isfinite().all()):
        return math.inf
    return float(((found - expected).abs() / (1 + expected.abs())).nan_to_num(nan=0.0).max())


def sizes(feed):
    """Largest of the states that a step may combine: its own and the three before."""
    largest = [float(each.abs().max()) for each in feed]
    return [max(largest[max(i - 3, 0) : i + 1]) for i in range(len(largest))]


def compare(case, bar=1e-5):
    """Run a case both ways; in float64 too where float32 does not meet the bar."""
    import diffusers

    theirs, mine = made(diffusers, case), made(ours, case)
    with quiet():
        x, steps = start(theirs, case)
        expected, second = run(theirs, case, x, steps)
        whole, _ = run(mine, case, *start(mine, case))
        feed = [x, *expected[:-1]]
        fed, seconds = run(mine, case, *start(mine, case), feed)
        t, own = theirs.timesteps, mine.timesteps
        assert t.dtype == own.dtype, f"{case}: timesteps are {own.dtype}, expected {t.dtype}"
        assert [e.dtype for e in expected] == [e.dtype for e in whole]
        if not all(bool(e.isfinite().all()) for e in expected):
            assert all(bool(e.isfinite().all()) for e in whole), f"{case}: not finite"
            return Errors(0, 0, 0, 0, finite=False)  # counted, and not compared
        found = Errors(
            worst(whole, expected, sizes(feed)),
            worst(fed, expected, sizes(feed)),
            max((error(a, b, 0.0) for a, b in zip(seconds, second, strict=True)), default=0.0),
            away(own.double(), t.double()),
        )
        return found if found.holds(bar) else judged(case, theirs, found)


def judged(case, theirs, found):
    """Compare in float64, and our float32 steps with it."""
    starts = [apart(case, theirs, 1)]
    if starts[0][2] > starts[0][3]:
        starts += [apart(case, made_theirs(case), seed) for seed in range(2, STARTS + 1)]
    wide, second, near, peer = (max(values) for values in zip(*starts, strict=True))
    farther = sum(ours > its for *_, ours, its in starts) >= FARTHER or any(
        ours > AT_MOST * its for *_, ours, its in starts
    )
    return replace(found, second=second, wide=wide, near=near, peer=peer, farther=farther)


def made_theirs(case):
    """Construct diffusers' scheduler of a case."""
    import diffusers

    return made(diffusers, case)


def apart(case, theirs, seed):
    """From one start: errors in float64 of loop and second outputs, and of both float32 steps."""
    x, steps = start(theirs, case, torch.float64, seed)
    mine = made(ours, case)
    begin = start(mine, case, torch.float64, seed)
    for name in TABLES:  # ours keeps float32 only where the tables are float32
        wide_table(mine, name)
    with widened(theirs):
        exact, second = run(theirs, case, x, steps)
        wide, seconds = run(mine, case, *begin)
        feed = [x, *exact[:-1]]
        narrow = [each.float() for each in feed]
    theirs, mine = made_theirs(case), made(ours, case)
    near, _ = run(mine, case, *start(mine, case, seed=seed), narrow)
    peer, _ = run(theirs, case, *start(theirs, case, seed=seed), narrow)
    other = max((error(a, b, 0.0) for a, b in zip(seconds, second, strict=True)), default=0.0)
    return (
        worst(wide, exact, sizes(feed)),
        other,
        worst([each.double() for each in near], exact, sizes(feed)),
        worst([each.double() for each in peer], exact, sizes(feed)),
    )
