# SPDX-License-Identifier: Apache-2.0
"""Every sampler once: name, function, options, and the levels it is meant for.

A new sampler is tested by one line in CASES.
"""

from dataclasses import dataclass, field
from typing import Any

from pydiffcore import levels, process, samplers

VP, VE, SUB_VP, FLOW = process.vp(), process.ve(), process.sub_vp(), process.flow()


def karras(n, sigma_max=80.0):
    return levels.karras(n, sigma_min=0.02, sigma_max=sigma_max)


def vp_uniform(n, sigma_max=80.0):
    t_max = float(VP.time(sigma_max))
    return levels.uniform_t(n, VP, t_max=min(t_max, 1.0))


def mild(n):
    """Levels for methods that a step to a thousandth of σ leaves exact but for rounding."""
    return levels.karras(n, sigma_min=0.5, sigma_max=20.0)


def with_restarts(n):
    base = karras(n)
    low = float(base.sigma[-2])
    return levels.restart(base, [(2, low, 3 * low, 3)])


def ve_geometric(n, sigma_max=80.0):
    return levels.uniform_t(n + 1, VE, t_max=float(VE.time(sigma_max)), final_zero=False)


@dataclass(frozen=True)
class Case:
    """One sampler with options; ``order`` where it is deterministic; ``exact`` marginals or not."""

    sampler: Any
    options: dict = field(default_factory=dict)
    order: int | None = None
    exact: bool = True
    levels: Any = karras
    registers: int = 1

    @property
    def id(self):
        given = ",".join(f"{k}={getattr(v, 'name', v)}" for k, v in self.options.items())
        return f"{self.sampler.__name__}({given})"


s = samplers
CASES = [
    Case(s.euler, order=1),
    Case(s.ddim, order=1),
    Case(s.ddim, {"eta": 0.5}),
    Case(s.ddim, {"eta": 1.0}),
    Case(s.ddim, {"eta": 0.5, "s_noise": 0.9}, exact=False),
    Case(s.ancestral),
    Case(s.ancestral, {"eta": 0.8, "s_noise": 1.1}, exact=False),
    Case(s.ddpm),
    Case(s.ddpm, {"variance": "large"}, exact=False),
    Case(s.heun, order=2, registers=2),
    Case(s.heun, {"churn": 20.0}, registers=2),
    Case(s.heun, {"churn": 20.0, "s_noise": 1.003}, exact=False, registers=2),
    Case(s.dpmpp_2m, order=2, registers=2),
    Case(s.dpmpp_2m_sde, registers=2),
    Case(s.dpmpp_2m_sde, {"eta": 0.5}, registers=2),
    Case(s.dpmpp_2m, {"solver": "heun", "lower_order_final": True}, order=2, registers=2),
    Case(s.dpmpp_2m_sde, {"solver": "heun", "s_noise": 1.01}, exact=False, registers=2),
    Case(s.dpmpp_3m, order=3, registers=3),
    Case(s.dpmpp_3m, {"curvature": 0.5, "lower_order_final": True}, order=2, registers=3),
    Case(s.dpmpp_3m_sde, registers=3),
    Case(s.dpmpp_3m_sde, {"eta": 0.5, "curvature": 0.5, "solver": "midpoint"}, registers=3),
    Case(s.dpm_solver_multi, order=2, registers=2),
    Case(s.dpm_solver_multi, {"order": 3}, order=3, registers=3),
    Case(s.dpm_solver_multi, {"eta": 1.0, "solver": "heun"}, exact=False, registers=2),
    Case(s.unipc, order=3, registers=3),
    Case(s.unipc, {"order": 3, "variant": "bh1", "lower_order_final": True}, order=2, registers=4),
    Case(s.unipc, {"predict": "eps", "disable": (0, 2)}, order=3, registers=3),
    Case(s.unipc, {"order": 3, "variant": "exact", "corrector": False}, order=3, registers=3),
    Case(s.deis, order=3, levels=vp_uniform, registers=3),
    Case(s.deis, {"order": 4, "space": "rho"}, order=4, registers=4),
    Case(s.deis, {"space": "log_rho", "lower_order_final": True}, order=3, registers=3),
    Case(s.plms, order=2, registers=4),
    Case(s.plms, {"order": 2}, order=2, levels=vp_uniform, registers=2),
    Case(s.plms, {"of": "v"}, order=1, exact=False, levels=vp_uniform, registers=4),
    # exact but for rounding, which Runge-Kutta steps from 80 to 0.01 amplify to 1e-7
    Case(s.pndm, order=2, exact=False, levels=vp_uniform, registers=5),
    Case(s.ipndm, order=2, registers=4),
    Case(s.ipndm_v, {"order": 3}, order=3, registers=3),
    Case(s.sa_solver, registers=4),
    Case(s.sa_solver, {"tau": (0.1, 20.0, 0.8), "predictor": 2, "pece": True}, registers=4),
    Case(s.sa_solver, {"tau": 0.0, "lower_order_final": True}, order=2, registers=4),
    Case(
        s.sa_solver,
        {"predict": "eps", "tau": 0.5, "predictor": 2, "corrector": 2},
        exact=False,
        registers=3,
    ),
    Case(s.er_sde, registers=3),
    Case(s.er_sde, {"order": 1, "scale": "sde"}),
    Case(s.er_sde, {"order": 2, "scale": "er-sde-4"}, registers=2),
    Case(s.er_sde, {"scale": "ode", "parabola": True}, order=3, registers=3),
    Case(s.er_sde, {"scale": "er-sde-1", "s_noise": 1.01}, exact=False, registers=3),
    Case(s.res_multistep, order=2, registers=2),
    Case(s.res_multistep, {"eta": 1.0}, registers=2),
    Case(s.res_multistep, {"order": 3, "eta": 0.5}, registers=3),
    Case(s.gradient_estimation, order=1, registers=2),
    Case(s.gradient_estimation, {"gamma": 1.0, "mu": 0.5}),
    Case(s.gradient_estimation, {"gamma": 1.2, "mu": 0.1}, exact=False, registers=2),
    Case(s.lms, order=4, registers=4),
    Case(s.ab_velocity, order=2, registers=2),
    Case(s.ab_velocity, {"order": 4}, order=4, registers=4),
    Case(s.langevin, {"step": 1e-5, "repeats": 3}, exact=False),
    Case(s.euler_maruyama, {"process": VP}, exact=False, levels=vp_uniform),
    Case(s.euler_maruyama, {"process": SUB_VP}, exact=False, levels=vp_uniform),
    Case(s.euler_maruyama, {"process": VE}, exact=False, levels=ve_geometric),
    Case(s.reverse_diffusion, {"process": VP}, exact=False, levels=vp_uniform),
    Case(s.reverse_diffusion, {"process": VE}, exact=False, levels=ve_geometric),
    Case(s.pf_euler, {"process": VP}, order=1, exact=False, levels=vp_uniform),
    Case(s.pf_heun, {"process": VP}, order=2, exact=False, levels=vp_uniform, registers=2),
    Case(
        s.pf_heun,
        {"process": VE, "stage": 0.5},
        order=2,
        exact=False,
        levels=ve_geometric,
        registers=2,
    ),
    Case(s.consistency, {"sigma_min": 0.0}),
    Case(s.consistency, {"sigma_min": 0.02}, exact=False),
    Case(s.lcm),
    Case(s.lcm, {"timestep_scaling": 10.0}, exact=False, levels=vp_uniform),
    Case(s.tcd, {"eta": 0.0}, order=1),
    Case(s.tcd),
    Case(s.tcd, {"eta": 0.6}, levels=vp_uniform),
    Case(s.flow_heun, order=2, registers=2),
    Case(s.flow_euler_ancestral),
    Case(s.flow_euler_ancestral, {"eta": 0.4, "s_noise": 1.01}, exact=False),
    Case(s.flow_sde, exact=False),
    Case(s.predictor_corrector, {"delta": 0.1}, exact=False, levels=vp_uniform),
    Case(s.predictor_corrector, {"predictor": "ancestral", "corrections": 2}, exact=False),
    Case(s.predictor_corrector, {"predictor": "euler", "corrections": 1}, exact=False),
    Case(s.predictor_corrector, {"predictor": "none", "corrections": 3}, exact=False),
    Case(s.langevin, {"step": 1e-5, "repeats": 3, "convention": "ncsnv2"}, exact=False),
    Case(s.euler_churn, {"churn": 20.0}),
    Case(s.euler_churn, {"step_scale": 1.1}, order=1, exact=False),
    Case(s.alphafold3, exact=False),
    Case(s.heun, {"churn": 5.0, "step_scale": 1.05}, exact=False, registers=2),
    Case(s.dpm_2, order=2, registers=2),
    Case(s.dpm_2, {"churn": 10.0, "s_min": 0.05, "s_max": 50.0}, registers=2),
    Case(s.dpm_2_ancestral, registers=2),
    Case(s.dpm_2_ancestral, {"eta": 0.6, "s_noise": 1.01}, exact=False, registers=2),
    Case(s.midpoint, order=2, registers=2),
    Case(s.ralston, order=2, registers=2),
    Case(s.kutta, order=3, levels=mild, registers=2),
    Case(s.rk4, order=4, levels=mild, registers=3),
    Case(
        s.runge_kutta, {"tableau": s.TABLEAUX["three_eighths"]}, order=4, levels=mild, registers=3
    ),
    Case(s.implicit_rk, order=2, registers=2),
    Case(
        s.implicit_rk,
        {"tableau": s.IMPLICIT["gauss2"], "iterations": 3},
        order=4,
        levels=mild,
        registers=3,
    ),
    Case(
        s.implicit_rk,
        {"tableau": s.IMPLICIT["lobatto_iiia3"]},
        order=3,
        levels=mild,
        registers=3,
    ),
    Case(s.heunpp2, order=1, registers=2),
    Case(s.heunpp2, {"churn": 20.0}, registers=2),
    Case(s.restart, levels=with_restarts, registers=2),
    Case(s.exponential_rk, {"predict": "eps"}, order=2, registers=2),
    Case(s.res_2s, {"c2": 1.0}, order=2, registers=2),
    Case(s.res_3s, order=3, registers=2),
    Case(s.res_5s, order=4, registers=3),
    Case(s.dpm_solver_2, order=2, registers=2),
    Case(s.dpm_solver_3, order=3, levels=mild, registers=2),
    Case(s.dpm_fast, order=2, registers=2),
    Case(s.dpm_fast, {"eta": 1.0}, registers=2),
    Case(s.dpm_solver_single, {"order": 3}, order=3, registers=2),
    Case(s.dpm_solver_single, {"predict": "eps", "solver": "heun"}, order=2, registers=2),
    Case(s.dpm_solver_single, {"order": 3, "eta": 1.0, "joint": False}, registers=3),
    Case(s.dpm_solver_single, {"order": 3, "eta": 0.5}, registers=2),
    Case(s.dpmpp_2s, order=2, registers=2),
    Case(s.dpmpp_2s, {"r": 0.7, "solver": "heun"}, order=2, registers=2),
    Case(s.dpmpp_3s, order=3, registers=2),
    Case(s.dpmpp_3s, {"solver": "heun"}, order=3, registers=2),
    Case(s.dpmpp_2s_ancestral, registers=2),
    Case(s.dpmpp_2s_ancestral, {"eta": 0.5, "s_noise": 1.01}, exact=False, registers=2),
    Case(s.dpmpp_sde, registers=2),
    Case(s.dpmpp_sde, {"clock": "sde", "r": 0.3, "eta": 0.7}, registers=2),
    Case(s.dpmpp_sde, {"joint": False}, registers=2),
    Case(s.seeds_1),
    Case(s.seeds_2, registers=2),
    Case(s.seeds_2, {"r": 0.3, "eta": 0.5}, registers=2),
    Case(s.seeds_3, registers=2),
    Case(s.seeds_3, {"predict": "eps", "eta": 0.5}, exact=False, registers=2),
]
EXACT = [case for case in CASES if case.exact]
STOCHASTIC = [case for case in CASES if case.order is None]


def ids(cases):
    return [case.id for case in cases]
