# SPDX-License-Identifier: Apache-2.0
"""Steps of a training as others write them: EDM's formulas in torch, and diffusers' example."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["EDMTraining", "diffusers_step", "edm_coefficients", "edm_levels", "losses"]

Network = Callable[[Tensor, Tensor], Tensor]


def edm_levels(y: Tensor) -> Tensor:
    """ln sigma ~ N(-1.2, 1.2²), [B, 1, …]."""
    return (torch.randn([len(y)] + [1] * (y.ndim - 1)) * 1.2 - 1.2).exp()


def edm_coefficients(sigma: Tensor, data: float = 0.5) -> tuple[Tensor, ...]:
    """c_skip, c_out, c_in, c_noise and the weight, as EDM's precond and loss compute them."""
    total = sigma**2 + data**2
    weight = total / (sigma * data) ** 2
    root = total.sqrt()
    return data**2 / total, sigma * data / root, 1 / root, sigma.log() / 4, weight


def edm_loss(y: Tensor, network: Network) -> Tensor:
    """EDMLoss and EDMPrecond of Karras et al. 2022, line by line."""
    sigma = edm_levels(y)
    c_skip, c_out, c_in, c_noise, weight = edm_coefficients(sigma)
    x = y + torch.randn_like(y) * sigma
    F = network(c_in * x, c_noise.flatten())
    D = c_skip * x + c_out * F
    return (weight * (D - y) ** 2).mean()


def edm_loss_in_place(y: Tensor, network: Network) -> Tensor:
    """The same with every temporary that can be reused."""
    sigma = edm_levels(y)
    c_skip, c_out, c_in, c_noise, weight = edm_coefficients(sigma)
    x = torch.randn_like(y).mul_(sigma).add_(y)
    F = network(c_in * x, c_noise.flatten())
    # lambda |D − y|² with everything that carries no gradient gathered first
    error = torch.addcmul(x.mul_(c_skip).sub_(y), c_out, F)
    return (error.square() * weight).mean()


def of_pixels(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32) / 127.5 - 1


def of_pixels_in_place(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32).div_(127.5).sub_(1)


def losses(pixels: Tensor, F: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The ways to write it, each from uint8 pixels to the loss of a network that returns F."""
    return {
        "as published": lambda: edm_loss(of_pixels(pixels), lambda x, c: F),
        "in place": lambda: edm_loss_in_place(of_pixels_in_place(pixels), lambda x, c: F),
    }


class EDMTraining:
    """A step of EDM's training loop: its loss, gradients made finite, Adam, its average of weights.

    Args:
        network: called with the input and c_noise [B].
        images: whether batches are uint8 pixels.
        optimiser: options of AdamW, as {"fused": True}.
        compiled: whether torch.compile makes the loss, network included.
    """

    def __init__(
        self, network: nn.Module, images: bool, optimiser: dict[str, Any], compiled: bool = False
    ) -> None:
        self.network, self.images = network.train(), images
        self.ema = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0, **optimiser
        )
        self.loss = torch.compile(edm_loss, dynamic=False) if compiled else edm_loss
        self.seen = 0

    def step(self, batch: Tensor) -> None:
        """Do one step."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(of_pixels_in_place(batch) if self.images else batch, self.network)
        loss.backward()
        for parameter in self.network.parameters():
            torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        self.optimiser.step()
        self.seen += len(batch)
        beta = 0.5 ** (len(batch) / min(500_000.0, 0.05 * self.seen))
        with torch.no_grad():
            pairs = zip(self.ema.parameters(), self.network.parameters(), strict=True)
            for p_ema, p in pairs:
                p_ema.copy_(p.lerp(p_ema, beta))
            for b_ema, b in zip(self.ema.buffers(), self.network.buffers(), strict=True):
                b_ema.copy_(b)


def diffusers_step(network: nn.Module) -> Callable[[Tensor], None]:
    """A step of examples/unconditional_image_generation/train_unconditional.py, on one device.

    Images come as its loader gives them, float32 in [−1, 1]; accelerate is left out.
    """
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    network.train()
    schedule = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
    )
    rate = get_scheduler(
        "cosine", optimizer=optimiser, num_warmup_steps=500, num_training_steps=100_000
    )
    ema = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0,
                   power=0.75)  # fmt: skip

    def step(clean: Tensor) -> None:
        noise = torch.randn(clean.shape)
        timesteps = torch.randint(0, 1000, (len(clean),)).long()
        noisy = schedule.add_noise(clean, noise, timesteps)
        output = network(noisy, timesteps)
        loss = nn.functional.mse_loss(output.float(), noise.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        optimiser.zero_grad()
        ema.step(network.parameters())

    return step
