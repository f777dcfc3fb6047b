# SPDX-License-Identifier: Apache-2.0
"""Batches without end, read ahead by threads or processes, the same for any number of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.data.order import Order, part
from pydiffcore.data.source import Source

__all__ = ["Batch", "Loader"]

BLOCK = 4096  # samples whose places are computed at once
Read = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Batch:
    """A rank's part of a global batch.

    Attributes:
        images: uint8 [B, C, H, W]; or clean data of any shape [B, *], in floating point.
        labels: int64 [B]; observations, float32 [B, O]; or None.
        numbers: of the samples since the beginning of the training: what their seeds derive from.
        position: of the loader after this batch: where to go on.
    """

    images: Tensor
    labels: Tensor | None
    numbers: range
    position: int


class Loader:
    """An iterator over batches; close it, or use it in a ``with`` statement.

    Args:
        source: what to read.
        batch: images of the global batch, over all ranks.
        seed: of the order, in [0, 2^64).
        position: number of the first sample: 0, or the ``position`` of the last batch worked on.
        rank, ranks: which part of every batch is read here.
        workers: how many read at the same time; 0 reads when asked, on the caller's thread.
        ahead: batches that wait at most.
        processes: read in processes, for sources that hold the interpreter's lock; they import the
            main module anew, so that a script needs its ``if __name__ == "__main__"``.
        pin: return pinned memory, for copies to a CUDA device beside its work.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch: int,
        seed: int = 0,
        position: int = 0,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
        ahead: int = 4,
        processes: bool = False,
        pin: bool = False,
    ) -> None:
        if batch < ranks or ahead < 1 or workers < 0 or position < 0:
            raise ValueError(
                f"batch, ahead, workers, position are {batch}, {ahead}, {workers}, {position}: "
                f"expected at least {ranks}, 1, 0, 0"
            )
        if pin and not torch.cuda.is_available():
            raise ValueError("pin is True, but there is no CUDA device to pin memory for")
        part(position, batch, rank, ranks)  # checks them
        self.source, self.order = source, Order(len(source), seed)
        self.batch, self.rank, self.ranks = batch, rank, ranks
        self.ahead, self.pin = ahead, pin
        self.position = position
        self._asked = position
        self._places: deque[tuple[int, NDArray[np.int64]]] = deque()
        self._jobs: deque[Future[Any]] = deque()
        self._pool = _pool(source, workers, processes)
        self._processes = processes and workers > 0
        self._closed = False
        self._finish = weakref.finalize(self, _shut, self._pool, self._jobs)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch; what a worker raised is raised here, and again when asked again.

        Raises:
            ValueError: an image cannot be read (its file is named), or the loader is closed.
            RuntimeError: a worker process has died.
        """
        if self._closed:
            raise ValueError("the loader is closed")
        first = self.position
        images, labels = self._waited()
        if self.pin:
            images, labels = images.pin_memory(), None if labels is None else labels.pin_memory()
        self.position = first + self.batch
        numbers = part(first, self.batch, self.rank, self.ranks)
        return Batch(images, labels, numbers, self.position)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what waits and let the workers end; more than once does no harm."""
        self._closed = True
        self._finish()

    def _waited(self) -> Read:
        """Return the batch at ``position``, and have others read meanwhile."""
        if self._pool is None:
            read = self.source.read(self._next_places(self.position))
            self._places.popleft()
            return read
        try:
            while len(self._jobs) < self.ahead:
                places = self._next_places(self._asked)
                self._jobs.append(self._submit(places))
                self._places.popleft()
                self._asked += self.batch
            found = self._jobs[0].result()
        except BrokenProcessPool:
            raise RuntimeError(f"a process that read images died at sample {self.position}: killed "
                               "for memory, or ended by a crash") from None  # fmt: skip
        self._jobs.popleft()
        if not self._processes:
            return found
        images, labels = found
        return torch.from_numpy(images), None if labels is None else torch.from_numpy(labels)

    def _submit(self, places: NDArray[np.int64]) -> Future[Any]:
        assert self._pool is not None
        if self._processes:
            return self._pool.submit(_read_there, places)
        return self._pool.submit(self.source.read, places)

    def _next_places(self, first: int) -> NDArray[np.int64]:
        """Return the places of the batch at ``first``: many batches are computed at once."""
        if not self._places:
            starts = range(first, first + max(1, BLOCK // self.batch) * self.batch, self.batch)
            parts = [part(start, self.batch, self.rank, self.ranks) for start in starts]
            places = self.order.places(np.concatenate([np.asarray(numbers) for numbers in parts]))
            ends = np.cumsum([len(numbers) for numbers in parts])[:-1]
            self._places.extend(zip(starts, np.split(places, ends), strict=True))
        assert self._places[0][0] == first
        return self._places[0][1]


def _pool(source: Source, workers: int, processes: bool) -> Executor | None:
    if workers == 0:
        return None
    if not processes:
        return ThreadPoolExecutor(workers, "pydiffcore-loader")
    # Spawned, not forked: a fork of a process with OpenMP or CUDA threads may hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _arrive, (source,))


def _shut(pool: Executor | None, jobs: deque[Future[Any]]) -> None:
    for job in jobs:
        job.cancel()
    jobs.clear()
    if pool is not None:
        pool.shutdown(wait=True, cancel_futures=True)


_here: list[Source] = []  # of a worker process


def _arrive(source: Source) -> None:
    """Take the source over in a worker process, leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _here[:] = [source]
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _read_there(places: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    images, labels = _here[0].read(places)
    return images.numpy(), None if labels is None else labels.numpy()
