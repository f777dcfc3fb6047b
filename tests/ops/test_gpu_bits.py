# SPDX-License-Identifier: Apache-2.0
"""On a CUDA device: the bits of the CPU."""

import native_battery as battery
import numpy as np
import pytest
import torch
from cuda_battery import DTYPES, ROWS, STATES, corruptions, normals, plan, runs, same
from gpu_cases import MARKS, SAMPLERS, SEEDS, SHAPE, network, traced

import pydiffcore
from pydiffcore import prediction
from pydiffcore.ops.program import bind

pytestmark = MARKS


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_of_normals(dtype):
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (300, 2), (70, 3), (40, 5), (9, 112), (2, 513), (3, 70001), (0, 4), (4, 0)]
    for shape in shapes:
        for offset in (0, 1, 2):
            assert same(normals(rng, shape, dtype, device="cuda", offset=offset))


def test_ten_million_normals():
    assert same(normals(np.random.default_rng(0), (10, 10**6), torch.float32, device="cuda"))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 8])
def test_bits_of_rows(io, state, K):
    rng = np.random.default_rng(K)
    for M in range(3):
        for clip in (None, (-0.5, 0.75)):
            for guided in (None, "row", "sample"):
                shape = (int(rng.integers(1, 5)), int(rng.integers(1, 3000)))
                options = {"clip": clip, "guided": guided, "noise": bool(rng.integers(2))}
                options["scale"] = bool(rng.integers(2))
                assert same(runs(rng, shape, state, io, K, M, device="cuda", **options))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (1, 1), (700, 2), (64, 112), (3, 65537)])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_bits_of_sizes_and_unaligned_memory(shape, offset):
    rng = np.random.default_rng(0)
    for io in DTYPES:
        assert same(runs(rng, shape, torch.float32, io, 2, 1, device="cuda", offset=offset))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_bits_of_channels_last(io, state, channels):
    rng = np.random.default_rng(channels)
    for K in (1, 2, 3, 4, 5):
        for pixels in (1, 2, 63, 64, 1030):
            shape, offset = (int(rng.integers(1, 5)), channels * pixels), int(rng.integers(2))
            options = {"guided": "sample", "clip": (-0.5, 0.75), "noise": bool(rng.integers(2))}
            options |= {"channels": channels, "offset": offset, "device": "cuda"}
            assert same(runs(rng, shape, state, io, K, 1, **options))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("K", [1, 2, 4, 5])
def test_bits_of_parts_at_rows_of_their_own(io, state, K):
    rng = np.random.default_rng(K)
    for shape, T in (((3, 12), 4), ((2, 10), 5), ((5, 3000), 3), ((300, 2), 1)):
        one = plan(rng, K, 1, shape[0], guided="sample", clip=(-0.5, 0.75))
        first, seeds = battery.tensor(rng, (K, *shape), state), battery.seeds_of(rng, shape[0])
        outputs = [battery.tensor(rng, shape, io) for _ in range(2)]
        rows = rng.integers(-1, ROWS, (shape[0], T)).astype(np.int32)
        sides = []
        for device in ("cpu", "cuda"):
            program = bind(
                **one, seeds=seeds, state=first.to(device, copy=True),
                input=torch.zeros(shape, dtype=io, device=device),
            )  # fmt: skip
            F, u = (output.to(device) for output in outputs)
            assert program.advance_rows(rows, F.data_ptr(), u.data_ptr()) == 0
            sides.append([program.state.cpu(), program.input.cpu()])
        assert same(sides)


@pytest.mark.parametrize("images", [*DTYPES, torch.uint8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_of_corruption(images, dtype):
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (300, 2), (3, 112), (2, 513)]:
        assert same(corruptions(rng, shape, images, dtype, device="cuda"))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", STATES)
def test_bits_of_samples(sampler, dtype):
    model = pydiffcore.Denoiser(network, prediction.edm())
    arguments = {"shape": SHAPE, "seeds": SEEDS, "dtype": dtype, "backend": "native"}
    cpu = pydiffcore.sample(model, traced(sampler), **arguments)
    cuda = pydiffcore.sample(model, traced(sampler), device="cuda", **arguments)
    assert torch.equal(cuda.cpu(), cpu)
