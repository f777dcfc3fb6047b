# SPDX-License-Identifier: Apache-2.0
"""The one loop: network call, fused row, network call, …"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pydiffcore.denoiser import Denoiser
from pydiffcore.given import Model, Noise, given, matching
from pydiffcore.guidance import Guidance
from pydiffcore.ops import cuda
from pydiffcore.ops.lent import lend, take_back
from pydiffcore.ops.reference import guided
from pydiffcore.ops.runner import Runner
from pydiffcore.plan import Plan

__all__ = ["Step", "sample", "trajectory"]


class Step(NamedTuple):
    """What a run looks like after a network call and before the row that uses it.

    Attributes:
        call: number of the call, ``plan.nfe`` for the finished run.
        sigma: EDM level of the query, the final level for the finished run.
        x: the query [B, *shape], for the finished run the result, in the plan's frame (times
            ``plan.scale[call]``); the caller's own, which no later row changes.
        F: the network's output, the conditional one under guidance, None for the finished run.
        F_uncond: the unconditional output, None where the call is not guided.
        weight: the guidance weight w, a number or one per sample.

    What is written into ``x`` before the next step is asked for is what the row goes on from, with
    every prediction and backend.  F stays what the network answered before it, so that the row's
    D = c_skip·x + c_out·F is of the new x and the old F (of a model ``D(x, sigma)``, the old D).
    To change what the network sees, or D itself, as inpainting does, wrap the denoiser.
    Replacing F, or changing it in place, is not part of this.
    """

    call: int
    sigma: float
    x: Tensor
    F: Tensor | None
    plan: Plan
    F_uncond: Tensor | None = None
    weight: Any = 1.0

    @property
    def denoised(self) -> Tensor:
        """D = c_skip·x + c_out·F, guided, clipped where the plan clips; at the end the result."""
        if self.F is None:
            return self.x.clone()
        p, i, F = self.plan, self.call, self.F.to(self.x.dtype)
        if self.F_uncond is not None:
            F = guided(F, self.F_uncond, self.weight, self.x.dtype)
        D = float(p.c_skip[i] / p.scale[i]) * self.x + float(p.c_out[i]) * F
        return D if p.clip is None else D.clamp(*p.clip)


def trajectory(
    denoiser: Model,
    plan: Plan,
    *,
    shape: Sequence[int] | None = None,
    seeds: Any = None,
    x: Tensor | None = None,
    noise: Noise = None,
    dtype: torch.dtype | None = None,
    io_dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    backend: str = "auto",
    grad: bool = False,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Iterator[Step]:
    """Run one batch and yield a :class:`Step` after every network call and at the end.

    The steps may be kept, ``states = [step.x for step in trajectory(...)]``, and ``step.x``
    edited in place, which :class:`Step` says more of.  Arguments as for :func:`sample`; all
    samples form one batch.
    """
    model = matching(denoiser, plan)
    had = given(plan, shape, seeds, x, noise, dtype)
    yield from _run(
        model,
        plan,
        had.x,
        grad,
        lasting=True,
        shape=had.shape,
        seeds=had.seeds,
        noise=had.noise,
        dtype=had.dtype,
        io_dtype=io_dtype,
        device=device,
        backend=backend,
        memory_format=memory_format,
    )


def _run(
    model: Denoiser, plan: Plan, x: Tensor | None, grad: bool, lasting: bool, **options: Any
) -> Iterator[Step]:
    """Run one batch; ``options`` are the runner's, ``lasting`` is that of :func:`calls`."""
    guidance, samples = model.guidance, len(options["seeds"])
    weights = None if guidance is None else guidance.weights(plan.sigma, samples)
    runner = Runner(plan, guidance=weights, **options)
    with torch.set_grad_enabled(grad):
        state = runner.start(x)
    yield from calls(model, runner, state, labels_of(runner), grad, lasting)
    runner.check()
    yield Step(plan.nfe, plan.sigma_final, runner.query, None, plan)


def labels_of(runner: Runner) -> Tensor:
    """Return c_noise of every call, [n]: float64 where the network's are, float32 otherwise.

    Each is at an address that 16 divides: compiled networks copy what is not.
    """
    wide = np.dtype(np.float64 if runner.io_dtype == torch.float64 else np.float32)
    table = np.zeros((runner.plan.nfe, 16 // wide.itemsize), wide)
    table[:, 0] = runner.plan.c_noise
    return cuda.upload(table, runner.device)[:, 0]


def calls(
    model: Denoiser,
    runner: Runner,
    state: Tensor,
    labels: Tensor,
    grad: bool = False,
    lasting: bool = False,
) -> Iterator[Step]:
    """Call the network and run a row, n times, and yield a :class:`Step` between the two.

    Args:
        model: of one batch.
        runner: at its first network call, for which it made ``state``.
        labels: c_noise of every call, [n].
        grad: whether autograd records.
        lasting: yield tensors that no later row writes and take edits of ``x`` back; otherwise
            the registers themselves, at no cost.

    """
    plan, guidance, weights = runner.plan, model.guidance, runner.guidance
    label = labels[:, None].expand(-1, len(runner.seeds)).unbind()
    kept: Tensor | None = None
    for call, sigma in enumerate(plan.sigma.tolist()):
        F_uncond, w = None, 1.0 if weights is None else weights[call]
        with torch.set_grad_enabled(grad):
            try:
                if guidance is not None and np.any(w != 1.0):
                    F_uncond = _unconditional(model, guidance, state, label[call])
                    if isinstance(F_uncond, Tensor):  # the next call may recycle its buffer
                        F_uncond = kept = _copy(F_uncond, None if grad or lasting else kept)
                F, v = model.split(model.network(state, label[call], **model.condition))
            except RuntimeError as error:
                _note_dtypes(error, state, labels)
                raise
            if lasting and isinstance(F, Tensor) and _one_memory(F, state):
                F = F.clone()  # the row reads it after an edit of x, the caller after the row
        x = lend(runner) if lasting else runner.query
        yield Step(call, sigma, x, F, plan, F_uncond, w)
        if lasting:
            take_back(runner, x, grad)
        with torch.set_grad_enabled(grad):
            state = runner.advance(F, F_uncond, v)


def _note_dtypes(error: RuntimeError, state: Tensor, labels: Tensor) -> None:
    """Add to a network's error about dtypes what it was given; Python 3.10 has no notes."""
    if hasattr(error, "add_note") and re.search("dtype|scalar type|be the same", str(error)):
        error.add_note(
            f"the network's input is {state.dtype} and c_noise {labels.dtype}: pass io_dtype=..., "
            "the dtype of its weights, and where it computes with c_noise let it cast that"
        )


def _one_memory(a: Tensor, b: Tensor) -> bool:
    """Whether one tensor is a view of what the other is a view of."""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def _unconditional(model: Denoiser, guidance: Guidance, state: Tensor, label: Tensor) -> Any:
    """Call the network without its condition; the conditional call needs its input as it was."""
    network = guidance.network or model.network
    before = None if state.is_inference() else state._version
    output = network(state, label, **{**model.condition, **guidance.unconditional})
    if before is not None and state._version != before:
        raise RuntimeError(
            "the network changed its input in place, which its conditional call reads too: "
            "give it a copy, network(x.clone(), ...)"
        )
    return model.split(output)[0]


def _copy(F: Tensor, kept: Tensor | None) -> Tensor:
    """Return a copy of an output, in the memory of an earlier one where it has the same form."""
    if kept is None or (kept.shape, kept.dtype, kept.device) != (F.shape, F.dtype, F.device):
        return F.clone()
    return kept.copy_(F)


def sample(
    denoiser: Model,
    plan: Plan,
    *,
    shape: Sequence[int] | None = None,
    seeds: Any = None,
    batch: int | None = None,
    x: Tensor | None = None,
    noise: Noise = None,
    dtype: torch.dtype | None = None,
    io_dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    backend: str = "auto",
    progress: bool | Callable[[int, int], None] = False,
    grad: bool = False,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Draw one sample per seed: [N, *shape] of ``dtype``.

    A sample's noise depends on its own seed alone, so that it is the same bits in any batch.

    Args:
        denoiser: a :class:`Denoiser`, or a function ``D(x, sigma)`` with x [B, *shape] in the EDM
            frame and sigma [B].
        plan: a traced sampler whose prediction is the denoiser's.
        shape: shape of one sample; that of x or of the noise where None.
        seeds: N integers in [0, 2^64); may be left out where x is given and no noise is drawn
            from them.
        batch: samples per network call, all N where None.
        x: initial states [N, *shape], noise included, of deviation ``plan.init_scale``, as a
            tensor or array; drawn from the seeds where None.
        noise: None for noise from the seeds; unit normals [plan.draws, N, *shape] as a tensor,
            an array, or a list of one for each draw; a ``torch.Generator``, whose numbers depend
            on the batch; or a function ``noise(sigma, sigma_next)`` that returns unit normals for
            the batch at hand.
        dtype: of the state between calls, float32 or float64; where None float64 if x or the
            noise is in float64, else float32.
        io_dtype: of the network's input and output, ``dtype`` where None.
        device: of state and network.
        backend: "auto", "native" or "reference".
        progress: True for a progress bar (tqdm), or a function called with (calls done, all).
        grad: record a graph for autograd through the network outputs.
        memory_format: of the network's input, ``torch.channels_last`` (``channels_last_3d``) for a
            network in that format: the rows write and read it so, and nothing is copied.

    Raises:
        ValueError: the plan's prediction is not the denoiser's, or an argument is missing or does
            not fit.
        FloatingPointError: the network returned a value that is not finite.
    """
    model = matching(denoiser, plan)
    shape, seeds, x, noise, dtype = given(plan, shape, seeds, x, noise, dtype)
    samples = len(seeds)
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}, expected at least 1")
    size = samples if batch is None else batch
    model.check(samples, size)
    starts = range(0, samples, size)
    report, close = _reporter(progress, len(starts) * plan.nfe)
    results = []
    for number, start in enumerate(starts):
        stop = min(start + size, samples)
        steps = _run(
            model.batch(samples, start, stop),
            plan,
            None if x is None else x[start:stop],
            grad,
            lasting=False,
            shape=shape,
            seeds=seeds[start:stop],
            noise=noise[:, start:stop] if isinstance(noise, Tensor) else noise,
            dtype=dtype,
            io_dtype=io_dtype,
            device=device,
            backend=backend,
            memory_format=memory_format,
        )
        for step in steps:
            report(number * plan.nfe + step.call)
        results.append(step.x if step.x.requires_grad else step.x.clone())  # frees the rest
    close()
    return torch.cat(results) if len(results) > 1 else results[0]


def _reporter(
    progress: bool | Callable[[int, int], None], total: int
) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return what to call with the number of calls done, and what to call at the end."""
    if callable(progress):
        return lambda done: progress(done, total), lambda: None
    if not progress:
        return lambda done: None, lambda: None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'pydiffcore[digits]'") from None
    bar = tqdm(total=total, unit="call")
    return lambda done: bar.update(done - bar.n) and None, bar.close
