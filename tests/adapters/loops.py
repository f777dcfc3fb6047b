# SPDX-License-Identifier: Apache-2.0
"""Loops over a scheduler on a small network, with something done before each step."""

import inspect

import torch

import pydiffcore.adapters.diffusers as ours

NAMES = sorted(ours.FAMILIES)
HISTORY = sorted(name for name, family in ours.FAMILIES.items() if not family.by_time)
SHAPE = (2, 3, 4, 4)


def made(library, name, n=6, **config):
    """A scheduler with timesteps, whose noise comes from a seed where it has one."""
    if name == "DPMSolverSDEScheduler":
        config["noise_sampler_seed"] = 3
    scheduler = getattr(library, name)(**config)
    scheduler.set_timesteps(n)
    if name == "ScoreSdeVeScheduler":
        scheduler.set_sigmas(n)
    return scheduler


def start(scheduler):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    return x * float(getattr(scheduler, "init_noise_sigma", 1.0))


def stepped(scheduler, t, x, generator, network=torch.tanh):
    """The state after one call."""
    step = getattr(scheduler, "step_pred" if hasattr(scheduler, "step_pred") else "step")
    scale = getattr(scheduler, "scale_model_input", lambda x, t: x)
    options = {}
    if "generator" in inspect.signature(step).parameters:
        options["generator"] = generator
    return step(0.5 * network(scale(x, t)), t, x, **options).prev_sample


def loop(scheduler, before=None, edit=None):
    """States after each call; ``before(i, scheduler)`` returns the scheduler that does it."""
    x, generator = start(scheduler), torch.Generator().manual_seed(7)
    states = []
    for i, t in enumerate(scheduler.timesteps):
        scheduler = before(i, scheduler) if before else scheduler
        x = stepped(scheduler, t, x, generator)
        x = edit(x) if edit else x
        states.append(x)
    return torch.stack(states)


def worst(found, expected):
    assert found.shape == expected.shape
    assert bool(found.isfinite().all())
    each = zip(found, expected, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in each)
