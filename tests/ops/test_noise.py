# SPDX-License-Identifier: Apache-2.0
"""Noise: known answers, the same bits everywhere, accuracy, distribution, bad input."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from pydiffcore.ops import native, noise
from pydiffcore.ops.noise import normal, reference_normal, reference_philox

DATA = Path(__file__).parents[1] / "data"
TAILS = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 63, 64, 65, 112, 127, 128, 129, 511, 512, 513, 1025]


def rows_of(name):
    lines = (DATA / name).read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def bits(z):
    return np.asarray(z).view(np.uint32)


@pytest.mark.parametrize("words", rows_of("philox.txt"))
def test_philox_known_answers(words):
    numbers = [int(word, 16) for word in words]
    result = reference_philox(numbers[:4], numbers[4:6])
    assert [int(word) for word in result] == numbers[6:]


@pytest.mark.parametrize("row", rows_of("normals.txt"))
def test_normal_known_answers(row):
    seed, purpose, stream, e = int(row[0], 16), *map(int, row[1:4])
    z = reference_normal([seed], 1, purpose=purpose, stream=stream, first=e)
    assert bits(z)[0, 0] == int(row[4], 16)
    if e < 1 << 16:
        kernel = normal([seed], (e + 1,), purpose=purpose, stream=stream)
        assert bits(kernel)[0, e] == int(row[4], 16)


@pytest.mark.parametrize("size", TAILS)
@pytest.mark.parametrize("batch", [1, 2, 5, 600])
def test_kernel_equals_reference(size, batch):
    seeds = np.random.default_rng(size).integers(0, 2**64, batch, dtype=np.uint64)
    kernel = normal(seeds, (size,), purpose=1, stream=9)
    reference = reference_normal(seeds, size, purpose=1, stream=9)
    assert kernel.shape == (batch, size)
    np.testing.assert_array_equal(bits(kernel), bits(reference))


def test_a_million_values_equal_the_reference():
    kernel = normal([11, 12], (500_001,), purpose=4, stream=2**32 - 1)
    reference = reference_normal([11, 12], 500_001, purpose=4, stream=2**32 - 1)
    np.testing.assert_array_equal(bits(kernel), bits(reference))


@pytest.mark.slow
def test_ten_million_values_equal_the_reference():
    for seed in range(10):
        kernel = normal([seed], (1_000_000,), purpose=1)
        np.testing.assert_array_equal(
            bits(kernel), bits(reference_normal([seed], 1_000_000, purpose=1))
        )


@pytest.mark.parametrize("shape", [(3, 8, 8), (2,), (7,), (700,)])
def test_noise_belongs_to_the_sample_not_to_the_batch(shape):
    seeds = [5, 2**64 - 1, 0, 17, 5, 99] * 40
    batch = normal(seeds, shape, purpose=1, stream=3)
    order = np.random.default_rng(0).permutation(len(seeds))
    shuffled = normal([seeds[i] for i in order], shape, purpose=1, stream=3)
    assert torch.equal(shuffled, batch[torch.from_numpy(order)])
    parts = [normal(seeds[i : i + 7], shape, purpose=1, stream=3) for i in range(0, len(seeds), 7)]
    assert torch.equal(torch.cat(parts), batch)
    assert torch.equal(batch[0], batch[4])


def test_threads_do_not_change_the_noise():
    seeds, threads = list(range(40)), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = normal(seeds, (3, 33, 33), purpose=1)
        torch.set_num_threads(2)
        two = normal(seeds, (3, 33, 33), purpose=1)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


def test_other_dtypes_hold_the_same_normals_converted():
    z = normal([1, 2], (1001,), purpose=0)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        assert torch.equal(normal([1, 2], (1001,), purpose=0, dtype=dtype), z.to(dtype))


def test_accuracy_against_double_precision():
    rng = np.random.default_rng(0)
    edges = [0, 1, 2, 127, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 129, 2**32 - 130]
    radius = np.concatenate([rng.integers(0, 2**32 - 128, 10**6), np.repeat(edges, 100)])
    angle = rng.integers(0, 2**32, len(radius))
    even, odd = noise.reference_box_muller(radius.astype(np.uint64), angle.astype(np.uint64))
    u = ((radius + 0.5).astype(np.float32)).astype(np.float64) / 2**32
    r, theta = np.sqrt(-2 * np.log(u)), angle * (2 * math.pi / 2**32)
    for z, exact in ((even, r * np.cos(theta)), (odd, r * np.sin(theta))):
        ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
        error = np.abs(z - exact) / np.maximum(ulp, 1e-15)
        assert error.max() < 5.0
        assert error.mean() < 0.6


def test_range_of_the_normals():
    words = np.array([0, 2**32 - 128, 2**32 - 1], np.uint64)
    even, odd = noise.reference_box_muller(words, np.zeros(3, np.uint64))
    assert even[0] == np.float32(math.sqrt(2 * 33 * math.log(2)))
    assert (even[1:] == 0).all()
    assert (odd == 0).all()


def test_distribution():
    z = normal(range(64), (31_250,), purpose=1).double().numpy().ravel()
    n = len(z)
    for k in range(1, 9):
        moment = math.prod(range(1, k, 2)) if k % 2 == 0 else 0
        second = math.prod(range(1, 2 * k, 2))
        assert abs((z**k).mean() - moment) < 5 * math.sqrt((second - moment**2) / n), k
    assert stats.kstest(z, "norm").pvalue > 1e-4
    tail = 2 * stats.norm.sf(4) * n
    assert abs((np.abs(z) > 4).sum() - tail) < 5 * math.sqrt(tail)


@pytest.mark.parametrize(
    "other", [{"seeds": [8]}, {"purpose": 2}, {"stream": 1}, {"seeds": [7 + 2**32]}]
)
def test_seeds_purposes_and_streams_are_independent(other):
    arguments = {"seeds": [7], "purpose": 1, "stream": 0}
    n = 1_000_000
    a = normal(shape=(n,), **arguments).double()
    b = normal(shape=(n,), **{**arguments, **other}).double()
    for x, y in ((a, b), (a[:, 1:], b[:, :-1]), (a**2 - 1, b**2 - 1)):
        correlation = float((x * y).mean() / (x.std() * y.std()))
        assert abs(correlation) < 5 / math.sqrt(n)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seeds": [-1]}, ValueError, "seeds holds -1"),
        ({"seeds": [2**64]}, ValueError, "expected integers in"),
        ({"seeds": [0.5]}, TypeError, "seeds holds 0.5"),
        ({"seeds": 3}, TypeError, "one per sample"),
        ({"shape": (-1,)}, ValueError, "shape is"),
        ({"purpose": -1}, ValueError, "purpose is -1"),
        ({"stream": 2**32}, ValueError, "stream is"),
        ({"dtype": torch.int32}, TypeError, "dtype is torch.int32"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        normal(**{"seeds": [0], "shape": (4,), "purpose": 1, **arguments})


def test_seeds_may_be_arrays_and_tensors():
    z = normal([1, 2], (9,), purpose=0)
    assert torch.equal(normal(np.array([1, 2], np.int32), (9,), purpose=0), z)
    assert torch.equal(normal(torch.tensor([1, 2]), (9,), purpose=0), z)


def test_native_refuses_what_it_cannot_fill():
    with pytest.raises(ValueError, match="contiguous"):
        native.normal(torch.empty(4, 8).T, np.zeros(8, np.uint64), 0, 0)
    with pytest.raises(ValueError, match="seeds has shape"):
        native.normal(torch.empty(4, 8), np.zeros(3, np.uint64), 0, 0)


@pytest.mark.parametrize(
    "seeds",
    [range(5), range(2**63 - 2, 2**63 + 3), range(9, -1, -3), range(0), [], [3, 2**64 - 1, 0],
     [True, 4], np.array([1, 2], np.int32), np.array([2**64 - 1], np.uint64), torch.arange(3),
     (np.int64(4), 7), {5: None}],
)  # fmt: skip
def test_keys_are_the_checked_seeds(seeds):
    keys = noise.seed_keys(seeds)
    assert keys.dtype == np.uint64
    assert keys.tolist() == noise.checked_seeds(seeds)


@pytest.mark.parametrize(
    "seeds",
    [range(-1, 4), range(2**64 - 1, 2**64 + 1), range(3, -3, -2), [1, -1], [2**64], [1.0], "12",
     [[1, 2], [3]], [[1, 2]], np.array([1.5]), np.array([-1]), np.array([[1]]), 3],
)  # fmt: skip
def test_keys_refuse_what_checked_seeds_refuses(seeds):
    refused = []
    for check in (noise.seed_keys, noise.checked_seeds):
        with pytest.raises((TypeError, ValueError)) as info:
            check(seeds)
        refused.append((info.type, str(info.value)))
    assert refused[0] == refused[1]
