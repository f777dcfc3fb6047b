# SPDX-License-Identifier: Apache-2.0
"""Samplers: plain functions ``(x, denoise, levels, noise, **options)``, one family per file.

They run on symbols (to be traced into a plan), on torch tensors (unfused: the oracle of the fused
run) and on NumPy arrays, and see the EDM frame x = x0 + σ z.  ``denoise(x, sigma)`` returns D,
``levels.steps()`` the pairs (σ, σ_next), ``noise(sigma, sigma_next)`` a fresh unit normal for that
step (the levels may be left out; who passes noise in as a function of them needs them).

Names under which other libraries have one of them exactly are there as well, options bound
(``samplers.euler_ancestral is samplers.ancestral``); see samplers/elsewhere.py.
"""

import inspect
import typing

from pydiffcore.samplers.afs import afs as afs
from pydiffcore.samplers.churn import alphafold3 as alphafold3
from pydiffcore.samplers.churn import euler_churn as euler_churn
from pydiffcore.samplers.consistency import consistency as consistency
from pydiffcore.samplers.consistency import lcm as lcm
from pydiffcore.samplers.consistency import tcd as tcd
from pydiffcore.samplers.corrector import predictor_corrector as predictor_corrector
from pydiffcore.samplers.deis import deis as deis
from pydiffcore.samplers.dpm_solver import dpm_fast as dpm_fast
from pydiffcore.samplers.dpm_solver import dpm_solver_2 as dpm_solver_2
from pydiffcore.samplers.dpm_solver import dpm_solver_3 as dpm_solver_3
from pydiffcore.samplers.dpm_solver import dpm_solver_single as dpm_solver_single
from pydiffcore.samplers.dpmpp import dpm_solver_multi as dpm_solver_multi
from pydiffcore.samplers.dpmpp import dpmpp_2m as dpmpp_2m
from pydiffcore.samplers.dpmpp import dpmpp_2m_sde as dpmpp_2m_sde
from pydiffcore.samplers.dpmpp import dpmpp_3m as dpmpp_3m
from pydiffcore.samplers.dpmpp import dpmpp_3m_sde as dpmpp_3m_sde
from pydiffcore.samplers.dpmpp_single import dpmpp_2s as dpmpp_2s
from pydiffcore.samplers.dpmpp_single import dpmpp_2s_ancestral as dpmpp_2s_ancestral
from pydiffcore.samplers.dpmpp_single import dpmpp_3s as dpmpp_3s
from pydiffcore.samplers.dpmpp_single import dpmpp_sde as dpmpp_sde
from pydiffcore.samplers.elsewhere import ALIASES as ALIASES
from pydiffcore.samplers.elsewhere import ELSEWHERE as ELSEWHERE
from pydiffcore.samplers.er_sde import er_sde as er_sde
from pydiffcore.samplers.euler import ancestral as ancestral
from pydiffcore.samplers.euler import ddim as ddim
from pydiffcore.samplers.euler import ddpm as ddpm
from pydiffcore.samplers.euler import euler as euler
from pydiffcore.samplers.exponential import exponential_rk as exponential_rk
from pydiffcore.samplers.exponential import res_2s as res_2s
from pydiffcore.samplers.exponential import res_3s as res_3s
from pydiffcore.samplers.exponential import res_5s as res_5s
from pydiffcore.samplers.exponential_tableau import EXPONENTIAL as EXPONENTIAL
from pydiffcore.samplers.exponential_tableau import ExponentialTableau as ExponentialTableau
from pydiffcore.samplers.flow import flow_euler_ancestral as flow_euler_ancestral
from pydiffcore.samplers.flow import flow_heun as flow_heun
from pydiffcore.samplers.flow import flow_sde as flow_sde
from pydiffcore.samplers.gradient_estimation import gradient_estimation as gradient_estimation
from pydiffcore.samplers.heun import heun as heun
from pydiffcore.samplers.heunpp2 import heunpp2 as heunpp2
from pydiffcore.samplers.implicit import implicit_rk as implicit_rk
from pydiffcore.samplers.langevin import langevin as langevin
from pydiffcore.samplers.langevin import ncsnv2_step as ncsnv2_step
from pydiffcore.samplers.last import denoise_to_zero as denoise_to_zero
from pydiffcore.samplers.last import ending as ending
from pydiffcore.samplers.lms import ab_velocity as ab_velocity
from pydiffcore.samplers.lms import lms as lms
from pydiffcore.samplers.pndm import ipndm as ipndm
from pydiffcore.samplers.pndm import ipndm_v as ipndm_v
from pydiffcore.samplers.pndm import plms as plms
from pydiffcore.samplers.pndm import pndm as pndm
from pydiffcore.samplers.probability_flow import pf_euler as pf_euler
from pydiffcore.samplers.probability_flow import pf_heun as pf_heun
from pydiffcore.samplers.res import res_multistep as res_multistep
from pydiffcore.samplers.restart import restart as restart
from pydiffcore.samplers.runge_kutta import dpm_2 as dpm_2
from pydiffcore.samplers.runge_kutta import dpm_2_ancestral as dpm_2_ancestral
from pydiffcore.samplers.runge_kutta import kutta as kutta
from pydiffcore.samplers.runge_kutta import midpoint as midpoint
from pydiffcore.samplers.runge_kutta import ralston as ralston
from pydiffcore.samplers.runge_kutta import rk4 as rk4
from pydiffcore.samplers.runge_kutta import runge_kutta as runge_kutta
from pydiffcore.samplers.sa_solver import sa_solver as sa_solver
from pydiffcore.samplers.sde import euler_maruyama as euler_maruyama
from pydiffcore.samplers.sde import reverse_diffusion as reverse_diffusion
from pydiffcore.samplers.seeds import seeds_1 as seeds_1
from pydiffcore.samplers.seeds import seeds_2 as seeds_2
from pydiffcore.samplers.seeds import seeds_3 as seeds_3
from pydiffcore.samplers.tableau import IMPLICIT as IMPLICIT
from pydiffcore.samplers.tableau import TABLEAUX as TABLEAUX
from pydiffcore.samplers.tableau import Tableau as Tableau
from pydiffcore.samplers.unipc import unipc as unipc


def __getattr__(name: str) -> typing.Any:
    from pydiffcore.hints import missing

    if name in ALIASES:
        return ALIASES[name]
    takers = [n for n, value in globals().items() if inspect.isfunction(value) and _sampler(value)]
    raise missing(__name__, name, [*takers, *ALIASES], ELSEWHERE)


def _sampler(function: typing.Any) -> bool:
    """Whether a function is a sampler, or makes one of a sampler."""
    return not {"denoise", "sampler"}.isdisjoint(inspect.signature(function).parameters)
