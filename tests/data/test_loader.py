# SPDX-License-Identifier: Apache-2.0
"""Batches: the same for any number of workers, ranks and resumptions; clean ends."""

import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from data_files import pixels, png

from pydiffcore.data import Array, Loader, Order, open_source


def source(size=10, labels=True):
    return Array(pixels(0, size, 3, 4, 4), np.arange(size) % 3 if labels else None)


def taken(loader, count):
    with loader:
        return [next(loader) for _ in range(count)]


def taken_from(loader, count):
    return [next(loader) for _ in range(count)]


def equal(one, other):
    assert one.numbers == other.numbers
    assert one.position == other.position
    assert torch.equal(one.images, other.images)
    assert (one.labels is None) == (other.labels is None)
    assert one.labels is None or torch.equal(one.labels, other.labels)


def test_batches_are_the_orders_images():
    images = source()
    for batch in taken(Loader(images, batch=4, seed=7, workers=0), 8):
        places = Order(10, 7).places(batch.numbers)
        expected, labels = images.read(places)
        assert torch.equal(batch.images, expected)
        assert torch.equal(batch.labels, labels)
        assert batch.position == batch.numbers.stop


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 10])
def test_any_number_of_workers(workers, size):
    images = source(size, labels=size > 1)
    expected = taken(Loader(images, batch=4, workers=0), 9)
    found = taken(Loader(images, batch=4, workers=workers, ahead=3), 9)
    for one, other in zip(expected, found, strict=True):
        equal(one, other)


def test_more_batches_than_a_block(monkeypatch):
    """Places are computed for several batches at once; where the blocks end must not show."""
    from pydiffcore.data import loader

    expected = taken(Loader(source(), batch=4, ranks=2, rank=1), 20)
    monkeypatch.setattr(loader, "BLOCK", 13)
    found = taken(Loader(source(), batch=4, ranks=2, rank=1), 20)
    for one, other in zip(expected, found, strict=True):
        equal(one, other)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 2, 3, 7])
def test_taken_up_inside_an_epoch(stop, workers):
    whole = taken(Loader(source(), batch=4, seed=1, workers=workers), 12)
    position = taken(Loader(source(), batch=4, seed=1, workers=workers), stop)[-1].position
    rest = taken(Loader(source(), batch=4, seed=1, workers=workers, position=position), 12 - stop)
    for one, other in zip(whole[stop:], rest, strict=True):
        equal(one, other)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_together_read_what_one_reads(ranks):
    whole = taken(Loader(source(), batch=6, seed=2), 8)
    parts = [
        taken(Loader(source(), batch=6, seed=2, rank=rank, ranks=ranks), 8) for rank in range(ranks)
    ]
    for place, batch in enumerate(whole):
        own = [part[place] for part in parts]
        assert torch.equal(torch.cat([part.images for part in own]), batch.images)
        assert torch.equal(torch.cat([part.labels for part in own]), batch.labels)
        assert [number for part in own for number in part.numbers] == list(batch.numbers)
        assert {part.position for part in own} == {batch.position}


@pytest.fixture
def broken(tmp_path):
    """A folder that was whole when it was opened."""
    for place in range(6):
        (tmp_path / f"bild {place} é.png").write_bytes(png(pixels(place, 3, 8, 8)))
    images = open_source(tmp_path)
    (tmp_path / "bild 3 é.png").write_bytes(b"no image any more")
    return images


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_file_of_a_failure_is_named(broken, workers):
    with Loader(broken, batch=2, workers=workers) as loader:
        for _ in range(2):  # asked again, it says so again
            with pytest.raises(ValueError, match=r"bild 3 é\.png cannot be read"):
                taken_from(loader, 4)
        where = Order(6).places(range(loader.position, loader.position + 2)).tolist()
        assert 3 in where  # the position is that of the batch that failed


def test_queue_is_bounded():
    class Counting(Array):
        read_so_far = 0

        def read(self, indices):
            Counting.read_so_far += 1
            return super().read(indices)

    with Loader(Counting(pixels(0, 5, 1, 2, 2)), batch=2, workers=2, ahead=3) as loader:
        next(loader)
        time.sleep(0.2)
        assert Counting.read_so_far <= 3


def test_closed():
    before = threading.active_count()
    loader = Loader(source(), batch=2)
    next(loader)
    assert threading.active_count() > before
    loader.close()
    loader.close()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        next(loader)


def test_forgotten_loader_leaves_no_threads():
    before = threading.active_count()
    loader = Loader(source(), batch=2)
    next(loader)
    del loader
    gc.collect()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 0}, {"batch": 2, "ranks": 3}, {"batch": 2, "workers": -1},
        {"batch": 2, "ahead": 0}, {"batch": 2, "position": -1}, {"batch": 2, "rank": 1},
        {"batch": 2, "seed": -1},
    ],
)  # fmt: skip
def test_refused(options):
    with pytest.raises(ValueError, match="expected"):
        Loader(source(), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_pinned_memory_needs_a_device():
    with pytest.raises(ValueError, match="no CUDA device"):
        Loader(source(), batch=2, pin=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this torch sees no CUDA device")
def test_pinned_memory():
    for batch in taken(Loader(source(), batch=4, pin=True), 3):
        assert batch.images.is_pinned()
        assert batch.labels.is_pinned()


def test_processes(broken):
    """As threads do: the same batches, and the failure's file."""
    with Loader(broken, batch=1, workers=0) as here:
        with Loader(broken, batch=1, workers=1, processes=True) as there:
            while 3 not in Order(6).places([here.position]):
                equal(next(here), next(there))
            with pytest.raises(ValueError, match=r"bild 3 é\.png cannot be read"):
                next(there)


@pytest.mark.slow
def test_a_process_that_dies():
    with Loader(source(), batch=4, workers=1, processes=True) as loader:
        next(loader)
        for process in loader._pool._processes.values():
            process.kill()
        with pytest.raises(RuntimeError, match="a process that read images died at sample"):
            taken_from(loader, 20)


SCRIPT = """
import numpy as np
from pydiffcore.data import Array, Loader
if __name__ == "__main__":
    images = Array(np.zeros((9, 1, 4, 4), np.uint8))
    with Loader(images, batch=4, workers=1, processes={processes}) as loader:
        for batch in loader:
            if batch.position == 4:
                print("going", *(loader._pool._processes if {processes} else ()), flush=True)
"""


@pytest.mark.parametrize(
    ("processes", "number"),
    [
        (False, signal.SIGINT),
        pytest.param(True, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(True, signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_kill(tmp_path, processes, number):
    """An interrupted script ends at once, and its readers with it, whatever ended it."""
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT.format(processes=processes)))
    script = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        word, *readers = script.stdout.readline().split()
        assert word == "going"
        script.send_signal(number)
        _, err = script.communicate(timeout=20)
    finally:
        script.kill()
    assert script.returncode == -number
    assert err.count("Traceback") == (1 if number == signal.SIGINT else 0), err
    deadline = time.monotonic() + 10
    for reader in readers:
        while alive(int(reader)):
            assert time.monotonic() < deadline, "a reader outlived its script"
            time.sleep(0.05)


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_threads_decode_while_others_do(tmp_path):
    """A loader of threads yields what a plain loop reads, from files."""
    for place in range(7):
        (tmp_path / f"{place}.png").write_bytes(png(pixels(place, 3, 16, 16)))
    images = open_source(tmp_path)
    for batch in taken(Loader(images, batch=3, workers=3), 5):
        places = Order(7).places(batch.numbers)
        assert torch.equal(batch.images, images.read(places)[0])
