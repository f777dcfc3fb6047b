# SPDX-License-Identifier: Apache-2.0
"""Steps of training against EDM's formulas in eager torch, and against diffusers' example.

Median ratios of interleaved rounds within one run, on the default number of threads; bars are on
the lower end of a 95 % interval, bootstrapped over the rounds.  A timing of ours spans as many
steps as levels are drawn for at once, so that each has the cost of one draw.

Corruption and loss: from uint8 pixels in memory over levels, noise, the network's input and target
to the loss and its gradient with respect to F, a tensor that stands for the network's output.  The
peer is the faster of two forms, EDM's own lines and the same in place.  Ours is what ``Trainer``
does, which draws the levels of many steps together (``Ahead``), then ``corrupt`` and
``weighted_loss``; beside it stand the three functions that a step by itself calls, ``law.sample``,
``corrupt``, ``weighted_loss``.  Both once more where the process keeps its memory, peers included:
ours is kept anyway, theirs then spares its page faults.  torch's generator runs on one thread,
whatever their number.

Steps: ``Trainer.advance`` on a batch that lies in memory; the loader is left out on both sides.
Ours reads the loss and the norm of every step, to skip what is not finite, and sums losses by level
for the log, which the peer does not.  The peer has EDM's loss, makes gradients finite and averages
weights as EDM's loop does, parameter by parameter.  Its optimiser is made as EDM makes it, without
options, which on a CPU is torch's loop over the weights, or in the faster of AdamW's foreach and
fused forms: two figures.  Neither clips.  The network is the same and takes most of the time:
the note gives the share of ours that is outside of it, measured against the network's own forward
and backward in the same rounds.

diffusers: its example's step as it is written, with its AdamW, its rate and its average, on the
same network; images come in float32 as its loader would give them, ours in uint8.

U-Net with memory kept: our step in processes of its own that call ``keep_memory``, as ``pydiffcore
train`` does, and in such that do not, as all figures above; without a bar.

Compiled: the peer's loss, network included, in ``torch.compile``; of ours the network alone in
steps, and the whole of the first figures, where graphs lie on either side of ``corrupt``.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor

from benchmarks.claims.claim import Figure, main
from benchmarks.claims.training import eager
from benchmarks.interleaved import Ratio, interval, seconds
from pydiffcore import prediction
from pydiffcore.data.loader import Batch
from pydiffcore.ops.corruption import corrupt
from pydiffcore.ops.memory import keep_memory
from pydiffcore.train import laws
from pydiffcore.train.ahead import DRAWN, Ahead
from pydiffcore.train.config import configured
from pydiffcore.train.network import network_of
from pydiffcore.train.squared import weighted_loss
from pydiffcore.train.trainer import Trainer

EDM, LAW = prediction.edm(), laws.lognormal()
VECTORS = ((2, 64, 2), (8, 128, 3), (16, 256, 4))  # features, width, depth
UNET = "{width=32, multipliers=[1, 2], blocks=1, attention=[16], dropout=0.0}"
OPTIMISERS: dict[str, dict[str, bool]] = {
    "as published": {}, "foreach": {"foreach": True}, "fused": {"fused": True}
}  # fmt: skip
Work = Callable[[], None]


def often(work: Work, times: int) -> Work:
    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated


def pixels_of(batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (batch, 3, 32, 32), dtype=torch.uint8, generator=generator)


def alone_of(pixels: Tensor, F: Tensor) -> Callable[[Tensor], Tensor]:
    def loss(seeds: Tensor) -> Tensor:
        _, target, _ = corrupt(pixels, LAW.sample(seeds), EDM, seeds=seeds)
        return weighted_loss(F, target)

    return loss


def ours_of(pixels: Tensor, F: Tensor) -> Callable[[Tensor], Tensor]:
    ahead = Ahead(LAW, EDM, 0, len(pixels))

    def loss(seeds: Tensor) -> Tensor:
        first = int(seeds[0])
        keys, levels = ahead.of(range(first, first + len(pixels)), first)
        _, target, _ = corrupt(pixels, levels, EDM, seeds=keys)
        return weighted_loss(F, target)

    return loss


def with_gradient(loss: Callable[..., Tensor], F: Tensor, batch: int = 0) -> Work:
    """Return loss and backward; with a batch size the loss is given the seeds of each step."""
    step = 0

    def work() -> None:
        nonlocal step
        F.grad = None
        seeds = (torch.arange(step * batch, (step + 1) * batch),) if batch else ()
        loss(*seeds).backward()
        step += 1

    return work


def corruption(batch: int, compiled: bool = False) -> tuple[dict[str, Work], int]:
    """Contenders of corruption and loss, each with its gradient, and calls per timing."""
    pixels = pixels_of(batch)
    F = torch.randn(pixels.shape).requires_grad_()

    def made(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return torch.compile(loss, dynamic=False) if compiled else loss

    alone = with_gradient(made(alone_of(pixels, F)), F, batch)
    ours = alone if compiled else with_gradient(ours_of(pixels, F), F, batch)
    contenders = {"ours": ours, "alone": alone}
    for name, loss in eager.losses(pixels, F).items():
        contenders[name] = with_gradient(made(loss), F)
    return contenders, max(1, DRAWN // batch)


def difference() -> float:
    """The largest difference of our gradient to EDM's formula on the same noise and levels."""
    pixels, seeds = pixels_of(16), range(16)
    F = torch.randn(pixels.shape).requires_grad_()
    sigma = LAW.sample(seeds)
    noisy, target, _ = corrupt(pixels, sigma, EDM, seeds=seeds)
    ours = torch.autograd.grad(weighted_loss(F, target), F)[0]
    levels = torch.from_numpy(sigma).view(-1, 1, 1, 1)
    c_skip, c_out, c_in, _, weight = eager.edm_coefficients(levels)
    y = pixels.double() / 127.5 - 1
    D = c_skip * (noisy.double() / c_in) + c_out * F
    theirs = torch.autograd.grad((weight * (D - y) ** 2).mean(), F)[0]
    return float((ours - theirs).abs().max() / theirs.abs().max())


def trainer_of(
    network: str, options: str, shape: tuple[int, ...], batch: int, *changes: str
) -> Trainer:
    config = configured(overrides=[
        f"network.name={network}", f"network.options={options}", f"optimiser.batch={batch}",
        "run.images=1000000000", "data.labels=false", *changes,
    ])  # fmt: skip
    return Trainer(config, shape, 0)


def advancing(trainer: Trainer, images: Tensor) -> Work:
    size = len(images)

    def work() -> None:
        first = trainer.step * size
        numbers = range(first, first + size)
        trainer.advance(Batch(images, None, numbers, first + size))

    return work


def network_alone(trainer: Trainer, images: Tensor) -> Work:
    """Forward and backward of the network, from an input to given gradients of its output."""
    network = network_of(trainer.config, trainer.shape, 0).train()
    x, label = torch.randn(images.shape), torch.randn(len(images))
    gradient = torch.randn(images.shape)

    def work() -> None:
        network.zero_grad(set_to_none=True)
        network(x, label).backward(gradient)

    return work


def steps(trainer: Trainer, images: Tensor, compiled: bool = False) -> dict[str, Work]:
    contenders = {"ours": advancing(trainer, images), "network": network_alone(trainer, images)}
    pixels = images.dtype == torch.uint8
    for name, options in OPTIMISERS.items():
        network = network_of(trainer.config, trainer.shape, 0)
        peer = eager.EDMTraining(network, pixels, options, compiled)
        contenders[name] = functools.partial(peer.step, images)
    if compiled:
        trainer.network.compile(dynamic=False)
    return contenders


def measured(
    contenders: dict[str, Work], budget: float, times: int = 1
) -> tuple[dict[str, list[float]], str, Ratio]:
    """Return all times, the best of the peers, and its ratio to ours."""
    taken = seconds(
        {name: often(work, times) for name, work in contenders.items()},
        repeats=400, budget=budget,
    )  # fmt: skip
    peers = [name for name in contenders if name not in ("ours", "alone", "network")]
    best = min(peers, key=lambda name: interval(taken, name, "ours").median)
    return taken, best, interval(taken, best, "ours")


def figure(what: str, ratio: Ratio, bar: str, note: str) -> Figure:
    return Figure(what, ratio.low if bar else ratio.median, bar, "×", f"median {ratio}; {note}")


def vectors(size: tuple[int, int, int]) -> tuple[str, Trainer, Tensor]:
    features, width, depth = size
    options = f"{{width={width}, depth={depth}}}"
    what = f"step, perceptron {width}×{depth}, vectors 512×{features}"
    return what, trainer_of("mlp", options, (features,), 512), torch.randn(512, features)


def of_steps(
    what: str, contenders: dict[str, Work], bar: str, budget: float, times: int
) -> Iterator[Figure]:
    taken, best, ratio = measured(contenders, budget, times)
    outside = 1 - 1 / interval(taken, "ours", "network").median
    note = f"{outside:.0%} of ours outside the network"
    published = interval(taken, "as published", "ours")
    yield figure(f"{what}: EDM's loop as published", published, bar, note)
    yield figure(f"{what}: EDM's loop, AdamW {best}", ratio, bar, note)


def against_diffusers() -> Figure:
    images = pixels_of(16)
    rates = ("preset=ddpm", "optimiser.weight_decay=1e-6", "optimiser.betas=[0.95, 0.999]",
             "optimiser.clip=1.0")  # fmt: skip
    average = 'averages={ema={kind="inverse_power", power=0.75}}'
    trainer = trainer_of("ddpmpp", UNET, (3, 32, 32), 16, *rates, average)
    step = eager.diffusers_step(network_of(trainer.config, (3, 32, 32), 0))
    clean = images.float() / 127.5 - 1
    contenders = {"ours": advancing(trainer, images), "diffusers": lambda: step(clean)}
    ratio = measured(contenders, 25.0)[2]
    return figure(
        "step, DDPM++ 32, 16×3×32×32: diffusers' example", ratio, ">= 0.98", "preset ddpm"
    )


def measure() -> Iterator[Figure]:
    yield Figure("gradient of the loss against EDM's formula", difference(), "<= 1e-5")
    yield from corruptions("")
    for size in VECTORS:
        what, trainer, data = vectors(size)
        yield from of_steps(what, steps(trainer, data), ">= 1.1", 40.0, DRAWN // len(data))
    images = pixels_of(16)
    trainer = trainer_of("ddpmpp", UNET, (3, 32, 32), 16)
    what = "step, DDPM++ 32, 16×3×32×32"
    yield from of_steps(what, steps(trainer, images), ">= 0.98", 50.0, 1)
    yield against_diffusers()
    yield from compiled()
    yield memory_kept()
    if keep_memory():
        yield from corruptions(", memory kept")


def corruptions(where: str) -> Iterator[Figure]:
    for batch in (64, 512):
        contenders, times = corruption(batch)
        taken, best, ratio = measured(contenders, 30.0, times)
        what = f"corruption, loss and its gradient, {batch}×3×32×32{where}"
        yield figure(f"{what}: levels ahead", ratio, ">= 5", f"best form: {best}")
        alone = interval(taken, best, "alone")
        yield figure(f"{what}: each step by itself", alone, ">= 5", f"best form: {best}")


def step_alone(kept: str) -> float:
    """Median seconds of our U-Net's step in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, kept]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def of_process(kept: bool) -> None:
    if kept:
        keep_memory()
    images = pixels_of(16)
    work = {"ours": advancing(trainer_of("ddpmpp", UNET, (3, 32, 32), 16), images)}
    print(median(seconds(work, repeats=400, budget=6.0)["ours"]))


def memory_kept() -> Figure:
    rounds = [(step_alone("left"), step_alone("kept")) for _ in range(4)]
    left, kept = (median(times) for times in zip(*rounds, strict=True))
    ratio = median(before / after for before, after in rounds)
    note = f"{left * 1e3:.0f} ms, and {kept * 1e3:.0f} ms where it is kept"
    return Figure("step, DDPM++ 32, 16×3×32×32: memory kept", ratio, "", "×", note)


def compiled() -> Iterator[Figure]:
    """Both sides in torch.compile: published without bars."""
    for batch in (64, 512):
        contenders, times = corruption(batch, compiled=True)
        _, best, ratio = measured(contenders, 10.0, times)
        what = f"corruption, loss and its gradient, {batch}×3×32×32, both compiled"
        yield figure(what, ratio, "", f"best form: {best}")
    what, trainer, data = vectors(VECTORS[1])
    yield from of_steps(f"{what}, both compiled", steps(trainer, data, compiled=True), "", 12.0, 4)


if __name__ == "__main__":
    of_process(sys.argv[1] == "kept") if len(sys.argv) > 1 else main(measure)
