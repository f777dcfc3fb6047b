# SPDX-License-Identifier: Apache-2.0
"""Compiling: from the tape of a traced sampler to rows over a minimal set of registers.

Between two network calls a row must carry over what the future still reads of the past.  Two
passes find it, both linear in the number of calls:

* *forward*, what can be reached: of the symbols that are still read after a call, the first
  linearly independent ones (the query first, and those that are nearly made of others last) are
  the candidates ``R_s``, and each of them is ``P·R_{s-1} + q·D + g·z``;
* *backward*, what is read: the rank of the functionals of ``R_s`` that later rows and the query
  itself apply is the smallest number of registers that any implementation could have there.

The registers are the sampler's own variables wherever these are no more than the plan needs
anyway, and mixtures of them only where that saves a register: a mixture can be badly scaled (at
the end of a run of LMS, where fewer and fewer slopes are read, by a factor of 10⁴).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pydiffcore.plan.symbols import Node, Tape

__all__ = ["compile_tape"]

Vector = NDArray[np.float64]
RANK_TOLERANCE = 1e-9
# Beside a query of 0.67·x + 0.33·D, keep D and not x, of which 0.05 is new at σ = 10: what is later
# read of D then is not a difference of two large numbers.  So too beside 0.06·x + 0.94·D at σ = 44,
# where 0.33 of x is new.
CLOSE = (0.4, 0.03, 1e-3, RANK_TOLERANCE)


class Step(NamedTuple):
    """``R' = P·R + q·D + q_raw·D_raw + G·z`` for the candidates R' of one segment, of ``size``."""

    P: Vector
    q: Vector
    q_raw: Vector
    G: Vector
    draws: list[int]
    size: Vector


def compile_tape(
    tape: Tape, output: int, sigma_init: float, *, handed_out: bool = False
) -> dict[str, Any]:
    """Return A, B, B_raw, S, stream, interval, spread and the register counts of a plan.

    Args:
        tape: the record of a sampler's run.
        output: index of the node that the sampler returned.
        sigma_init: size of the initial state, or 1 where that is more; D and the draws have size
            1.  Ranks are those of vectors measured in these sizes: 1e-10·x is no rounding error
            where x is 1e8.
        handed_out: whether others may change the state at each call, so that no other register may
            be derived from it; an "x" on the tape after a call is the state as they left it.

    """
    steps = _reachable(tape, output, sigma_init, handed_out)
    fewest = _read(steps, own_up_to=0)
    K = max(len(c) for c in fewest)
    own = _read(steps, own_up_to=K)
    chosen = own if max(len(c) for c in own) == K else fewest
    rows = _rows(steps, chosen)
    draws = int(rows["stream"].max()) + 1
    interval = np.array(tape.intervals[:draws], np.float64).reshape(-1, 2)
    return {**rows, "interval": interval, "spread": np.array(tape.spreads[:draws], np.float64)}


def _liveness(tape: Tape, output: int) -> tuple[set[int], list[list[int]]]:
    """Return the nodes that matter and, for each segment, those read after it, oldest first."""
    nodes, last_use = tape.nodes, {output: len(tape.queries) + 1}
    for call, query in enumerate(tape.queries):
        last_use[query] = max(last_use.get(query, 0), call + 1)
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        if index in last_use and node.kind in "+/":
            for operand in (node.a, node.b) if node.b >= 0 else (node.a,):
                last_use[operand] = max(last_use.get(operand, 0), node.segment)
    live: list[list[int]] = [[] for _ in range(len(tape.queries) + 1)]
    for index in sorted(last_use):
        for segment in range(nodes[index].segment, last_use[index]):
            live[segment].append(index)
    return set(last_use), live


def _combine(node: Node, vectors: dict[int, Vector]) -> Vector:
    """Evaluate one expression; what cancels to rounding error becomes 0."""
    a = vectors[node.a]
    if node.kind == "/":
        return a / node.coef_a
    left = node.coef_a * a
    if node.b < 0:
        return left
    right = node.coef_b * vectors[node.b]
    total = left + right
    total[np.abs(total) <= 1e-15 * np.abs(left)] = 0.0
    return total


def _independent(
    candidates: list[Vector], size: Vector, limit: int, apart: Sequence[float] = (RANK_TOLERANCE,)
) -> list[int]:
    """Indices of the first linearly independent candidates, by Gram-Schmidt done twice.

    ``size`` is what one unit of each coordinate measures.  A later candidate is preferred to one
    of which less than ``apart[0]`` is new; what then is missing needs only ``apart[1]``, and so on.
    """
    basis: list[Vector] = []
    picked: list[int] = []
    left = dict(enumerate(c * size / (np.sqrt((c * size) @ (c * size)) or 1.0) for c in candidates))
    for tolerance in apart:
        for index, rest in list(left.items()):
            for _ in range(2):
                for axis in basis:
                    rest = rest - (axis @ rest) * axis
            new = float(np.sqrt(rest @ rest))
            if new > tolerance and len(picked) < limit:
                basis.append(rest / new)
                picked.append(index)
                del left[index]
    return picked


def _solve(basis: Vector, rows: Vector, size: Vector) -> Vector:
    """Return X with X·basis = rows, exact where a row of ``rows`` is a row of ``basis``."""
    scaled = basis * size
    norms = np.sqrt((scaled * scaled).sum(axis=1))
    unit = (scaled / norms[:, None]).T
    solution: Vector = np.linalg.lstsq(unit, (rows * size).T, rcond=None)[0].T / norms
    solution[np.abs(solution) <= 1e-14 * np.abs(solution).max(axis=1, keepdims=True)] = 0.0
    for i, same in enumerate((rows[:, None] == basis).all(axis=2)):
        if same.any():
            solution[i] = same.cumsum() * same == 1
    return solution


def _coordinates(basis: Vector, rows: Vector, size: Vector, apart: bool) -> Vector:
    """Return X with X·basis = rows; where the first row stands apart, no other is made of it."""
    if not apart:
        return _solve(basis, rows, size)
    found = np.zeros((len(rows), len(basis)))
    found[0, 0] = 1.0
    if len(basis) > 1:
        found[1:, 1:] = _solve(basis[1:], rows[1:], size)
    return found


def _reachable(tape: Tape, output: int, sigma_init: float, handed_out: bool) -> list[Step]:
    """Forward pass: one :class:`Step` per segment over independent live symbols."""
    nodes = tape.nodes
    needed, live = _liveness(tape, output)
    carried: dict[int, Vector] = {}
    width, start, steps = 1, 0, []
    # Of the candidates' covariance, root·rootᵀ.  A state holds data of size 1 at any level: were it
    # σ·z alone, a query of 0.92·x + 0.08·D would seem to be mostly D, and D be made of 12 queries.
    root = np.array([[max(1.0, sigma_init)]])
    for segment in range(len(tape.queries) + 1):
        stop = start
        while stop < len(nodes) and nodes[stop].segment == segment:
            stop += 1
        local = range(start, stop)
        draws = [nodes[i].a for i in local if nodes[i].kind == "z" and i in needed]
        size = width + 2 + len(draws)
        vectors = {i: np.concatenate([v, np.zeros(size - width)]) for i, v in carried.items()}
        for i in local:
            if i in needed:
                node = nodes[i]
                expression = node.kind in "+/"
                vectors[i] = (
                    _combine(node, vectors) if expression else _atom(node, width, draws, size)
                )
        target = tape.queries[segment] if segment < len(tape.queries) else output
        alive = [target] + [i for i in live[segment] if i != target]
        stack = [vectors[i] for i in alive]
        measure = np.append(np.linalg.norm(root, axis=1), np.ones(size - width))
        picked = _independent(stack, measure, limit=len(stack), apart=CLOSE)
        if not picked or picked[0] != 0:
            raise ValueError("the sampler queries the denoiser at a state that is always zero")
        if handed_out:
            picked = [0, *(1 + i for i in _independent(stack[1:], measure, limit=len(stack)))]
        R = np.array([stack[i] for i in picked])
        # Sums of absolute values would do for a few rows, but where stages cancel they grow
        # from step to step until D beside them looks like rounding error.
        whole = np.hstack([R[:, :width] @ root, R[:, width:]])
        if handed_out and segment < len(tape.sigmas):  # the state comes back as it may
            whole = np.pad(whole, ((0, 0), (0, 1)))
            whole[0, :-1], whole[0, -1] = 0.0, np.hypot(1.0, tape.sigmas[segment])
        root = np.asarray(np.linalg.qr(whole.T, mode="r")).T
        parts = R[:, :width], R[:, width], R[:, width + 1], R[:, width + 2 :]
        steps.append(Step(*parts, draws, np.linalg.norm(root, axis=1)))
        coordinates = _coordinates(R, np.array(stack), measure, handed_out)
        carried = dict(zip(alive, coordinates, strict=True))
        width, start = len(picked), stop
    return steps


def _atom(node: Node, width: int, draws: list[int], size: int) -> Vector:
    """Return the unit vector of an atom in a segment's basis [candidates, D, D_raw, draws]."""
    vector = np.zeros(size)
    if node.kind == "z":
        vector[width + 2 + draws.index(node.a)] = 1.0
    else:
        vector[{"x": 0, "D": width, "raw": width + 1}[node.kind]] = 1.0
    return vector


def _read(steps: list[Step], own_up_to: int) -> list[Vector]:
    """Backward pass: for each call the functionals of the candidates that are kept.

    Up to ``own_up_to`` candidates are kept as they are; more are mixed where fewer are read.
    """
    chosen: list[Vector] = [np.eye(1, len(steps[-1].P))]
    for step, before in zip(reversed(steps[1:]), reversed(steps[:-1]), strict=True):
        reads, size = chosen[-1] @ step.P, before.size
        width = reads.shape[1]
        own = np.eye(width)
        spanned = [own[0], *reads]
        rank = width if width <= own_up_to else len(_independent(spanned, size, limit=width))
        if rank == width:
            chosen.append(own)
            continue
        inside = [e for e in own[1:] if len(_independent([*spanned, e], size, limit=width)) == rank]
        candidates = [own[0], *inside, *reads]
        kept = np.array([candidates[i] for i in _independent(candidates, size, limit=rank)])
        # The query is a register itself: the span is the same without it, and a register that
        # holds −x/σ at a small level is far larger than what it is read for, as are those before.
        kept[1:, 0] = 0.0
        chosen.append(kept)
    return chosen[::-1]


def _rows(steps: list[Step], chosen: list[Vector]) -> dict[str, Any]:
    """Express each segment in the registers that were kept and pad to common shapes."""
    K = max(len(c) for c in chosen)
    M = max(1, max(len(step.draws) for step in steps))
    n = len(steps)
    A, S = np.zeros((n, K, K)), np.zeros((n, K, M))
    B, B_raw = np.zeros((n, K)), np.zeros((n, K))
    stream = np.full((n, M), -1, np.int64)
    registers = np.array([len(c) for c in chosen], np.int64)
    before: Vector = np.eye(1)
    size = np.ones(1)
    for i, (step, after) in enumerate(zip(steps, chosen, strict=True)):
        k = len(after)
        moved = after @ step.P
        A[i, :k, : len(before)] = (
            moved if before.shape[0] == before.shape[1] else _solve(before, moved, size)
        )
        B[i, :k], B_raw[i, :k] = after @ step.q, after @ step.q_raw
        S[i, :k, : len(step.draws)] = after @ step.G
        stream[i, : len(step.draws)] = step.draws
        before, size = after, step.size
    return {"A": A, "B": B, "B_raw": B_raw, "S": S, "stream": stream, "registers_out": registers}
