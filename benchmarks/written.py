# SPDX-License-Identifier: Apache-2.0
"""A row of a plan as it would be written by hand in torch: plain, in place, foreach, compiled.

The text is made from the row's coefficients, so that any plan has these forms: zeros are left out,
a register that only moves is renamed, buffers are kept and swapped, and nothing is checked.

    loop = written.loop("in place", plan, size, outputs)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pydiffcore import Plan
from pydiffcore.ops.rows import Rows, fold

FORMS = ["plain", "in place", "foreach"]


class Written(NamedTuple):
    """The body of a row's function, and its coefficients."""

    text: str
    c: list[float]


class Sum(NamedTuple):
    """One register's new value: its terms as (name, coefficient)."""

    terms: tuple[tuple[str, float], ...]

    @property
    def copied(self) -> str | None:
        """The register that it is, but for a factor, without any arithmetic."""
        names = [name for name, _ in self.terms]
        return names[0] if len(names) == 1 and names[0].startswith("r") else None


def sums(rows: Rows, i: int, factors: list[float]) -> tuple[list[Sum], list[float]]:
    """Read row i: the terms of each register that it writes, and the registers' new factors.

    A register that only moves, with a factor or without, stays where it is: its factor goes into
    the coefficients of the rows that read it.
    """
    found, after = [], []
    for j in range(rows.registers_out[i]):
        terms = [(f"r{k}", float(rows.A[i, j, k]) * factor) for k, factor in enumerate(factors)]
        terms.append(("F", float(rows.f[i, j])))
        terms += [(f"z{m}", float(rows.S[i, j, m])) for m in range(rows.draws[i])]
        found.append(Sum(tuple((name, a) for name, a in terms if a != 0.0)))
        copied = j > 0 and found[-1].copied is not None  # the state itself is the network's input
        after.append(found[-1].terms[0][1] if copied else 1.0)
    return found, after


def written(form: str, row: list[Sum], inputs: int, pool: int, copies: bool) -> Written:
    """Write out one row: the text of a function of (r, s, F, z, out, c) and its coefficients c.

    ``r`` are its registers, ``s`` the buffers that are free; both come back for the next row.
    """
    c: list[float] = []

    def number(a: float) -> str:
        c.append(a)
        return f"c[{len(c) - 1}]"

    draws = sorted({name for each in row for name, _ in each.terms if name[0] == "z"})
    new = names(row)
    free = [f"s{k}" for k in range(pool - inputs)] if form == "in place" else []
    lines = [f"{''.join(f'r{k}, ' for k in range(inputs))}= r"]
    if free:
        lines.append(f"{''.join(f'{name}, ' for name in free)}= s")
    if form == "plain":
        lines += plain(row, draws, number)
    elif form == "foreach":
        lines += foreach(row, draws, number)
    else:
        lines += in_place(row, draws, number, free)
        free += [f"r{k}" for k in range(inputs) if f"r{k}" not in new]
        if "n0 = r0.mul_" in " ".join(lines):
            free.remove("r0")
    if copies:
        c_in = number(1.0)  # the caller fills it in
        kept = form == "in place"
        lines.append(
            f"torch.mul({new[0]}, {c_in}, out=out)" if kept else f"out = {new[0]} * {c_in}"
        )
    back = "".join(f"{name}, " for name in free)
    lines.append(f"return ({''.join(f'{name}, ' for name in new)}), ({back}), out")
    return Written("\n    ".join(lines), c)


def names(row: list[Sum]) -> list[str]:
    """What the new registers are called: the state is always computed, others may be renamed."""
    return [(each.copied if j else None) or f"n{j}" for j, each in enumerate(row)]


def plain(row: list[Sum], draws: list[str], c: Callable[[float], str]) -> list[str]:
    """One expression per register, a new tensor per operation."""
    lines = [f"{z} = torch.randn_like(F)" for z in draws]
    for name, each in zip(names(row), row, strict=True):
        if name[0] == "n":
            terms = [f"{c(a)} * {operand}" for operand, a in each.terms]
            lines.append(f"{name} = {' + '.join(terms) or 'torch.zeros_like(F)'}")
    return lines


def in_place(
    row: list[Sum], draws: list[str], c: Callable[[float], str], free: list[str]
) -> list[str]:
    """mul_ and add_ into buffers that are kept; r0 last, in place where it is not kept as it is."""
    lines = [f"{z} = z[{z[1:]}].normal_()" for z in draws]
    new = names(row)
    for name, each in reversed(list(zip(new, row, strict=True))):
        if name[0] == "r":
            continue
        (first, a), *rest = each.terms or (("F", 0.0),)
        if name == "n0" and first == "r0" and "r0" not in new:
            text = f"n0 = r0.mul_({c(a)})"
        else:
            text = f"{name} = torch.mul({first}, {c(a)}, out={free.pop()})"
        lines.append(text + "".join(f".add_({operand}, alpha={c(b)})" for operand, b in rest))
    return lines


def foreach(row: list[Sum], draws: list[str], c: Callable[[float], str]) -> list[str]:
    """One _foreach call per operand over the registers that it goes into, add_ into one."""
    lines = [f"{z} = z[{z[1:]}].normal_()" for z in draws]
    pairs = zip(names(row), row, strict=True)
    made = [(name, dict(each.terms)) for name, each in pairs if name[0] == "n"]
    for i, name in enumerate(dict.fromkeys(name for _, terms in made for name in terms)):
        into = [(n, terms.get(name, 0.0)) for n, terms in made if i == 0 or name in terms]
        if i > 0 and len(into) == 1:
            lines.append(f"{into[0][0]}.add_({name}, alpha={c(into[0][1])})")
            continue
        product = (
            f"torch._foreach_mul([{name}] * {len(into)}, [{', '.join(c(a) for _, a in into)}])"
        )
        targets = ", ".join(n for n, _ in into)
        lines.append(f"{targets}, = {product}" if i == 0 else
                     f"torch._foreach_add_([{targets}], {product})")  # fmt: skip
    return lines


def functions(form: str, plan: Plan) -> list[tuple[Callable[..., Any], list[float]]]:
    """Return for each row of a plan, after the first, its function and its coefficients."""
    rows = fold(plan, unit_noise=False, copies=True)
    copies = bool(rows.c_in[0] != 1.0)
    made: dict[str, Callable[..., Any]] = {}
    result, factors = [], [1.0] * int(rows.registers_in[1])
    for i in range(1, len(rows.c_in)):
        kind = "plain" if form == "compiled" else form
        inputs = int(rows.registers_in[i])
        row, factors = sums(rows, i, factors)
        text, c = written(kind, row, inputs, 2 * plan.registers, copies)
        if copies:
            c[-1] = float(rows.c_in[i])
        if text not in made:
            space: dict[str, Any] = {"torch": torch}
            exec(f"def row(r, s, F, z, out, c):\n    {text}", space)
            made[text] = space["row"]
        result.append((made[text], c))
    return result


def compiled(rows: list[tuple[Callable[..., Any], list[float]]]) -> list[tuple[Any, Tensor]]:
    """Return the rows with their functions compiled and their coefficients in tensors."""
    torch.compiler.reset()
    fast = {f: torch.compile(f, fullgraph=True, dynamic=False) for f, _ in rows}
    return [(fast[f], torch.tensor(np.array(c), dtype=torch.float32)) for f, c in rows]


def loop(
    form: str, plan: Plan, size: tuple[int, ...], given: Sequence[Tensor]
) -> Callable[[], None]:
    """Return a loop over a plan's rows on given network outputs, in one of the forms.

    Args:
        form: "plain", "in place", "foreach", or "compiled": torch.compile(fullgraph=True) of the
            plain form with its coefficients in one tensor per row.
        plan: the plan.
        size: shape of the state, [B, *shape].
        given: four network outputs to cycle through.

    """
    rows: list[tuple[Any, Any]] = [*functions(form, plan)]
    if form == "compiled":
        rows = compiled(functions(form, plan))
    first = int(plan.registers_out[0])
    buffers = [torch.zeros(size) for _ in range(2 * plan.registers)]
    z, out = [torch.zeros(size) for _ in range(max(plan.S.shape[2], 1))], torch.zeros(size)

    def run() -> None:
        for buffer in buffers[:first]:
            buffer.zero_()
        r, s = tuple(buffers[:first]), tuple(buffers[first:])
        for i, (row, c) in enumerate(rows):
            r, s, _ = row(r, s, given[i & 3], z, out, c)

    return run
