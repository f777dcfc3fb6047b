# SPDX-License-Identifier: Apache-2.0
"""diffusers' AutoencoderKL as a :class:`pydiffcore.data.Codec`.

    vae = diffusers.AutoencoderKL.from_pretrained("…", subfolder="vae")
    codec = KLCodec(vae)

With the mean m and deviation s of the encoder's posterior, latents are

    (m + s z − shift)·scale        z = 0, or the unit noise of the sample's seed

where scale and shift are the model's ``scaling_factor`` and ``shift_factor``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pydiffcore.ops.noise import INITIAL, normal

__all__ = ["KLCodec"]

STREAM = 1 << 30  # of the purpose INITIAL: sampling uses the low ones


class KLCodec:
    """An encoder and decoder around an AutoencoderKL, in its dtype and on its device.

    Args:
        vae: the autoencoder, put into evaluation mode.
        scale: instead of the model's ``scaling_factor``.
        batch: images that go through it at once.

    Raises:
        TypeError: it is no such autoencoder.
    """

    def __init__(self, vae: Any, *, scale: float | None = None, batch: int = 16) -> None:
        if not all(hasattr(vae, name) for name in ("encode", "decode", "config")):
            raise TypeError(f"vae is a {type(vae).__name__}, expected diffusers' AutoencoderKL")
        if batch < 1:
            raise ValueError(f"batch is {batch}, expected at least 1")
        self.vae, self.batch = vae.eval(), batch
        self.scale = float(vae.config.scaling_factor if scale is None else scale)
        self.shift = float(getattr(vae.config, "shift_factor", None) or 0.0)
        self.factor = 2 ** (len(getattr(vae.config, "block_out_channels", (0,))) - 1)

    @classmethod
    def open(cls, path: str | Path, device: Any = "cpu") -> KLCodec:
        """Return the codec of a folder that diffusers has written, or of a model's name there.

        Args:
            path: of an AutoencoderKL, or of a pipeline with one in ``vae/``.
            device: where its weights are put.

        Raises:
            ImportError: diffusers is not installed.
            OSError, ValueError: there is no such model.
        """
        try:
            from diffusers import AutoencoderKL
        except ImportError:
            raise ImportError("a codec needs diffusers: pip install 'pydiffcore[peers]'") from None
        folder = Path(path)
        inner = folder / "vae"
        found = inner if inner.is_dir() and not (folder / "config.json").exists() else path
        return cls(AutoencoderKL.from_pretrained(found).to(device))

    def pixels(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the shape of the image of a latent; ValueError where it is none of this model.

        Args:
            shape: of the latent.
        """
        channels = int(self.vae.config.latent_channels)
        if len(shape) != 3 or shape[0] != channels:
            raise ValueError(f"samples have the shape {shape}, but the codec's latents are "
                             f"({channels}, h, w)")  # fmt: skip
        height, width = (size * self.factor for size in shape[1:])
        return int(self.vae.config.out_channels), height, width

    @torch.no_grad()
    def encode(self, images: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Return latents, float32 [B, c, h, w], of images, uint8 [B, C, H, W].

        Args:
            images: grey ones are repeated where the model wants colours.
            seeds: one per image for a draw from the posterior; its mean without.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"images is {images.dtype}, expected uint8")
        if seeds is not None and len(seeds) != len(images):
            raise ValueError(f"images and seeds have {len(images)} and {len(seeds)} entries")
        if any(size % self.factor for size in images.shape[2:]):
            raise ValueError(f"images are of {tuple(images.shape[2:])} pixels, expected multiples "
                             f"of {self.factor}")  # fmt: skip
        wanted = int(self.vae.config.in_channels)
        parts = []
        for start in range(0, len(images), self.batch):
            x = images[start : start + self.batch].to(self.vae.device)
            x = x.expand(-1, wanted, -1, -1) if x.shape[1] == 1 else x
            posterior = self.vae.encode((x.float() / 127.5 - 1).to(self.vae.dtype)).latent_dist
            latents = posterior.mean.float()
            if seeds is not None:
                own = seeds[start : start + self.batch]
                z = normal(own, latents.shape[1:], purpose=INITIAL, stream=STREAM)
                latents = latents + posterior.std.float() * z.to(latents.device)
            parts.append((latents - self.shift) * self.scale)
        return torch.cat(parts)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return images, uint8 [B, C, H, W], of latents [B, c, h, w]."""
        parts = []
        for start in range(0, len(latents), self.batch):
            z = latents[start : start + self.batch].to(self.vae.device).float()
            x = self.vae.decode((z / self.scale + self.shift).to(self.vae.dtype)).sample
            parts.append(((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(parts)
