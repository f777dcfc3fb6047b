# SPDX-License-Identifier: Apache-2.0
"""The same noise bits everywhere: 10⁷ values from every instruction set, and from NumPy.

The NumPy reference computes 10 random seeds × 10⁶ elements. Each instruction set that this machine
has, and the CUDA kernel's body run on the processor over blocks and threads, computes them again in
a process of its own, once as it is and once with subnormal numbers flushed to zero; figures count
the values whose bits differ. So do those of other batches, orders and thread counts. Rows,
guidance, clipping, casts and the training corruption are compared by one digest of all outputs of
tests/native_battery.py. The PTX of the noise and row kernels is searched for instructions that
fuse, flush or approximate (tests/cuda/ptx_checks.py).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import pydiffcore
from benchmarks.claims import pytests
from benchmarks.claims.claim import Figure, main
from pydiffcore import exact, levels, samplers
from pydiffcore.ops import native
from pydiffcore.ops.noise import SAMPLER, reference_normal

TESTS = Path(__file__).parents[3] / "tests"
SEEDS = np.random.default_rng(7).integers(0, 2**64, 10, dtype=np.uint64)
SIZE, STREAM = 1_000_000, 3_000_000_019
HOST_LOOP = "CUDA body on the host"


def worker(path: str, source: str, flush: str) -> None:
    """Write the 10⁷ values of one source to a file; runs in a process of its own."""
    if flush == "flush":  # before the pool starts: its threads inherit the mode
        if not torch.set_flush_denormal(True):
            sys.exit("this machine cannot flush subnormal numbers to zero")
        tiny = torch.full((1 << 21,), 1e-38)  # large enough for every thread of the pool
        assert not (tiny * 0.1).any()
    if source != HOST_LOOP and native.target() != source:
        sys.exit(f"the instruction set is {native.target()}, asked for was {source}")
    out = torch.empty(len(SEEDS), SIZE)
    grid = (528, 256) if source == HOST_LOOP else None
    native.normal(out, SEEDS, SAMPLER, STREAM, host_loop=grid)
    out.numpy().tofile(path)


def run(source: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with an instruction set forced, unless the source is the CUDA body."""
    target = "" if source == HOST_LOOP else source
    return subprocess.run(
        [sys.executable, *words], env={**os.environ, "PYDIFFCORE_TARGET": target},
        capture_output=True, text=True,
    )  # fmt: skip


def available() -> tuple[list[str], list[str]]:
    """Instruction sets compiled in that this machine has, and those it has not."""
    code = "from pydiffcore.ops import native; native.target()"
    names = native.info()["targets"]
    here = [name for name in names if run(name, "-c", code).returncode == 0]
    return here, [name for name in names if name not in here]


def difference(path: Path, reference: np.ndarray) -> int:
    """How many values of a file have other bits than the reference; all where there are fewer."""
    bits = np.fromfile(path, np.uint32) if path.exists() else np.empty(0, np.uint32)
    if bits.shape != reference.shape:
        return reference.size
    return int((bits != reference).sum())


def sources(reference: np.ndarray, names: list[str]) -> Iterator[Figure]:
    """Each source against NumPy, subnormal numbers kept and flushed."""
    for source in [*names, HOST_LOOP]:
        for flush in ("keep", "flush"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "values"
                done = run(source, "-m", __spec__.name, "worker", str(path), source, flush)
                count = difference(path, reference)
            what = ", flush to zero" if flush == "flush" else ""
            yield Figure(f"{source}{what}: values that differ from NumPy's", count, "<= 0",
                         note=done.stderr.strip()[-200:])  # fmt: skip


def splits(reference: np.ndarray) -> Iterator[Figure]:
    """Other batches, orders and thread counts, on the best instruction set."""
    seeds = np.random.default_rng(8).integers(0, 2**64, 2500, dtype=np.uint64).tolist()
    whole = pydiffcore.normal(seeds, (4001,), purpose=SAMPLER, stream=1)
    for size in (1, 7, 600):
        parts = [
            pydiffcore.normal(seeds[i : i + size], (4001,), purpose=SAMPLER, stream=1)
            for i in range(0, len(seeds), size)
        ]
        yield Figure(f"batches of {size} against one of 2500 × 4001: values that differ",
                     differing(torch.cat(parts), whole), "<= 0")  # fmt: skip
    order = np.random.default_rng(9).permutation(len(seeds))
    other = pydiffcore.normal([seeds[i] for i in order], (4001,), purpose=SAMPLER, stream=1)
    yield Figure("shuffled batch: values that differ",
                 differing(other, whole[torch.from_numpy(order)]), "<= 0")  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = pydiffcore.normal(SEEDS, (SIZE,), purpose=SAMPLER, stream=STREAM)
    torch.set_num_threads(threads)
    expected = torch.from_numpy(reference.view(np.float32)).view_as(alone)
    yield Figure("one thread: values that differ from NumPy's", differing(alone, expected), "<= 0")


def samples() -> Iterator[Figure]:
    """Whole runs of a stochastic sampler in other batches, its noise drawn inside the rows."""
    data = exact.gaussian(np.full((3, 16, 16), 0.2), 0.5)
    plan = pydiffcore.trace(samplers.dpmpp_2m_sde, levels.karras(10))
    seeds = list(range(64))
    whole = pydiffcore.sample(data, plan, shape=(3, 16, 16), seeds=seeds)
    back = pydiffcore.sample(data, plan, shape=(3, 16, 16), seeds=seeds[::-1], batch=9)
    yield Figure("DPM++ 2M SDE, 64 samples, batches of 9 backwards: values that differ",
                 differing(back.flip(0), whole), "<= 0")  # fmt: skip


def differing(a: torch.Tensor, b: torch.Tensor) -> int:
    return int((a.view(torch.int32) != b.view(torch.int32)).sum())


def kernels(names: list[str]) -> Iterator[Figure]:
    """All native kernels by digest, and the CUDA bodies by their tests."""
    digests = {}
    for name in names:
        for flush in ((), ("flush",)):
            done = run(name, str(TESTS / "native_battery.py"), "2", *flush)
            failed = f"{name} {flush}: {done.stderr.strip()[-200:]}"
            digests[name, flush] = failed if done.returncode else done.stdout.split()[-1]
    first = next(iter(digests.values()))
    yield Figure("rows and corruption: runs whose digest differs from the first",
                 sum(digest != first for digest in digests.values()), "<= 0",
                 note=f"{len(digests)} runs, instruction sets with and without flush to zero, "
                 f"{first[:16]}")  # fmt: skip
    outcome = pytests.run([str(TESTS / "ops" / "test_cuda_host.py")])
    yield Figure("CUDA bodies on the host against the CPU: tests that do not pass",
                 len(outcome.bad), "<= 0", note=outcome.note)  # fmt: skip


def ptx() -> Iterator[Figure]:
    """Instructions of the CUDA kernels that could give other bits."""
    sys.path.insert(0, str(TESTS / "cuda"))
    import ptx_checks

    what = "PTX of the noise and row kernels: instructions that fuse, flush or approximate"
    if ptx_checks.missing():
        yield Figure(what, float("nan"), "<= 0", note=f"not checked: {ptx_checks.missing()}")
        return
    total, bad = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for source in ptx_checks.SOURCES:
            text = ptx_checks.ptx(source, folder).read_text()
            total += sum(ptx_checks.operations(text).values())
            bad += ptx_checks.inexact(text)
    yield Figure(what, len(bad), "<= 0",
                 note=f"{len(ptx_checks.SOURCES)} files, {total} instructions"
                 + "".join(f"; {name}" for name in bad[:5]))  # fmt: skip


def measure() -> Iterator[Figure]:
    """Reference first, then everything against it."""
    parts = [reference_normal([seed], SIZE, purpose=SAMPLER, stream=STREAM) for seed in SEEDS]
    reference = np.concatenate(parts).ravel().view(np.uint32)
    names, absent = available()
    digest = hashlib.sha256(reference.tobytes()).hexdigest()
    yield Figure("values of the reference", reference.size, ">= 1e7",
                 note=f"SHA-256 {digest[:16]}"
                 + "".join(f"; no {name} here" for name in absent))  # fmt: skip
    yield from sources(reference, names)
    yield from splits(reference)
    yield from samples()
    yield from kernels(names)
    yield from ptx()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
    else:
        main(measure)
