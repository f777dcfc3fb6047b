# SPDX-License-Identifier: Apache-2.0
"""Recording a graph, with a torch.cuda whose captures end and fail as torch 2.11's do."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from pydiffcore.ops import graph


class Cuda:
    """One current stream, a cache that entering a capture empties, and captures that may fail."""

    def __init__(self):
        self.now, self.reserved, self.cached = "the user's", 1000, 400
        self.capturing, self.broken, self.log = [], False, []

    @contextmanager
    def device(self, device):
        yield

    @contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before

    def Stream(self, index):
        return SimpleNamespace(index=index, wait_stream=lambda other: None)

    def current_stream(self, device):
        return SimpleNamespace(wait_stream=lambda other: None)

    @contextmanager
    def graph(self, graph, pool="torch's own", stream="torch's own", capture_error_mode="global"):
        self.reserved, self.cached = self.reserved - self.cached, 0
        self.log.append(("capture", getattr(stream, "index", stream)))
        before, self.now = self.now, stream
        self.capturing.append(pool)
        try:
            yield
        finally:
            if self.broken:
                self.broken = False
                raise RuntimeError("operation failed due to a previous error during capture")
            self.capturing.remove(pool)
            self.now = before

    def end(self, index, pool):
        if pool not in self.capturing:
            raise RuntimeError("not currently recording to mempool_id")
        self.capturing.remove(pool)
        self.log.append(("end", index))

    def clear(self):
        self.log.append("clear")


@pytest.fixture
def cuda(monkeypatch):
    fake = Cuda()
    fake.CUDAGraph = lambda: SimpleNamespace(replay=lambda: None)
    fake.graph_pool_handle = lambda: (0, 1)
    fake.memory_reserved = lambda device: fake.reserved
    fake.get_sync_debug_mode, fake.set_sync_debug_mode = lambda: 0, lambda mode: None
    private = SimpleNamespace(
        _cuda_clearCublasWorkspaces=fake.clear,
        _cuda_endAllocateToPool=fake.end,
        _cuda_releasePool=lambda index, pool: fake.log.append(("release", index)),
    )
    torch = SimpleNamespace(cuda=fake, _C=private, zeros=lambda *a, **k: fake.log.append("zeros"))
    monkeypatch.setattr(graph, "torch", torch)
    monkeypatch.setattr(graph, "_FAILED", [])
    graph._stream.cache_clear()
    yield fake
    graph._stream.cache_clear()


def record(body, index=0):
    return graph.record(body, lambda: None, SimpleNamespace(type="cuda", index=index))


def test_memory_is_what_the_recording_reserved(cuda):
    def body():
        cuda.reserved += 64

    assert record(body).memory == 64


def test_every_device_records_on_a_stream_of_its_own_and_graphs_share_no_workspace(cuda):
    for index in (0, 1, 0):
        record(lambda: cuda.log.append("body"), index)
    assert cuda.log == [
        step for index in (0, 1, 0) for step in ("clear", ("capture", index), "body", "clear")
    ]
    assert graph._stream.cache_info().misses == 2


def fail(cuda):
    def body():
        cuda.broken = True
        raise RuntimeError("the stream is capturing\nand more")

    with pytest.raises(graph.CaptureError, match=r"recorded: the stream is capturing$"):
        record(body)


def test_a_failed_recording_leaves_torch_as_it_was(cuda):
    fail(cuda)
    assert cuda.now == "the user's"
    assert cuda.capturing == []
    begun = ["clear", ("capture", 0)]
    assert cuda.log == [*begun, ("end", 0), ("release", 0), ("capture", 0), "zeros", "clear"]
    assert len(graph._FAILED) == 1
    assert record(lambda: None).memory == 0


def test_a_torch_that_ends_a_failed_capture_is_left_alone(cuda, monkeypatch):
    def done(index, pool):
        cuda.capturing.remove(pool)
        raise RuntimeError("not currently recording to mempool_id")

    monkeypatch.setattr(graph.torch._C, "_cuda_endAllocateToPool", done)
    fail(cuda)
    assert cuda.log == ["clear", ("capture", 0), "clear"]
    assert not graph._FAILED


def test_an_error_that_a_capture_survives_is_the_networks_own(cuda):
    def body():
        raise ValueError("the network's own")

    with pytest.raises(ValueError, match="the network's own"):
        record(body)
    assert cuda.capturing == []
