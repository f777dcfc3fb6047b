# SPDX-License-Identifier: Apache-2.0
"""A word of the samples: the same for the same ones, none where they change as they are read."""

import numpy as np
import torch

from pydiffcore.data import fingerprint, open_source


def images(seed):
    return np.random.default_rng(seed).integers(0, 256, (100, 1, 8, 8)).astype(np.uint8)


def test_samples_have_a_word():
    first, second = (fingerprint(open_source(images(seed))) for seed in (0, 1))
    assert first == fingerprint(open_source(images(0)))
    assert first != second
    assert first != fingerprint(open_source(images(0)[:99]))


def test_a_source_with_random_transforms_has_none():
    class Flipped(torch.utils.data.Dataset):
        def __init__(self):
            self.at = 0

        def __len__(self):
            return 20

        def __getitem__(self, place):
            self.at += 1
            return torch.from_numpy(np.roll(images(0)[place], self.at % 7, axis=2)), 0

    assert fingerprint(open_source(Flipped())) is None
