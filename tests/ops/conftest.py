# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests on a CUDA device."""

import os

import pytest
import torch


def pytest_collection_modifyitems(config, items):
    """Keep each n-th test on a device, n from the environment: under a sanitizer all take hours."""
    every = int(os.environ.get("PYDIFFCORE_EVERY", "1"))
    on_device = [item for item in items if item.get_closest_marker("gpu")]
    dropped = {id(item) for i, item in enumerate(on_device) if i % every}
    if dropped:
        config.hook.pytest_deselected(items=[item for item in items if id(item) in dropped])
        items[:] = [item for item in items if id(item) not in dropped]


@pytest.fixture
def one_algorithm(monkeypatch):
    """Convolutions whose bits do not depend on which algorithm was tried first."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.fixture
def no_sync():
    """Make every wait for the device an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")
