# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests on a CUDA device."""

import pytest
import torch


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
