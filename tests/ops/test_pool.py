# SPDX-License-Identifier: Apache-2.0
"""Memory that is given out again: never while anything refers to it."""

import copy
import gc
import pickle
import threading

import pytest
import torch

from pydiffcore.ops import native, pool
from pydiffcore.ops.pool import POOL, SMALLEST

SHAPE = (SMALLEST // 16, 3, 2)
CPU = torch.device("cpu")


def empty(shape, dtype=torch.float32, device=CPU):
    return pool.empty(shape, dtype, device)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(pool, "POOL", pool.Pool())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_a_tensor_like_any_other(dtype):
    x = empty(SHAPE, dtype)
    assert (x.shape, x.dtype, x.device.type) == (torch.Size(SHAPE), dtype, "cpu")
    assert x.is_contiguous()
    assert x.is_leaf
    assert not x.requires_grad
    assert x.data_ptr() % 64 == 0
    x.fill_(3)
    assert torch.equal(pickle.loads(pickle.dumps(x)), x)
    assert torch.equal(copy.deepcopy(x), torch.full(SHAPE, 3, dtype=dtype))


def test_memory_of_what_was_dropped_is_taken_again():
    where = {empty(SHAPE).data_ptr() for _ in range(5)}
    assert len(where) == 1


@pytest.mark.parametrize(
    "keep",
    [
        lambda x: x,
        lambda x: x[3:5],
        lambda x: x.detach(),
        lambda x: x.numpy(),
        lambda x: x.untyped_storage(),
        lambda x: (x * torch.ones((), requires_grad=True)).grad_fn,
    ],
)
def test_memory_is_not_taken_while_anything_refers_to_it(keep):
    x = empty(SHAPE)
    address, kept = x.data_ptr(), keep(x)
    del x
    assert empty(SHAPE).data_ptr() != address
    del kept
    gc.collect()
    assert address in {each.data_ptr() for each in [empty(SHAPE) for _ in range(2)]}


def test_a_graph_keeps_what_it_needs():
    weight = torch.ones(SHAPE, requires_grad=True)
    x = empty(SHAPE).fill_(2)
    loss = (weight * x).sum()
    del x
    empty(SHAPE).fill_(7)
    loss.backward()
    assert float(weight.grad.mean()) == 2


def test_small_large_and_other_devices_are_torchs_own():
    for x in (empty((3, 4)), empty((2, 3), device=torch.device("meta")), empty((0, 5))):
        assert x.untyped_storage().resizable()
    assert not pool.POOL.blocks


def test_what_is_kept_has_a_bound(monkeypatch):
    monkeypatch.setattr(pool, "KEPT", 3 * SMALLEST)
    held = [empty((SMALLEST,), torch.uint8).fill_(n) for n in range(8)]
    assert len(pool.POOL.blocks) == 3
    assert pool.POOL.bytes == 3 * SMALLEST
    assert [int(x.max()) for x in held] == list(range(8))


def test_threads_do_not_share():
    found = {}

    def work(name):
        for n in range(200):
            x = empty(SHAPE).fill_(n)
            y = empty(SHAPE).fill_(-n)
            assert float(x.max()) == float(x.min()) == n, name
            assert float(y.max()) == float(y.min()) == -n, name
        found[name] = True

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4
    assert POOL is not pool.POOL


def test_another_default_device_changes_nothing():
    F, target = torch.ones(SHAPE), torch.zeros(SHAPE)
    with torch.device("meta"):
        m, gradient = native.squared_error_and_gradient(F, target, None, 1.0, whole=True)
        again = native.squared_gradient(F, target, torch.ones((), device=CPU))
    assert {each.device for each in (m, gradient, again)} == {CPU}
    assert float(m) == float(again.max()) == 1.0
