# SPDX-License-Identifier: Apache-2.0
"""How far samplers end from the exact ODE solution, by sampler, schedule and network calls.

The denoiser is exact: that of 800 scans of digits, scaled to [-1, 1].  The figure is the root mean
square difference per pixel of what a sampler ends with and what the probability-flow ODE ends with
(Runge-Kutta of order four, converged), from the same starts.  At level 0 the ODE ends on a scan, so
that an error is mostly the share of starts that end on another one.  Every schedule covers the way
from 80: a lower first level is replaced by 80, and one that begins above starts from the ODE's own
state there (flow from 10,000 in the place of infinity).

Every deterministic sampler of the tests' list runs on every schedule: docs/trajectory_error.md.
Levels are searched (levels.optimal), for each sampler with its first options in that list, on
starts other than those that they are judged by.  The bar: searched levels err at most 0.8 times as
much as karras (rho = 7) at 5, 8 and 10 calls.  Without a bar: dpm_fast reads only the ends of its
levels, and a single step (of res_5s, at 5 calls) leaves nothing to search.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes instead, before NumPy is loaded

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.claims.claim import Figure, main
from benchmarks.orders import cases
from pydiffcore import exact, levels, process, samplers
from pydiffcore.train import digits

DOCUMENT = Path("docs/trajectory_error.md")
CALLS = (5, 8, 10, 15, 20, 35)
SEARCHED_CALLS = (5, 8, 10)
SEARCHED = "searched"
BARRED = (samplers.euler, samplers.heun, samplers.dpmpp_2m)
JUDGED, SEARCHED_ON, BARRED_JUDGED, BARRED_ON = 192, 128, 1024, 384  # starts
TOP, LOW, HIGH = 1e4, 0.002, 80.0
LEAST = 8e-3  # lower edge of the plot
TABLE = process.discrete(process.linear_betas())
VP = process.vp()
DETERMINISTIC = [case for case in cases.CASES if case.order is not None]
FIRST = {
    next(i for i, other in enumerate(DETERMINISTIC) if other.sampler is case.sampler)
    for case in DETERMINISTIC
}


def on_vp(rule, **options):
    """A rule of time on VP, from level 80."""
    t_min, t_max = VP.time([LOW, HIGH])
    return lambda n: rule(n, VP, t_min=float(t_min), t_max=float(t_max), **options)


SCHEDULES = {
    "karras": levels.karras,
    "exponential": levels.exponential,
    "polyexponential 2": lambda n: levels.polyexponential(n, rho=2.0),
    "kl_optimal": levels.kl_optimal,
    "laplace": levels.laplace,
    "beta_sigmas": levels.beta_sigmas,
    "uniform_t": on_vp(levels.uniform_t),
    "uniform_t 2": on_vp(levels.uniform_t, power=2.0),
    "trailing": lambda n: levels.trailing(n, TABLE),
    "leading": lambda n: levels.leading(n, TABLE, steps_offset=1),
    "normal": lambda n: levels.normal(n, TABLE),
    "sgm_uniform": lambda n: levels.sgm_uniform(n, TABLE),
    "quadratic": lambda n: levels.quadratic(n, TABLE),
    "beta_timesteps": lambda n: levels.beta_timesteps(n, TABLE),
    "ays sd1": levels.ays,
    "flow_shift 3": lambda n: levels.set_first(levels.flow_shift(n, 3.0), TOP),
    "linear_quadratic": lambda n: levels.set_first(levels.linear_quadratic(n), TOP),
    "bong_tangent": lambda n: levels.set_first(levels.bong_tangent(n), TOP),
}


@cache
def denoiser():
    return exact.dataset(digits.load().diffusion.x0.double().numpy())


class Truth:
    """Exact states of a batch of starts at any level, and at 0."""

    def __init__(self, count, seed):
        self.grid = levels.exponential(160, LOW, TOP).sigma
        start = TOP * np.random.default_rng(seed).standard_normal((count, *denoiser().shape))
        self.states = levels.solve(denoiser(), start, self.grid.tolist(), substeps=1)
        self.kept = {}

    def at(self, sigma):
        if sigma not in self.kept:
            above = int(np.flatnonzero(self.grid >= sigma)[-1])
            path = [self.grid[above], sigma] if self.grid[above] > sigma else [sigma]
            self.kept[sigma] = levels.solve(denoiser(), self.states[above], path, 2)[-1]
        return self.kept[sigma]


@cache
def truth(count, seed):
    return Truth(count, seed)


def error(case, chosen, count, seed):
    """Error of a sampler on levels, over ``count`` starts of a seed."""
    if chosen.sigma[0] < HIGH:
        chosen = levels.set_first(chosen, HIGH)
    exact_path = truth(count, seed)
    x = exact_path.at(float(chosen.sigma[0]))
    return levels.trajectory_error(
        denoiser(), for_case(case, chosen), case.sampler, x, exact_path.states[-1], **case.options
    )


def for_case(case, chosen):
    """Samplers in the time of a process get levels that have it."""
    needs = case.options.get("process") or case.levels(3).process
    return chosen if needs.name == "edm()" else dataclasses.replace(chosen, process=needs)


@cache
def steps(index, calls):
    """The largest number of steps that costs at most ``calls`` calls, or 0."""
    case, found = DETERMINISTIC[index], 0
    for n in range(1, calls + 1):
        made = []

        def count(x, sigma, made=made):
            made.append(sigma)
            return 0.0 * x

        try:
            case.sampler(
                np.ones((1, 1)), count, for_case(case, levels.karras(n)), None, **case.options
            )
        except ValueError:  # too few steps for this method
            continue
        found = n if len(made) <= calls else found
    return found


def search(index, calls, count, seed, **effort):
    """Levels found for a case on starts of their own."""
    case, n = DETERMINISTIC[index], steps(index, calls)
    x = truth(count, seed).at(HIGH)
    needs = for_case(case, levels.karras(2)).process
    run = partial(case.sampler, **case.options)
    return levels.optimal(denoiser(), n, run, x, process=needs, **effort)


def row(index):
    """All errors of one case: {(calls, schedule): error}, NaN where the case refuses."""
    case, found = DETERMINISTIC[index], {}
    for calls in CALLS:
        n = steps(index, calls)
        if n == 0:
            continue
        for name, rule in SCHEDULES.items():
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    found[calls, name] = error(case, rule(n), JUDGED, 1)
            except ValueError:
                found[calls, name] = np.nan
        if calls in SEARCHED_CALLS and index in FIRST:
            chosen = search(index, calls, SEARCHED_ON, 2, points=24, rounds=3)
            found[calls, SEARCHED] = error(case, chosen, JUDGED, 1)
    return found


def barred(index, calls):
    """(karras, searched) of a barred case, over more starts than the table has."""
    case = DETERMINISTIC[index]
    chosen = search(index, calls, BARRED_ON, 3, points=40, rounds=5)
    plain = levels.karras(steps(index, calls), LOW, HIGH)
    return error(case, plain, BARRED_JUDGED, 4), error(case, chosen, BARRED_JUDGED, 4)


def measure():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        pairs = [
            (index, calls)
            for index, case in enumerate(DETERMINISTIC)
            if case.sampler in BARRED and not case.options
            for calls in SEARCHED_CALLS
        ]
        judged = [pool.submit(barred, *pair) for pair in pairs]
        rows = [pool.submit(row, index) for index in range(len(DETERMINISTIC))]
        for (index, calls), result in zip(pairs, judged, strict=True):
            karras, found = result.result()
            yield Figure(
                f"{DETERMINISTIC[index].sampler.__name__}, {calls} calls: searched over karras",
                found / karras,
                "<= 0.8",
                note=f"{found:.3f} over {karras:.3f}, {BARRED_JUDGED} starts",
            )
        table = {case.id: future.result() for case, future in zip(DETERMINISTIC, rows, strict=True)}
    yield from over_all(table)
    DOCUMENT.write_text(document(table))
    plot(table)


def over_all(table):
    """How many other samplers gain as much, without a bar."""
    gains = {
        (name, calls): errors[calls, SEARCHED] / errors[calls, "karras"]
        for name, errors in table.items()
        for calls in SEARCHED_CALLS
        if (calls, SEARCHED) in errors
    }
    within = sum(gain <= 0.8 for gain in gains.values())
    worst = max(gains, key=lambda key: gains[key])
    yield Figure(
        f"all {len(FIRST)} deterministic samplers at {SEARCHED_CALLS} calls: share within 0.8",
        within / len(gains),
        note=f"{within} of {len(gains)}, {JUDGED} starts",
    )
    yield Figure("the least gain", gains[worst], note=f"{worst[0]}, {worst[1]} calls")


def short(name):
    return name.replace(VP.name, "vp").replace(process.ve().name, "ve")


def document(table):
    """The page: one table per number of calls."""
    lines = ["# Trajectory error", "", (__doc__ or "").strip(), ""]
    lines += [
        "`python -m benchmarks.claims.zoo.trajectory_error` writes this page. A sampler takes as",
        "many steps as its calls allow; – where they allow none, or where it refuses the levels.",
        f"Bold is the least of a row without the searched levels. {JUDGED} starts.",
        "",
        "![Error against network calls](trajectory_error.png)",
    ]
    for calls in CALLS:
        columns = [*SCHEDULES, *([SEARCHED] if calls in SEARCHED_CALLS else [])]
        lines += ["", f"## {calls} calls", "", "| | " + " | ".join(columns) + " |"]
        lines += ["|---|" + "---:|" * len(columns)]
        for name, errors in table.items():
            values = [errors.get((calls, column), np.nan) for column in columns]
            if np.isnan(values).all():
                continue
            least = np.nanmin(values[: len(SCHEDULES)])
            cells = [
                cell(value, value == least and k < len(SCHEDULES)) for k, value in enumerate(values)
            ]
            lines.append(f"| {short(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(value, bold):
    text = "–" if np.isnan(value) else f"{value:.3f}" if value < 100 else f"{value:.0e}"
    return f"**{text}**" if bold else text


def plot(table):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(19, 6))
    first = {DETERMINISTIC[i].sampler.__name__: DETERMINISTIC[i].id for i in FIRST}
    for name, key in sorted(first.items()):
        curve(left, name, table[key], "karras")
    left.set_title("samplers on karras, ρ = 7")
    for schedule in (*SCHEDULES, SEARCHED):
        curve(middle, schedule, table[first["dpmpp_2m"]], schedule)
    middle.set_title("schedules with dpmpp_2m")
    for axes in (left, middle):
        axes.set(xlabel="network calls", yscale="log", xscale="log", xticks=CALLS)
        axes.set(xticklabels=CALLS, ylim=(LEAST, 2))
        axes.legend(fontsize=5.5, ncol=3, loc="lower left")
        axes.minorticks_off()
    left.set_ylabel("root mean square error per pixel (none at the lower edge)")
    truncation_errors(right)
    figure.tight_layout()
    figure.savefig(DOCUMENT.with_suffix(".png"), dpi=75)


def curve(axes, label, errors, schedule):
    calls = [c for c in CALLS if np.isfinite(errors.get((c, schedule), np.nan))]
    style = {"linewidth": 3, "color": "black"} if schedule == SEARCHED else {"linewidth": 1}
    values = [max(errors[c, schedule], LEAST) for c in calls]
    axes.plot(calls, values, "o-", ms=3, label=label, **style)


def truncation_errors(axes):
    """Error of single steps from the exact state, 18 steps of two schedules."""
    for rule, line in ((levels.karras, "-"), (levels.kl_optimal, "--")):
        for sampler in (samplers.euler, samplers.heun):
            found = levels.truncation(denoiser(), rule(18), sampler, truth(JUDGED, 1).at(HIGH))
            label = f"{sampler.__name__}, {rule.__name__}"
            axes.plot(found.sigma[:-1], found.local[:-1], line, marker=".", label=label)
    axes.set(xscale="log", yscale="log", xlabel="σ", title="local error of a step, n = 18")
    axes.legend(fontsize=7)


if __name__ == "__main__":
    main(measure)
