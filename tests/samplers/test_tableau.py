# SPDX-License-Identifier: Apache-2.0
"""Tableaux refuse what is not a method of their order; exponential ones reduce to them at z = 0."""

import math

import pytest

from pydiffcore import samplers
from pydiffcore.samplers import Tableau
from pydiffcore.samplers import exponential_tableau as et
from pydiffcore.samplers.exponential_tableau import ExponentialTableau
from pydiffcore.samplers.phi import phi
from pydiffcore.samplers.tableau import alpha, third_order

ALL = {**samplers.TABLEAUX, **samplers.IMPLICIT}
EXPONENTIAL = [
    et.EXPONENTIAL_EULER,
    et.single_2(0.3),
    et.single_2(1.0, "heun"),
    et.single_3(),
    et.single_3(0.2, 0.9, "heun"),
    et.hochbruck_ostermann_3(),
    et.hochbruck_ostermann_3(0.3, 2 / 3),
    et.hochbruck_ostermann_5(),
    et.cox_matthews(),
    et.krogstad(),
]


@pytest.mark.parametrize("tableau", ALL.values(), ids=ALL)
def test_no_order_is_understated(tableau):
    """One order more than stated is refused: the conditions are really looked at."""
    with pytest.raises(ValueError, match=f"{tableau.name}: order {tableau.order + 1}: tree"):
        Tableau(tableau.name, tableau.c, tableau.a, tableau.b, tableau.order + 1)


@pytest.mark.parametrize("tableau", ALL.values(), ids=ALL)
@pytest.mark.parametrize("field", ["c", "b"])
def test_a_wrong_coefficient_cannot_be_made(tableau, field):
    given = {"c": tableau.c, "b": tableau.b}
    given[field] = (*given[field][:-1], given[field][-1] + 1e-9)
    with pytest.raises(ValueError, match=tableau.name):
        Tableau(tableau.name, given["c"], tableau.a, given["b"], tableau.order)


def test_orders_above_four_are_checked_as_well():
    """Gauss with three stages has order 6: Σ_i b_i Φ_i(t) = 1/γ(t) for 37 trees, not for 85."""
    s = math.sqrt(15)
    a = (
        (5 / 36, 2 / 9 - s / 15, 5 / 36 - s / 30),
        (5 / 36 + s / 24, 2 / 9, 5 / 36 - s / 24),
        (5 / 36 + s / 30, 2 / 9 + s / 15, 5 / 36),
    )
    c, b = (1 / 2 - s / 10, 1 / 2, 1 / 2 + s / 10), (5 / 18, 4 / 9, 5 / 18)
    assert not Tableau("gauss3", c, a, b, 6).explicit
    with pytest.raises(ValueError, match="gauss3: order 7: tree"):
        Tableau("gauss3", c, a, b, 7)


def test_which_are_explicit():
    assert all(tableau.explicit for tableau in samplers.TABLEAUX.values())
    assert not any(tableau.explicit for tableau in samplers.IMPLICIT.values())


def test_what_is_refused():
    with pytest.raises(ValueError, match="x: c, a and b must have one entry for each of 2 stages"):
        Tableau("x", (0.0,), ((),), (0.5, 0.5), 1)
    with pytest.raises(ValueError, match="x: order is 0"):
        Tableau("x", (0.0,), ((),), (1.0,), 0)
    with pytest.raises(ValueError, match=r"a is 1\.5"):
        alpha(1.5)
    with pytest.raises(ValueError, match=r"c2 is 0\.66"):
        third_order(2 / 3, 1.0)
    with pytest.raises(ValueError, match=r"c2 is 0\.66"):
        et.hochbruck_ostermann_3(2 / 3, 1.0)
    with pytest.raises(ValueError, match=r"r is 1\.2"):
        et.single_2(1.2)
    with pytest.raises(ValueError, match=r"r2 is 0\.2, expected a number in \(0\.5, 1\]"):
        et.single_3(0.5, 0.2)


@pytest.mark.parametrize("tableau", EXPONENTIAL, ids=repr)
def test_exponential_weights_reduce_to_a_method_of_their_order(tableau):
    with pytest.raises(ValueError, match=f"order {tableau.order + 1}"):
        ExponentialTableau(tableau.name, tableau.c, tableau.rows, tableau.order + 1)


def test_exponential_weights_are_checked_away_from_zero():
    """At z = 0 this is Kutta's third order; its step has 1/2 where φ_2(z) is due."""

    def rows(z):
        return [[], [2.0], [2 / 3, 1 / 6]]

    with pytest.raises(ValueError, match=r"kutta: Σ b c is 0\.5 at z = -2\.0, not φ_2"):
        ExponentialTableau("kutta", (0.0, 0.5, 1.0), rows, 3)
    with pytest.raises(ValueError, match="rows of 0, 1, 2"):
        ExponentialTableau("x", (0.0, 0.5), lambda z: [[0.5]], 2)


@pytest.mark.parametrize("z", [-1e-8, 1e-8, -0.3, 2.5, -18.0])
def test_stiff_order_conditions(z):
    """Of the five-stage method: Σ b c² = 2φ_3, and Σ_j a_ij c_j = c_i² φ_2(c_i z) of stages 4, 5.

    Stages 2 and 3 miss it by opposite amounts and enter everywhere by their sum.
    Hochbruck & Ostermann 2005, eq. 5.19.
    """
    rows, c = et.hochbruck_ostermann_5().rows(z), et.hochbruck_ostermann_5().c
    second = sum(b * x**2 for b, x in zip(rows[-1], c[1:], strict=True))
    assert second == pytest.approx(2 * phi(3, z), rel=1e-12)
    missed = []
    for row, node in zip([[], *rows[1:-1]], c[1:], strict=True):
        moment = sum(a * x for a, x in zip(row, c[1:], strict=False))
        missed.append(moment - node**2 * phi(2, node * z))
    assert missed[0] == pytest.approx(-phi(2, z / 2) / 4, rel=1e-12)
    assert missed[1] == pytest.approx(-missed[0], rel=1e-12)
    assert missed[2:] == pytest.approx([0.0, 0.0], abs=1e-14)
    assert all(row[0] == row[1] for row in rows[2:])
