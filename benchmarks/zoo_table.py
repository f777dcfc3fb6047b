# SPDX-License-Identifier: Apache-2.0
"""The table of all samplers in docs/zoo.md.

    python -m benchmarks.zoo_table

Everything is measured: orders as in ``benchmarks/orders.py``, the rest on plans of 12 and 24 steps
of the sampler's first case in the tests, for a network that predicts D.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pydiffcore
from benchmarks.claims.zoo.zoo_laws import MIXED as LAWFUL
from benchmarks.orders import DETERMINISTIC, cases, fitted

PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"
HEADER = """# Every sampler

Made by `python -m benchmarks.zoo_table`; a test keeps it current.

- *Order*: the slope fitted against the exact solution of the probability-flow ODE, which may be
  above the method's own on this data (`python -m benchmarks.claims.zoo.orders`); "law": stochastic,
  with the exact marginals in the limit of small steps (`... zoo.zoo_laws`); "—": small steps lead
  to neither, by design.  `consistency` and `lcm` take D for a sample, which a consistency model's
  output is; `langevin` comes to a level's law by repeats; `alphafold3` misses the marginals.
- *Calls* of the network and *draws* of noise: per step that is added to the levels; `restart` draws
  once for each time they rise.
- *Registers*: tensors that are carried from call to call.
- *Bytes*: what a float32 row moves per element of the state for a network that predicts D, that is
  registers read and written and the network's output; a network with a scaled input has 4 more.
- *Lines* of the sampler's own body; what a family shares is not counted.

Options are those of the sampler's first case in the tests, where they are not the defaults.

| sampler | options | order | calls | registers | draws | bytes | lines |
|---|---|---:|---:|---:|---:|---:|---:|
"""


class Row(NamedTuple):
    """One line of the table."""

    sampler: str
    options: str
    order: str
    calls: float
    registers: int
    draws: float
    bytes: float
    lines: int

    def __str__(self) -> str:
        numbers = f"{self.calls:.3g} | {self.registers} | {self.draws:.3g} | {self.bytes:.3g}"
        return f"| {self.sampler} | {self.options} | {self.order} | {numbers} | {self.lines} |"


def body_lines(sampler: Any) -> int:
    """Return the lines of a function's body without its docstring."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(sampler))).body
    assert isinstance(function, ast.FunctionDef)
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return int(body[-1].end_lineno or 0) - body[0].lineno + 1


def traced(case: cases.Case, n: int) -> pydiffcore.Plan:
    return pydiffcore.trace(case.sampler, case.levels(n), **case.options)


def order_of(case: cases.Case) -> str:
    """Return the fitted order, "law" for exact marginals, or a dash."""
    if case.order is None:
        return "law" if case in LAWFUL else "—"
    return f"{fitted(case)[0]:.1f}" if case in DETERMINISTIC else "—"


def without_fit(case: cases.Case) -> str:
    """Return the same with "fitted" in the place of a number."""
    return "fitted" if case in DETERMINISTIC else order_of(case)


def row_of(case: cases.Case, order: str) -> Row:
    """Measure one sampler; numbers per step are of the steps that n = 24 has over n = 12."""
    short, long = traced(case, 12), traced(case, 24)
    calls = (long.nfe - short.nfe) / 12
    moved = long.planes.reads[1:].sum(axis=1) + long.planes.writes[1:].sum(axis=1) + 1
    options = ", ".join(f"{k}={getattr(v, 'name', v)}" for k, v in case.options.items())
    return Row(
        case.sampler.__name__, options, order, calls, long.registers,
        (long.draws - short.draws) / 12, 4 * float(np.mean(moved)), body_lines(case.sampler),
    )  # fmt: skip


def rows(order: Any = order_of) -> list[Row]:
    """Return the rows of all samplers, in the order of their names."""
    first: dict[str, cases.Case] = {}
    for case in cases.CASES:
        first.setdefault(case.sampler.__name__, case)
    return [row_of(first[name], order(first[name])) for name in sorted(first)]


def main() -> None:
    """Write the page."""
    PAGE.write_text(HEADER + "".join(f"{row}\n" for row in rows()))
    print(f"{PAGE}: {len(rows(lambda case: ''))} samplers")


if __name__ == "__main__":
    main()
