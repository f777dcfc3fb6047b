# SPDX-License-Identifier: Apache-2.0
"""Data in floating point: its span, there and back, and what is refused."""

import numpy as np
import pytest
import torch

from pydiffcore.data import Array, Loader, Numbers, Source, Span, open_source

SHAPES = [(40, 3), (40, 8, 2), (40, 4, 6, 5)]


def values(shape, dtype=np.float64):
    """Features of very different ranges, along the axis that has them."""
    drawn = np.random.default_rng(0).normal(size=shape)
    axis = 1 if len(shape) == 4 else len(shape) - 1
    sizes = 10.0 ** np.arange(shape[axis])
    along = [-1 if i == axis else 1 for i in range(len(shape))]
    return (drawn * sizes.reshape(along) + 3.0).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_each_feature_fills_its_span_and_comes_back(shape, dtype):
    given = values(shape, dtype)
    source = Numbers(given)
    x0, told = source.read(range(len(given)))
    assert isinstance(source, Source)
    assert (source.shape, source.classes, told) == (shape[1:], 0, None)
    assert x0.dtype == torch.float32
    features = x0.movedim(1, -1) if len(shape) == 4 else x0
    flat = features.reshape(-1, features.shape[-1])
    assert torch.equal(flat.amin(0), torch.full_like(flat[0], -1.0))
    assert torch.equal(flat.amax(0), torch.full_like(flat[0], 1.0))
    back = source.span.restored(x0.double())
    width = 10.0 ** np.arange(flat.shape[-1])
    error = (back - torch.from_numpy(given.astype(np.float64))).abs()
    error = error.movedim(1, -1) if len(shape) == 4 else error
    assert (error.reshape(-1, len(width)).amax(0).numpy() < 1e-6 * width).all()


def test_a_feature_that_never_changes_is_zero_and_comes_back():
    given = values((10, 2))
    given[:, 1] = 7.0
    source = Numbers(given)
    x0 = source.read(range(10))[0]
    assert not x0[:, 1].any()
    assert (source.span.restored(x0 + 0.25)[:, 1] == 7.0).all()


def test_a_single_sample_is_at_its_own_span():
    source = Numbers(np.array([[3.0, -1.0]]))
    assert source.read([0])[0].tolist() == [[0.0, 0.0]]
    assert source.span.restored(torch.zeros(1, 2)).tolist() == [[3.0, -1.0]]


@pytest.mark.parametrize("save", ["npy", "npz", "array", "tensor", "bfloat16"])
def test_where_it_may_lie(tmp_path, save):
    given = np.round(values((12, 3), np.float32))
    if save == "npy":
        np.save(tmp_path / "x.npy", given)
        where = tmp_path / "x.npy"
    elif save == "npz":
        np.savez(tmp_path / "x.npz", x=given, y=np.arange(12) % 4)
        where = str(tmp_path / "x.npz")
    else:
        where = given if save == "array" else torch.from_numpy(given)
        where = where.bfloat16() if save == "bfloat16" else where
    source = open_source(where)
    assert isinstance(source, Numbers)
    tolerance = 2.0**-8 if save == "bfloat16" else 0.0
    assert np.allclose(source[5][0], given[5], rtol=tolerance, atol=0)
    assert source.classes == (4 if save == "npz" else 0)
    assert source[5][1] == (1 if save == "npz" else None)


def test_observations_come_in_the_place_of_labels(tmp_path):
    seen = values((20, 2))
    np.savez(tmp_path / "x.npz", actions=values((20, 8, 2)), observations=seen)
    source = open_source(tmp_path / "x.npz")
    with Loader(source, batch=6, workers=2) as loader:
        batch = next(loader)
    assert (batch.images.shape, batch.labels.shape) == ((6, 8, 2), (6, 2))
    assert batch.labels.dtype == torch.float32
    assert source.observed == Span.of(seen)
    assert np.allclose(source.observed.restored(batch.labels.double()).numpy(),
                       seen[loader.order.places(np.arange(6))], atol=1e-6)  # fmt: skip


def test_whole_numbers_are_pixels_still(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 4), np.uint8))
    assert isinstance(open_source(tmp_path / "x.npy"), Array)
    np.save(tmp_path / "x.npy", np.zeros((3, 4), np.int64))
    with pytest.raises(TypeError, match="int64, expected uint8 pixels"):
        open_source(tmp_path / "x.npy")


def holed(*at):
    """Numbers with one that is none, far in."""
    given = values((5000, 3))
    given[at] = np.inf
    return given


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        (np.zeros((2, 3), np.int64), {}, "int64, expected float16"),
        (np.zeros(5), {}, r"shape \(5,\), expected \[N, D\] or \[N, T, A\] or \[N, C, H, W\]"),
        (np.zeros((0, 3)), {}, "with N > 0"),
        (holed(4321, 1), {}, "not finite in sample 4321"),
        (np.zeros((2, 3)), {"labels": [0]}, "labels of the shape"),
        (np.zeros((2, 3)), {"labels": [0, 1], "observations": np.zeros((2, 1))}, "one of them"),
        (np.zeros((2, 3)), {"observations": np.zeros((3, 1))}, "3 observations, expected 2"),
        (np.zeros((2, 3)), {"observations": np.zeros(2)}, r"observations has .* expected \[N, D\]"),
        (np.zeros((2, 3)), {"observations": np.full((2, 1), np.nan)}, "not finite in sample 0"),
    ],
)
def test_what_is_refused(given, more, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Numbers(given, **more)


def test_observations_of_pixels_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4), np.uint8), obs=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="has observations, but uint8 values"):
        open_source(tmp_path / "x.npz")
