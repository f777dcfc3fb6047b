# SPDX-License-Identifier: Apache-2.0
import hashlib

import numpy as np
import pytest
import torch

from pydiffcore.train import digits

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")


@pytest.fixture(scope="module")
def data():
    return digits.load()


def rows(split):
    return sorted(image.numpy().tobytes() + bytes([label]) for image, label in
                  zip(split.images, split.labels.tolist(), strict=True))  # fmt: skip


def test_the_parts_together_are_the_data_set(data):
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    pixels = np.rint(scans * 255 / 16).astype(np.uint8)
    everything = sorted(
        image.tobytes() + bytes([label]) for image, label in zip(pixels, labels, strict=True)
    )
    parts = (data.diffusion, data.judge, data.reference)
    assert sum(map(len, parts)) == 1797
    assert sorted(row for part in parts for row in rows(part)) == everything


def test_no_scan_is_in_two_parts(data):
    parts = [set(rows(part)) for part in (data.diffusion, data.judge, data.reference)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_classes_are_balanced_where_distances_are_taken(data):
    assert data.diffusion.labels.bincount().tolist() == [80] * 10
    assert data.reference.labels.bincount().tolist() == [60] * 10
    assert data.judge.labels.bincount().min() >= 34


def test_the_split_never_changes(data):
    digest = hashlib.sha256(b"".join(
        part.images.numpy().tobytes() for part in (data.diffusion, data.judge, data.reference)
    )).hexdigest()  # fmt: skip
    assert digest[:16] == "114da93452af2203"


def test_scale(data):
    images = data.judge.images
    assert images.dtype == torch.uint8
    assert images.shape[1:] == (1, 8, 8)
    assert (int(images.min()), int(images.max())) == (0, 255)
    x0 = data.judge.x0
    assert (float(x0.min()), float(x0.max())) == (-1.0, 1.0)
    assert torch.equal(((x0 + 1) * 127.5).round().to(torch.uint8), images)
