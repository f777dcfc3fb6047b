# SPDX-License-Identifier: Apache-2.0
"""Corruption: the fused pass equals its formulas, and a perfect network's loss is zero."""

import numpy as np
import pytest
import torch

from pydiffcore import prediction
from pydiffcore.ops.corruption import coefficients_of, corrupt
from pydiffcore.ops.noise import TRAINING, reference_normal

PREDICTIONS = [prediction.edm(), prediction.denoised(), prediction.velocity()]
SHAPES = [(7, 3, 5, 5), (3, 1, 40, 40), (300, 2), (4,), (33, 7), (5, 3), (0, 3), (2, 0)]


def images_of(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == torch.uint8:
        return torch.from_numpy(rng.integers(0, 256, shape).astype(np.uint8))
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32)).to(dtype)


def data_of(images):
    """The images as x0, float32 NumPy."""
    if images.dtype == torch.uint8:
        return images.numpy().astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)
    return images.float().numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.bfloat16, torch.float16])
def test_equals_numpy(shape, dtype, kind):
    B, size = shape[0], int(np.prod(shape[1:]))
    images, sigma = images_of(shape, kind), np.linspace(0.01, 50, B)
    seeds, edm = list(range(10, 10 + B)), prediction.edm()
    input, target, c_noise = corrupt(images, sigma, edm, seeds=seeds, stream=6, dtype=dtype)
    c_skip, c_out, c_in, label = edm.coefficients(sigma)
    p, q, u, v = (
        c.astype(np.float32)[:, None]
        for c in (c_in, c_in * sigma, (1 - c_skip) / c_out, -c_skip * sigma / c_out)
    )
    x0 = data_of(images).reshape(B, size)
    z = reference_normal(seeds, size, purpose=TRAINING, stream=6)
    expected = torch.from_numpy(p * x0 + q * z).to(dtype)
    assert torch.equal(input.reshape(B, size), expected)
    np.testing.assert_array_equal(target.reshape(B, size).numpy(), u * x0 + v * z)
    assert input.shape == target.shape == images.shape
    np.testing.assert_array_equal(c_noise.numpy(), label.astype(np.float32))


@pytest.mark.parametrize("kind", PREDICTIONS, ids=lambda p: p.name)
def test_the_target_denoises(kind):
    images, sigma = images_of((16, 64), torch.float32), np.geomspace(0.05, 20, 16)
    input, target, _ = corrupt(images, sigma, kind, seeds=range(16))
    c_skip, c_out, c_in, _ = (c[:, None] for c in kind.coefficients(sigma))
    x = input.double().numpy() / c_in
    denoised = c_skip * x + c_out * target.double().numpy()
    np.testing.assert_allclose(denoised, images.numpy(), atol=2e-5)


def test_edm_input_and_target_have_unit_variance():
    images = 0.5 * images_of((64, 4096), torch.float32)
    sigma = np.geomspace(0.01, 80, 64)
    input, target, _ = corrupt(images, sigma, prediction.edm(0.5), seeds=range(64))
    for x in (input, target):
        assert torch.allclose(x.var(dim=1), torch.ones(64), atol=0.15)


def test_pixels_span_minus_one_to_one():
    pixels = torch.tensor([[0, 255]], dtype=torch.uint8)
    _, target, _ = corrupt(pixels, [1.0], prediction.denoised(), seeds=[0])
    assert target[0, 0] == -1
    assert target[0, 1] == pytest.approx(1, abs=1e-7)


def test_noise_belongs_to_the_sample():
    images, sigma = images_of((50, 3, 7, 7), torch.uint8), np.linspace(0.1, 2, 50)
    edm, seeds = prediction.edm(), list(range(50))
    whole, _, _ = corrupt(images, sigma, edm, seeds=seeds)
    part, _, _ = corrupt(images[20:33], sigma[20:33], edm, seeds=seeds[20:33])
    other, _, _ = corrupt(images, sigma, edm, seeds=seeds, stream=1)
    assert torch.equal(part, whole[20:33])
    assert not torch.equal(other, whole)


def test_strided_images_and_tensor_levels_work():
    images = images_of((6, 5, 5, 3), torch.uint8)
    sigma, edm = torch.linspace(0.1, 2, 6), prediction.edm()
    strided = corrupt(images.permute(0, 3, 1, 2), sigma, edm, seeds=range(6))
    packed = corrupt(images.permute(0, 3, 1, 2).contiguous(), sigma, edm, seeds=range(6))
    for a, b in zip(strided, packed, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"images": [1.0]}, TypeError, "images is list"),
        ({"images": torch.zeros(4, 3, dtype=torch.int64)}, TypeError, "images has dtype"),
        ({"sigma": [1.0]}, ValueError, "sigma has shape"),
        ({"sigma": [1.0, 1.0, 1.0, float("nan")]}, ValueError, "positive and finite"),
        ({"sigma": [1.0, 1.0, 1.0, 0.0]}, ValueError, "positive and finite"),
        ({"seeds": [1]}, ValueError, "seeds has 1 entries"),
        ({"seeds": [1, 2, 3, -4]}, ValueError, "seeds holds -4"),
        ({"dtype": torch.uint8}, TypeError, "dtype is torch.uint8"),
        ({"stream": -1}, ValueError, "stream is -1"),
    ],
)
def test_bad_input(arguments, error, message):
    given = {
        "images": torch.zeros(4, 3), "sigma": np.ones(4), "prediction": prediction.edm(),
        "seeds": range(4), **arguments,
    }  # fmt: skip
    with pytest.raises(error, match=message):
        corrupt(**given)


def test_coefficients_stand_for_their_levels():
    images, seeds = torch.randn(6, 3, 4), range(6)
    sigma = np.geomspace(0.1, 5, 6)
    for made in (prediction.edm(), prediction.velocity()):
        whole = coefficients_of(sigma, made)
        for part in (slice(0, 6), slice(2, 5)):
            options = {"seeds": list(seeds)[part]}
            found = corrupt(images[part], whole[part], made, **options)
            wanted = corrupt(images[part], sigma[part], made, **options)
            assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
            found[2].mul_(1000)  # as a network may scale its label
            again = corrupt(images[part], whole[part], made, **options)
            assert torch.equal(again[2], wanted[2])
    with pytest.raises(ValueError, match=r"coefficients of 6 levels for velocity.*for edm"):
        corrupt(images, whole, prediction.edm(), seeds=seeds)
    with pytest.raises(ValueError, match="coefficients of 2 levels"):
        corrupt(images, whole[:2], made, seeds=seeds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_to_the_data_are_those_of_the_formula(dtype):
    """input = p x0 + q z and target = u x0 + v z, whose values do not change with a graph."""
    edm = prediction.edm(0.5)
    images = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1))
    sigma = np.geomspace(0.05, 20, 5)
    plain = corrupt(images, sigma, edm, seeds=range(5), dtype=dtype)
    images.requires_grad_()
    found = corrupt(images, sigma, edm, seeds=range(5), dtype=dtype)
    assert all(map(torch.equal, found, plain))
    c_skip, c_out, c_in, _ = edm.coefficients(sigma)
    for each, slope in zip(found, (c_in, (1 - c_skip) / c_out), strict=False):
        (grad,) = torch.autograd.grad(each.sum(), images, retain_graph=True)
        wanted = torch.from_numpy(slope).float()[:, None, None].expand_as(grad)
        torch.testing.assert_close(grad, wanted, rtol=1e-6, atol=0)
    with torch.no_grad():
        assert not corrupt(images, sigma, edm, seeds=range(5))[0].requires_grad
