# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a denoiser with structure, exact in closed form, one thread, and graphs
that replay on the CPU."""

import signal

import numpy as np
import pytest
import torch
from recording import tapes_for_graphs

from pydiffcore import exact

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a job in a shell's background, and
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for all that the tests start


@pytest.fixture
def mixture():
    """A two-component Gaussian mixture in three dimensions: D(x, sigma)."""
    return exact.mixture(
        weights=np.array([0.3, 0.7]),
        means=np.array([[-1.0, 0.5, 0.2], [0.8, -0.4, 0.1]]),
        stds=np.array([0.3, 0.5]),
    )


@pytest.fixture(scope="module")
def one_thread():
    """Sums have the same bits on a fixed number of threads alone, and tiny networks wait for a
    pool of threads longer than they compute, by far where the processors are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recorded(monkeypatch):
    """Graphs that replay on the CPU: their launches are those of the CUDA kernels' body."""
    return tapes_for_graphs(monkeypatch)
