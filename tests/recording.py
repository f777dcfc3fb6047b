# SPDX-License-Identifier: Apache-2.0
"""A stand-in for CUDA's graphs that replays on the CPU, and a small network to capture."""

import dataclasses

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pydiffcore
from pydiffcore import levels, loop, prediction, process, samplers
from pydiffcore.ops import graph, runner
from pydiffcore.ops.program import bind

VP = process.vp()
SHAPE, SEEDS = (3, 5), [7, 8, 2**63]


def network(x, c_noise, *, shift):
    return 0.3 * x + shift[:, None, None] + 0.01 * c_noise[:, None, None]


def denoiser(**options):
    condition = {"shift": torch.tensor([0.1, 0.2, 0.3])}
    return pydiffcore.Denoiser(network, prediction.eps(VP), condition, **options)


def plan(sampler=samplers.ancestral, rho=7.0, n=6):
    return pydiffcore.trace(sampler, levels.karras(n, rho=rho), prediction.eps(VP))


class Tape(TorchDispatchMode):
    """A stand-in for a CUDA graph: launches and operations with the addresses that they had.

    No Python of the loop runs when it is replayed: a number that was computed on the host, or a
    tensor that was not where it is now, stays as it was recorded.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.records = [], False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if self.records:
            self.steps.append(lambda: self.again(func, args, kwargs or {}, made))
        return made

    @staticmethod
    def again(func, args, kwargs, made):
        fresh = func(*args, **kwargs)
        for old, new in zip(tree_leaves(made), tree_leaves(fresh), strict=True):
            if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)

    def replay(self):
        with torch.inference_mode():  # a graph writes whatever its tensors were made under
            for step in self.steps:
                step()


def tapes_for_graphs(monkeypatch):
    """Record tapes in the place of graphs, and return the list that they are added to."""
    tapes, now = [], []

    def record(body, once, device):
        once()
        tape = Tape()
        tapes.append(tape)
        now.append(tape)
        tape.records = True
        with tape:
            body()
        tape.records = False
        now.clear()
        return graph.Graph(tape.replay, 1000)

    def bound(**table):
        program = bind(**table, host_loop=(2, 64))

        def advance(*launch):
            for tape in now:
                tape.steps.append(lambda: program.advance(*launch))
            return program.advance(*launch)

        return dataclasses.replace(program, advance=advance)

    monkeypatch.setattr(graph, "record", record)
    monkeypatch.setattr(loop.Loop, "_reason", lambda self: "")
    monkeypatch.setattr(runner, "bind", bound)
    return tapes


def equal(a, b):
    return torch.equal(a, b) and bool(a.isfinite().all())


def drawn(model, plan, seeds=SEEDS, **options):
    return pydiffcore.sample(model, plan, shape=SHAPE, seeds=seeds, **options)
