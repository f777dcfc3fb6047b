# SPDX-License-Identifier: Apache-2.0
"""Exponential Runge–Kutta methods as data: tableaux whose entries are functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydiffcore.samplers.multistep import one_of
from pydiffcore.samplers.phi import phi
from pydiffcore.samplers.tableau import Tableau

__all__ = [
    "EXPONENTIAL", "EXPONENTIAL_EULER", "ExponentialTableau", "cox_matthews",
    "hochbruck_ostermann_2", "hochbruck_ostermann_3", "hochbruck_ostermann_5", "krogstad",
    "single_2", "single_3",
]  # fmt: skip

Rows = list[list[float]]


@dataclass(frozen=True, repr=False)
class ExponentialTableau:
    """u_i = e^{c_i z} x + h[c_i φ_1(c_i z) f_1 + Σ_{j>1} a_ij(z)(f_j − f_1)], f_j = f(u_j), z = Lh.

    It solves u' = L u + f(u); the step itself is the row of c = 1, with b_j(z) for a_ij(z).
    Writing the rows with f_j − f_1 makes Σ_j a_ij = c_i φ_1(c_i z) hold by itself.

    Fields:
        name: its name.
        c: where each stage lies within the step, the first at 0.
        rows: of z, the entries j > 1 of the stages after the first and of the step.
        order: of the method, 1 to 4.

    Raises:
        ValueError: for shapes that do not fit, or where a condition of the order fails: those of
            the Runge–Kutta method at z = 0 and, from order 3, Σ_j b_j c_j = φ_2(z).

    """

    name: str
    c: tuple[float, ...]
    rows: Callable[[float], Rows]
    order: int

    def __post_init__(self) -> None:
        """Check the method at z = 0 as a Runge–Kutta method, and its second moment elsewhere."""
        rows = self.rows(0.0)
        if self.c[0] != 0 or [len(row) for row in rows] != list(range(len(self.c))):
            raise ValueError(f"{self.name}: stages after the first need rows of 0, 1, 2, … entries")
        full = [(c - math.fsum(row), *row) for c, row in zip((*self.c[1:], 1.0), rows, strict=True)]
        Tableau(self.name, self.c, ((), *full[:-1]), full[-1], self.order)
        for z in (-2.0, 1.0):
            moment = math.fsum(b * c for b, c in zip(self.rows(z)[-1], self.c[1:], strict=True))
            if self.order > 2 and abs(moment - phi(2, z)) > 1e-12:
                raise ValueError(f"{self.name}: Σ b c is {moment} at z = {z}, not φ_2(z)")

    def stages(self, z: float) -> list[tuple[float, list[float]]]:
        """Return (c_i, a_ij for j > 1) of each stage after the first, and of the step at c = 1."""
        return list(zip((*self.c[1:], 1.0), self.rows(z), strict=True))

    def __repr__(self) -> str:
        return self.name


EXPONENTIAL_EULER = ExponentialTableau("exponential_euler", (0.0,), lambda z: [[]], 1)


def single_2(r: float = 0.5, solver: str = "midpoint") -> ExponentialTableau:
    """Two stages, order 2: b_2 = φ_1/(2r) ("midpoint") or φ_2/r ("heun").

    Lu et al. 2022 (arXiv 2206.00927), Algorithm 1, and with "heun" Hochbruck & Ostermann 2005
    (SIAM J. Numer. Anal. 43), eq. 5.3; with "midpoint" it is their eq. 5.4.

    Args:
        r: where the second stage lies, in (0, 1].
        solver: "heun" integrates the line through the two slopes, "midpoint" its middle.

    """
    one_of("solver", solver, ("midpoint", "heun"))
    _ascending(r=r)

    def rows(z: float) -> Rows:
        return [[], [phi(1, z) / (2 * r) if solver == "midpoint" else phi(2, z) / r]]

    return ExponentialTableau(f"single_2({r}, {solver})", (0.0, r), rows, 2)


def single_3(
    r1: float = 1 / 3, r2: float = 2 / 3, solver: str = "midpoint", inner: str = "heun"
) -> ExponentialTableau:
    """Three stages: b_3 = φ_2/r2 ("midpoint"), or the parabola through all three slopes ("heun").

    a_32 is the weight of :func:`single_2`, by ``inner``, for a step to r2.  The order is 3 at
    r2 = 2/3 and else 2.  Lu et al. 2022 (arXiv 2206.00927), Algorithm 2.

    Args:
        r1, r2: where the stages lie, 0 < r1 < r2 ≤ 1.
        solver, inner: rules of the step and of the third stage.

    """
    one_of("solver", solver, ("midpoint", "heun"))
    one_of("inner", inner, ("midpoint", "heun"))
    _ascending(r1=r1, r2=r2)

    def rows(z: float) -> Rows:
        half = phi(1, r2 * z) / 2 if inner == "midpoint" else phi(2, r2 * z)
        b2, b3 = 0.0, phi(2, z) / r2
        if solver == "heun":
            b2 = (r2 * phi(2, z) - 2 * phi(3, z)) / (r1 * (r2 - r1))
            b3 = (2 * phi(3, z) - r1 * phi(2, z)) / (r2 * (r2 - r1))
        return [[], [r2**2 / r1 * half], [b2, b3]]

    order = 3 if abs(r2 - 2 / 3) < 1e-12 else 2
    return ExponentialTableau(f"single_3({r1}, {r2}, {solver})", (0.0, r1, r2), rows, order)


def hochbruck_ostermann_2(c2: float = 0.5) -> ExponentialTableau:
    """Two stages, stiff order 2: b_2 = φ_2/c_2.  Hochbruck & Ostermann 2005, eq. 5.3."""
    return single_2(c2, "heun")


def hochbruck_ostermann_3(c2: float = 0.5, c3: float = 1.0) -> ExponentialTableau:
    """Three stages, stiff order 3.  Hochbruck & Ostermann 2005, eq. 5.8 (5.9 at c3 = 2/3).

    a_32 = γ c_2 φ_2(c_2 z) + c_3²/c_2 φ_2(c_3 z), b_2 = γ b_3, b_3 = φ_2/(γ c_2 + c_3), where
    2(γ c_2 + c_3) = 3(γ c_2² + c_3²).

    Args:
        c2, c3: where the stages lie, in (0, 1] and different; c2 is not 2/3.

    """
    if not (0 < c2 <= 1 and 0 < c3 <= 1 and abs(c2 - c3) > 1e-9 and abs(c2 - 2 / 3) > 1e-9):
        raise ValueError(
            f"c2 is {c2}, c3 is {c3}: expected two different numbers in (0, 1], c2 not 2/3"
        )
    gamma = c3 * (3 * c3 - 2) / (c2 * (2 - 3 * c2))

    def rows(z: float) -> Rows:
        b3 = phi(2, z) / (gamma * c2 + c3)
        a32 = gamma * c2 * phi(2, c2 * z) + c3**2 / c2 * phi(2, c3 * z)
        return [[], [a32], [gamma * b3, b3]]

    return ExponentialTableau(f"hochbruck_ostermann_3({c2}, {c3})", (0.0, c2, c3), rows, 3)


def hochbruck_ostermann_5() -> ExponentialTableau:
    """Five stages, stiff order 4.  Hochbruck & Ostermann 2005, eq. 5.19."""

    def rows(z: float) -> Rows:
        p2, p2_half = phi(2, z), phi(2, z / 2)
        a52 = p2_half / 2 - phi(3, z) + p2 / 4 - phi(3, z / 2) / 2
        b5 = 4 * p2 - 8 * phi(3, z)
        last = [0.0, 0.0, 4 * phi(3, z) - p2, b5]
        return [[], [p2_half], [p2, p2], [a52, a52, p2_half / 4 - a52], last]

    c = (0.0, 0.5, 0.5, 1.0, 0.5)
    return ExponentialTableau("hochbruck_ostermann_5", c, rows, 4)


def cox_matthews() -> ExponentialTableau:
    """Four stages, order 4 where it is not stiff (ETDRK4).

    Cox & Matthews 2002 (J. Comput. Phys. 176), eq. 26 to 29; Hochbruck & Ostermann 2005, eq. 5.17.
    """

    def rows(z: float) -> Rows:
        half = phi(1, z / 2)
        return [[], [half / 2], [0.0, half], _kutta_weights(z)]

    return ExponentialTableau("cox_matthews", (0.0, 0.5, 0.5, 1.0), rows, 4)


def krogstad() -> ExponentialTableau:
    """Four stages, order 4 where it is not stiff (ETDRK4-B).

    Krogstad 2005 (J. Comput. Phys. 203); Hochbruck & Ostermann 2005, eq. 5.18.
    """

    def rows(z: float) -> Rows:
        return [[], [phi(2, z / 2)], [0.0, 2 * phi(2, z)], _kutta_weights(z)]

    return ExponentialTableau("krogstad", (0.0, 0.5, 0.5, 1.0), rows, 4)


def _kutta_weights(z: float) -> list[float]:
    p2, p3 = phi(2, z), phi(3, z)
    return [2 * p2 - 4 * p3, 2 * p2 - 4 * p3, 4 * p3 - p2]


def _ascending(**nodes: float) -> None:
    before = 0.0
    for name, value in nodes.items():
        if not before < value <= 1:
            raise ValueError(f"{name} is {value}, expected a number in ({before}, 1]")
        before = value


EXPONENTIAL = {
    "euler": EXPONENTIAL_EULER,
    "single_2": single_2(),
    "single_3": single_3(),
    "hochbruck_ostermann_2": hochbruck_ostermann_2(),
    "hochbruck_ostermann_3": hochbruck_ostermann_3(),
    "hochbruck_ostermann_5": hochbruck_ostermann_5(),
    "cox_matthews": cox_matthews(),
    "krogstad": krogstad(),
}
