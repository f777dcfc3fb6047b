# SPDX-License-Identifier: Apache-2.0
"""Symbols: what a sampler computes with while it is being traced.

A symbol stands for a whole tensor.  The atoms are the initial state, the denoised predictions
``D_0, D_1, …`` and the unit normals ``z_0, z_1, …``; every other symbol is a linear expression in
earlier ones.  All of them lie on one tape in the order in which the sampler made them, so that the
tape knows which of them a later network call still reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple, NoReturn

__all__ = ["Node", "Symbol", "Tape", "TraceError"]


REFUSAL = (
    "{} of a traced state is not linear in it, so it cannot become a row of a plan. A sampler may "
    "add symbols and multiply or divide them by numbers; decide from levels and options instead, "
    "or run it unfused with pydiffcore.direct."
)


class TraceError(TypeError):
    """A sampler did something to a symbol that is not linear in it."""


class Node(NamedTuple):
    """One entry of the tape: ``coef_a · a + coef_b · b``, or ``a / coef_a`` for a quotient.

    ``kind`` is ``x``, ``D``, ``raw`` or ``z`` for the atoms (``a`` is then the atom's own number)
    and ``+`` or ``/`` for expressions (``b`` is -1 where there is one operand).
    """

    kind: str
    segment: int
    a: int
    coef_a: float = 1.0
    b: int = -1
    coef_b: float = 0.0


@dataclass
class Tape:
    """The record of one run of a sampler: its nodes, its network calls, its draws' intervals."""

    nodes: list[Node] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    intervals: list[tuple[float, float]] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    scaled: dict[int, int] = field(default_factory=dict)  # draws by learned variances: node, node

    def push(
        self, kind: str, a: int, coef_a: float = 1.0, b: int = -1, coef_b: float = 0.0
    ) -> Symbol:
        """Append a node and return its symbol."""
        self.nodes.append(Node(kind, len(self.queries), a, coef_a, b, coef_b))
        return Symbol(self, len(self.nodes) - 1)

    def call(self, query: Symbol, sigma: float) -> None:
        """Note that the network is evaluated at ``query``; what follows is a new segment."""
        if not (math.isfinite(sigma) and sigma > 0):
            raise ValueError(
                f"denoise(x, sigma): sigma is {sigma!r}, expected a finite number above 0"
            )
        if not isinstance(query, Symbol) or query.tape is not self:
            raise TraceError(f"denoise(x, sigma): x is {query!r}, expected the sampler's own state")
        self.queries.append(query.index)
        self.sigmas.append(float(sigma))

    def draw(self, sigma: float = math.nan, sigma_next: float = math.nan) -> Symbol:
        """Return a fresh unit normal, the next stream of the noise, for the step between levels."""
        self.intervals.append((float(sigma), float(sigma_next)))
        self.spreads.append(0.0)
        return self.push("z", len(self.intervals) - 1)

    def spread(self, z: Symbol, low: float, high: float) -> Symbol:
        """Return ``low·exp(f ln(high/low))·z``, f of the last call's output, element by element."""
        node = self.nodes[z.index]
        if node.kind != "z" or node.segment != len(self.queries) or not self.queries:
            raise TraceError(
                "a learned variance scales noise that was drawn after the last network call"
            )
        if not 0 < low <= high < math.inf:
            raise ValueError(f"a learned variance lies between {low} and {high}: expected 0 < low")
        if z.index in self.scaled:
            raise TraceError("a learned variance scales the same draw twice: draw another")
        self.spreads[node.a] = math.log(high / low)
        scaled = low * z
        self.scaled[z.index] = scaled.index
        return scaled

    def check_scaled(self) -> None:
        """Refuse a draw that a learned variance scales and that is used without it as well."""
        for at, node in enumerate(self.nodes):
            if node.kind in ("+", "/"):
                for operand in (node.a, node.b):
                    if self.scaled.get(operand, at) != at:
                        raise TraceError(
                            "a draw that a learned variance scales is used without it as well: "
                            "draw another"
                        )
        if any(query in self.scaled for query in self.queries):
            raise TraceError("a draw that a learned variance scales is a query: draw another")


def _scalar(value: object) -> float | None:
    """Return ``value`` as a float, or None where it is not a real number."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return float(value.item())
    return None


class Symbol:
    """A linear expression in the initial state, the denoised predictions and the noise."""

    __slots__ = ("index", "tape")
    __array_ufunc__ = None  # so that numpy.float64 * symbol asks the symbol

    def __init__(self, tape: Tape, index: int) -> None:
        self.tape = tape
        self.index = index

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> NoReturn:
        raise TraceError(REFUSAL.format(f"torch.{getattr(function, '__name__', function)}"))

    def _refuse(self, what: str) -> NoReturn:
        raise TraceError(REFUSAL.format(what))

    def _sum(self, other: object, sign: float, flip: float = 1.0) -> Symbol:
        if isinstance(other, Symbol):
            return self.tape.push("+", self.index, flip, other.index, sign)
        value = _scalar(other)
        if value == 0.0:  # the start value of sum()
            return self if flip == 1.0 else self.tape.push("+", self.index, flip)
        if value is not None:
            self._refuse(f"adding the number {value}")
        return NotImplemented

    def __add__(self, other: object) -> Symbol:
        return self._sum(other, 1.0)

    def __radd__(self, other: object) -> Symbol:
        return self._sum(other, 1.0)

    def __sub__(self, other: object) -> Symbol:
        return self._sum(other, -1.0)

    def __rsub__(self, other: object) -> Symbol:
        return self._sum(other, 1.0, -1.0)

    def __neg__(self) -> Symbol:
        return self.tape.push("+", self.index, -1.0)

    def __pos__(self) -> Symbol:
        return self

    def __mul__(self, other: object) -> Symbol:
        if isinstance(other, Symbol):
            self._refuse("a product")
        value = _scalar(other)
        return NotImplemented if value is None else self.tape.push("+", self.index, value)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Symbol:
        if isinstance(other, Symbol):
            self._refuse("a quotient")
        value = _scalar(other)
        if value == 0.0:
            raise ZeroDivisionError(
                "a sampler divided its state by 0: give the last step, to sigma = 0, its own form"
            )
        return NotImplemented if value is None else self.tape.push("/", self.index, value)

    def __rtruediv__(self, other: object) -> Symbol:
        self._refuse("the reciprocal")

    def __pow__(self, other: object) -> Symbol:
        self._refuse("a power")

    def __abs__(self) -> Symbol:
        self._refuse("the absolute value")

    def __bool__(self) -> bool:
        self._refuse("the truth value")

    def __float__(self) -> float:
        self._refuse("the value")

    def __lt__(self, other: object) -> bool:
        self._refuse("a comparison")

    def __eq__(self, other: object) -> bool:
        self._refuse("a comparison")

    __le__ = __gt__ = __ge__ = __ne__ = __lt__
    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, key: object) -> Symbol:
        self._refuse("an element")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"the attribute {name!r}")

    def __repr__(self) -> str:
        return f"<symbol {self.index} of a traced sampler>"
