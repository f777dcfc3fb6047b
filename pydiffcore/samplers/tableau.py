# SPDX-License-Identifier: Apache-2.0
"""Runge–Kutta methods as data: Butcher tableaux that check themselves."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IMPLICIT", "RK4", "TABLEAUX", "Tableau", "alpha", "checked", "third_order"]

S3, S5 = math.sqrt(3), math.sqrt(5)


CHECKED = 8
Tree = tuple[Any, ...]  # a rooted tree: its branches, which are trees


@functools.cache
def _trees(order: int) -> list[Tree]:
    """Return the rooted trees with so many nodes, each a smaller one with a leaf more."""
    if order == 1:
        return [()]
    return sorted({grown for tree in _trees(order - 1) for grown in _grown(tree)})


def _grown(tree: Tree) -> Iterator[Tree]:
    yield tuple(sorted((*tree, ())))
    for i, branch in enumerate(tree):
        for grown in _grown(branch):
            yield tuple(sorted((*tree[:i], grown, *tree[i + 1 :])))


def _nodes(tree: Tree) -> int:
    return 1 + sum(_nodes(branch) for branch in tree)


def _density(tree: Tree) -> int:
    return _nodes(tree) * math.prod(_density(branch) for branch in tree)


def _weight(tree: Tree, a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Φ_i(t) = Π over branches of Σ_j a_ij Φ_j(branch)."""
    found = np.ones(len(a))
    for branch in tree:
        found = found * (a @ _weight(branch, a))
    return found


@dataclass(frozen=True, repr=False)
class Tableau:
    """k_i = f(x + h Σ_j a_ij k_j) at t + c_i h, and x' = x + h Σ_i b_i k_i.

    Fields:
        name: its name.
        c: where each stage lies within the step, float [s].
        a: a row for each stage, [s][s]; rows of an explicit method may end at their diagonal.
        b: weights of the stages, float [s].
        order: of the method, at least 1.

    Raises:
        ValueError: for shapes that do not fit, where c is not the sum of its row, or for an order
            whose conditions Σ_i b_i Φ_i(t) = 1/γ(t), one for each rooted tree t (Hairer, Nørsett
            & Wanner 1993, section II.2, theorem 2.13), do not hold; checked up to order 8.

    """

    name: str
    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int

    def __post_init__(self) -> None:
        """Check shapes, row sums and the conditions of the stated order."""
        s = len(self.b)
        if not (len(self.c) == len(self.a) == s and all(len(row) <= s for row in self.a)):
            raise ValueError(f"{self.name}: c, a and b must have one entry for each of {s} stages")
        if not (isinstance(self.order, int) and self.order >= 1):
            raise ValueError(f"{self.name}: order is {self.order!r}, expected at least 1")
        rows = tuple((*map(float, row), *[0.0] * (s - len(row))) for row in self.a)
        object.__setattr__(self, "a", rows)
        for i, (c, row) in enumerate(zip(self.c, rows, strict=True)):
            if abs(c - math.fsum(row)) > 1e-12:
                raise ValueError(f"{self.name}: c[{i}] is {c}, its row sums to {math.fsum(row)}")
        a, b = np.array(rows, np.float64), np.array(self.b, np.float64)
        for order in range(1, min(self.order, CHECKED) + 1):
            for tree in _trees(order):
                found, expected = float(b @ _weight(tree, a)), 1 / _density(tree)
                if abs(found - expected) > 1e-12:
                    what = "Σ b" if order == 1 else f"order {order}: tree {tree}"
                    raise ValueError(f"{self.name}: {what} is {found}, expected {expected}")

    @property
    def explicit(self) -> bool:
        """Whether each stage needs only the ones before it."""
        return not np.triu(np.array(self.a)).any()

    def __repr__(self) -> str:
        return self.name


def checked(tableau: object, kind: type) -> None:
    """Check that a table of numbers was given, not its name."""
    if not isinstance(tableau, kind):
        raise TypeError(f"tableau is {tableau!r}, expected a samplers.{kind.__name__}")


def alpha(a: float, name: str = "") -> Tableau:
    """Return the explicit second-order method whose second stage lies at a.

    b = (1 − 1/(2a), 1/(2a)): 1/2 is the midpoint rule, 2/3 Ralston's, 1 Heun's.
    Hairer, Nørsett & Wanner 1993, section II.1; Karras et al. 2022 (arXiv 2206.00364), Algorithm 3.
    """
    if not 0 < a <= 1:
        raise ValueError(f"a is {a}, expected a number in (0, 1]")
    half = 1 / (2 * a)
    return Tableau(name or f"alpha({a})", (0.0, a), ((), (a,)), (1 - half, half), 2)


def third_order(c2: float, c3: float, name: str = "") -> Tableau:
    """Return the explicit third-order method whose stages lie at 0, c2 and c3.

    b2 = (3c3 − 2)/(6c2(c3 − c2)), b3 = (2 − 3c2)/(6c3(c3 − c2)), a32 = 1/(6 b3 c2).
    Butcher 2016 (Numerical Methods for Ordinary Differential Equations), section 233.

    Args:
        c2, c3: in (0, 1] and different; c2 is not 2/3.
        name: its name.

    """
    if not (0 < c2 <= 1 and 0 < c3 <= 1 and abs(c2 - c3) > 1e-9 and abs(c2 - 2 / 3) > 1e-9):
        raise ValueError(
            f"c2 is {c2}, c3 is {c3}: expected two different numbers in (0, 1], c2 not 2/3"
        )
    b2 = (3 * c3 - 2) / (6 * c2 * (c3 - c2))
    b3 = (2 - 3 * c2) / (6 * c3 * (c3 - c2))
    a32 = 1 / (6 * b3 * c2)
    rows = ((), (c2,), (c3 - a32, a32))
    return Tableau(
        name or f"third_order({c2}, {c3})", (0.0, c2, c3), rows, (1 - b2 - b3, b2, b3), 3
    )


RK4 = Tableau(
    "rk4",
    (0.0, 1 / 2, 1 / 2, 1.0),
    ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    4,
)

# Hairer, Nørsett & Wanner 1993, section II.1, tables 1.1 and 1.2; Ralston 1962 (Math. Comp. 16);
# Shu & Osher 1988 (J. Comput. Phys. 77) for ssp3; van der Houwen for houwen3.
TABLEAUX = {
    tableau.name: tableau
    for tableau in (
        Tableau("euler", (0.0,), ((),), (1.0,), 1),
        alpha(1 / 2, "midpoint"),
        alpha(1.0, "heun"),
        alpha(2 / 3, "ralston"),
        third_order(1 / 2, 1.0, "kutta3"),
        third_order(1 / 3, 2 / 3, "heun3"),
        third_order(1 / 2, 3 / 4, "ralston3"),
        third_order(1.0, 1 / 2, "ssp3"),
        third_order(8 / 15, 2 / 3, "houwen3"),
        RK4,
        Tableau(
            "three_eighths",
            (0.0, 1 / 3, 2 / 3, 1.0),
            ((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
            (1 / 8, 3 / 8, 3 / 8, 1 / 8),
            4,
        ),
        Tableau(
            "ralston4",
            (0.0, 2 / 5, (14 - 3 * S5) / 16, 1.0),
            (
                (),
                (2 / 5,),
                ((-2889 + 1428 * S5) / 1024, (3785 - 1620 * S5) / 1024),
                (
                    (-3365 + 2094 * S5) / 6040,
                    (-975 - 3046 * S5) / 2552,
                    (467040 + 203968 * S5) / 240845,
                ),
            ),
            (
                (263 + 24 * S5) / 1812,
                (125 - 1000 * S5) / 3828,
                (3426304 + 1661952 * S5) / 5924787,
                (30 - 4 * S5) / 123,
            ),
            4,
        ),
    )
}

# Hairer & Wanner 1996 (Solving Ordinary Differential Equations II), section IV.5.
IMPLICIT = {
    tableau.name: tableau
    for tableau in (
        Tableau("backward_euler", (1.0,), ((1.0,),), (1.0,), 1),
        Tableau("trapezoidal", (0.0, 1.0), ((), (1 / 2, 1 / 2)), (1 / 2, 1 / 2), 2),
        Tableau("gauss1", (1 / 2,), ((1 / 2,),), (1.0,), 2),
        Tableau(
            "gauss2",
            (1 / 2 - S3 / 6, 1 / 2 + S3 / 6),
            ((1 / 4, 1 / 4 - S3 / 6), (1 / 4 + S3 / 6, 1 / 4)),
            (1 / 2, 1 / 2),
            4,
        ),
        Tableau(
            "radau_iia2",
            (1 / 3, 1.0),
            ((5 / 12, -1 / 12), (3 / 4, 1 / 4)),
            (3 / 4, 1 / 4),
            3,
        ),
        Tableau(
            "lobatto_iiia3",
            (0.0, 1 / 2, 1.0),
            ((), (5 / 24, 1 / 3, -1 / 24), (1 / 6, 2 / 3, 1 / 6)),
            (1 / 6, 2 / 3, 1 / 6),
            4,
        ),
        Tableau(
            "lobatto_iiic3",
            (0.0, 1 / 2, 1.0),
            ((1 / 6, -1 / 3, 1 / 6), (1 / 6, 5 / 12, -1 / 12), (1 / 6, 2 / 3, 1 / 6)),
            (1 / 6, 2 / 3, 1 / 6),
            4,
        ),
    )
}
