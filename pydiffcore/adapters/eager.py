# SPDX-License-Identifier: Apache-2.0
"""A plan's rows as a careful person writes them in torch: what fused kernels are measured against.

The coefficients are known beforehand and terms that are zero are left out, so that a row is the
fewest torch operations that do its work.  The functions are peers: ``run(network, x, generator)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pydiffcore.adapters.peers import Network, Run, labels_of
from pydiffcore.ops.rows import fold
from pydiffcore.plan import Plan

__all__ = ["compiled", "eager"]

Sum = Callable[[Sequence[tuple[float, Tensor]]], Tensor]


def plain(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """a·x + b·y + …, a new tensor per operation."""
    total = None
    for a, x in terms:
        term = x if a == 1.0 else a * x
        total = term if total is None else total + term
    assert total is not None
    return total


def in_place(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """a·x + b·y + … with one new tensor, added into."""
    (a, x), *rest = terms
    total = torch.mul(x, a)
    for b, y in rest:
        total.add_(y, alpha=b)
    return total


FORMS: dict[str, Sum] = {"plain": plain, "in place": in_place}


def eager(plan: Plan, form: str = "in place") -> Run:
    """Return the plan's rows in torch operations.

    Args:
        plan: without clipping.
        form: "plain" (``a*x + b*F``) or "in place" (``mul`` and ``add_``).

    """
    if plan.clip is not None:
        raise ValueError("the plan clips, expected one that does not")
    add, rows, n = FORMS[form], fold(plan, unit_noise=False, copies=True), plan.nfe
    tables = [
        (rows.A[i].tolist(), rows.f[i].tolist(), rows.S[i].tolist(), float(rows.c_in[i]))
        for i in range(n + 1)
    ]
    counts, draws = rows.registers_out.tolist(), rows.draws.tolist()

    def row(i: int, registers: list[Tensor], F: Tensor | None, z: list[Tensor]) -> list[Tensor]:
        A, f, S, _ = tables[i]
        after = []
        for j in range(counts[i]):
            terms = [(a, r) for a, r in zip(A[j], registers, strict=False) if a]
            terms += [(f[j], F)] if F is not None and f[j] else []
            terms += [(s, draw) for s, draw in zip(S[j], z, strict=False) if s]
            kept = len(terms) == 1 and terms[0][0] == 1.0
            after.append(terms[0][1] if kept else add(terms))
        return after

    def run(network: Network, x: Tensor, generator: torch.Generator) -> Tensor:
        at: dict[str, Any] = {"generator": generator, "dtype": x.dtype, "device": x.device}
        labels = labels_of(plan, x)
        registers, F = [x], None
        for i in range(n + 1):
            z = [torch.randn(x.shape, **at) for _ in range(draws[i])]
            registers = row(i, registers, F, z)
            if i < n:
                c_in = tables[i][3]
                F = network(registers[0] if c_in == 1.0 else c_in * registers[0], labels[i])
        return registers[0]

    return run


def compiled(plan: Plan) -> Run:
    """Return the plan's rows through ``torch.compile(fullgraph=True)``.

    The coefficients are tensors, so that a row of the same form is compiled once; noise is drawn
    inside the compiled row.
    """
    if plan.clip is not None:
        raise ValueError("the plan clips, expected one that does not")
    rows, n = fold(plan, unit_noise=False, copies=True), plan.nfe

    def step(
        registers: tuple[Tensor, ...], F: Tensor | None, A: Tensor, f: Tensor, S: Tensor, c: Tensor
    ) -> tuple[Tensor, ...]:
        z = [torch.randn_like(registers[0]) for _ in range(S.shape[1])]
        after = []
        for j in range(A.shape[0]):
            total = A[j, 0] * registers[0]
            for k in range(1, A.shape[1]):
                total = total + A[j, k] * registers[k]
            if F is not None:
                total = total + f[j] * F
            for m, draw in enumerate(z):
                total = total + S[j, m] * draw
            after.append(total)
        return (*after, c * after[0])

    fused = torch.compile(step, fullgraph=True, dynamic=False)
    tables: dict[Any, list[tuple[Tensor, ...]]] = {}

    def run(network: Network, x: Tensor, generator: torch.Generator) -> Tensor:
        key = (x.dtype, x.device)
        if key not in tables:
            tables[key] = _tables(rows, x.dtype, x.device)
        labels, F = labels_of(plan, x), None
        state: tuple[Tensor, ...] = (x,)
        for i, table in enumerate(tables[key]):
            *registers, following = fused(state, F, *table)
            state = tuple(registers)
            if i < n:
                F = network(following, labels[i])
        return state[0]

    return run


def _tables(rows: Any, dtype: torch.dtype, device: torch.device) -> list[tuple[Tensor, ...]]:
    out = []
    for i, (k_in, k_out) in enumerate(zip(rows.registers_in, rows.registers_out, strict=True)):
        m = int(rows.draws[i])
        parts = (rows.A[i, :k_out, :k_in], rows.f[i, :k_out], rows.S[i, :k_out, :m], rows.c_in[i])
        out.append(tuple(torch.tensor(p, dtype=dtype, device=device) for p in parts))
    return out
