# SPDX-License-Identifier: Apache-2.0
"""A tiny AutoencoderKL of random weights as a codec."""

import pytest
import torch

from pydiffcore.adapters.autoencoder import KLCodec
from pydiffcore.data import Codec


@pytest.fixture(scope="module")
def vae():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.5, shift_factor=0.1,
    )  # fmt: skip


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 3, 16, 16), generator=generator, dtype=torch.uint8)


def test_formulas(vae, images):
    codec = KLCodec(vae, batch=2)
    assert isinstance(codec, Codec)
    assert codec.scale == 0.5
    latents = codec.encode(images)
    with torch.no_grad():
        posterior = vae.encode(images.float() / 127.5 - 1).latent_dist
        expected = (posterior.mean - 0.1) * 0.5
        pixels = vae.decode(latents / 0.5 + 0.1).sample
    assert latents.shape == (5, 4, 8, 8)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-5)
    decoded = codec.decode(latents)
    assert decoded.dtype == torch.uint8
    assert decoded.shape == images.shape
    wanted = ((pixels.clamp(-1, 1) + 1) * 127.5).round()
    assert (decoded.float() - wanted).abs().max() <= 1


def test_draws_are_functions_of_the_seeds(vae, images):
    """From the posterior: mean and deviation, and the same draw in any batch."""
    codec = KLCodec(vae)
    same = images[:1].expand(400, -1, -1, -1)
    latents = codec.encode(same, range(400))
    with torch.no_grad():
        posterior = vae.encode(same[:1].float() / 127.5 - 1).latent_dist
    z = (latents / 0.5 + 0.1 - posterior.mean) / posterior.std
    assert abs(z.mean()) < 5 / z.numel() ** 0.5
    assert abs(z.var() - 1) < 5 * (2 / z.numel()) ** 0.5
    alone = codec.encode(images[:1], [7])
    torch.testing.assert_close(alone[0], latents[7], rtol=1e-4, atol=1e-5)


def test_grey_images(vae, images):
    codec = KLCodec(vae, scale=2.0)
    grey = images[:, :1]
    expected = codec.encode(grey.repeat(1, 3, 1, 1))
    assert torch.equal(codec.encode(grey), expected)


def test_refused(vae, images):
    with pytest.raises(TypeError, match="expected diffusers' AutoencoderKL"):
        KLCodec(torch.nn.Identity())
    with pytest.raises(ValueError, match="batch is 0"):
        KLCodec(vae, batch=0)
    with pytest.raises(TypeError, match="expected uint8"):
        KLCodec(vae).encode(images.float())
    with pytest.raises(ValueError, match="5 and 1 entries"):
        KLCodec(vae).encode(images, [1])
