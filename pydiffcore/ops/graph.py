# SPDX-License-Identifier: Apache-2.0
"""Recording launches into a CUDA graph, which one call then replays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from threading import RLock
from typing import Any

import torch

__all__ = ["CaptureError", "Graph", "record"]

_RECORDING = RLock()  # one at a time: the stream is the device's, the debug mode the process's
_FAILED: list[Any] = []


class CaptureError(RuntimeError):
    """What was to be recorded cannot be; the message says why."""


@dataclass(frozen=True)
class Graph:
    """Launches that ``replay()`` puts on the current stream again, with what memory then holds.

    ``memory`` is the number of bytes that the device reserved for them.
    """

    replay: Callable[[], None]
    memory: int


def record(body: Callable[[], None], once: Callable[[], None], device: torch.device) -> Graph:
    """Record what ``body`` launches on a CUDA device.

    Args:
        body: the whole loop; it is run once, while it is recorded, and computes nothing then.
        once: a short run of everything in it, which compiles, tunes and loads what is needed
            before; after two such runs a third must not wait for the device.
        device: a CUDA device with its index.

    Raises:
        CaptureError: it waits for the device, or does something else that a graph cannot hold.

    """
    with _RECORDING, torch.cuda.device(device):
        current, side = torch.cuda.current_stream(device), _stream(device.index)
        side.wait_stream(current)
        try:
            with torch.cuda.stream(side):  # torch leaves its own as it is where a capture fails
                once()
                once()
                _look_for_waits(once)
                return _captured(body, device, side)
        finally:
            current.wait_stream(side)


@cache
def _stream(index: int) -> torch.cuda.Stream:
    """Return a device's stream for recording: torch's own is that of the first device alone."""
    return torch.cuda.Stream(index)


def _look_for_waits(once: Callable[[], None]) -> None:
    """Run with every wait for the device an error."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the mode itself: it is a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            once()
        except RuntimeError as error:
            raise CaptureError(
                f"it waits for the device between launches: {_first_line(error)}"
            ) from error
        finally:
            torch.cuda.set_sync_debug_mode(before)


def _captured(body: Callable[[], None], device: torch.device, side: torch.cuda.Stream) -> Graph:
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    said = ""
    _free_workspaces()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            before = torch.cuda.memory_reserved(device)  # entering has emptied torch's cache
            try:
                body()
            except Exception as error:
                said = _first_line(error)  # leaving raises another, which knows no cause
                raise
    except RuntimeError as error:
        _mend(graph, pool, device, side)
        raise CaptureError(f"it cannot be recorded: {said or _first_line(error)}") from error
    finally:
        _free_workspaces()
    return Graph(graph.replay, torch.cuda.memory_reserved(device) - before)


def _free_workspaces() -> None:
    """Let go of cuBLAS's workspaces, so that each graph has one in memory of its own.

    torch keeps one for each stream: two graphs of one stream would share it, and may be replayed
    on two.
    """
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        clear()


def _mend(graph: Any, pool: Any, device: torch.device, side: torch.cuda.Stream) -> None:
    """Undo what a failed capture leaves behind.

    Where CUDA reports the failure at its end, torch up to 2.12 or so raises before it has told
    its allocator and its generator that the capture is over.
    """
    end = getattr(torch._C, "_cuda_endAllocateToPool", None)
    release = getattr(torch._C, "_cuda_releasePool", None)
    if end is None or release is None:
        return
    try:
        end(device.index, pool)
    except RuntimeError:  # it is not recording to that pool: torch has told all of them
        return
    release(device.index, pool)
    _FAILED.append(graph)  # the allocator of pinned memory, which nobody can tell, still asks it
    with suppress(RuntimeError):  # the end of a capture that succeeds frees the generator
        again = torch.cuda.CUDAGraph()
        with torch.cuda.graph(again, stream=side, capture_error_mode="thread_local"):
            torch.zeros(1, device=device)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
