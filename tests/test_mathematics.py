# SPDX-License-Identifier: Apache-2.0
"""docs/mathematics.md has the tables that the package computes with."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from pydiffcore import prediction, process, samplers

PAGE = (Path(__file__).parents[1] / "docs" / "mathematics.md").read_text()
KINDS = {"Explicit": samplers.TABLEAUX, "Implicit": samplers.IMPLICIT}
SIGMA = np.array([0.01, 0.7, 3.0, 40.0])


def rows(after):
    """The cells of the first table after some words."""
    lines = PAGE.partition(after)[2].partition("|---")[2].splitlines()[1:]
    lines = lines[: lines.index("")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def value(text, **names):
    """The number that a cell writes out, in which a blank between two names is a product."""
    text = re.sub(r"√(\d)", r" sqrt(\1)", text.replace("²", "**2"))
    text = re.sub(r"ln (\w)", r"ln(\1)", text)
    text = re.sub(r"(\w) +(?=\w)", r"\1*", text)
    functions = {"sqrt": np.sqrt, "ln": np.log, "atan": np.arctan}
    return eval(text.strip(), {**functions, **names})


def numbers(cell):
    return [value(each) for each in cell.split(",")] if cell else []


@pytest.mark.parametrize("kind", KINDS)
def test_butcher_tables(kind):
    found = rows(f"\n{kind}, `")
    assert [row[0].strip("`") for row in found] == list(KINDS[kind])
    for (_, order, c, a, b), table in zip(found, KINDS[kind].values(), strict=True):
        assert int(order) == table.order
        np.testing.assert_allclose(numbers(c), table.c, atol=1e-15)
        np.testing.assert_allclose(numbers(b), table.b, atol=1e-15)
        written = [numbers(row) for row in a.split(";")] if a else []
        written = [[]] * (len(table.a) - len(written)) + written
        padded = [[*row, *[0.0] * (len(table.a) - len(row))] for row in written]
        np.testing.assert_allclose(padded, table.a, atol=1e-15)


def test_exponential_tables():
    found = rows("\nExponential, `")
    assert [row[0].strip("`") for row in found] == list(samplers.EXPONENTIAL)
    for (_, order, c, _), table in zip(found, samplers.EXPONENTIAL.values(), strict=True):
        assert int(order) == table.order
        np.testing.assert_allclose(numbers(c), table.c, atol=1e-15)


def test_predictions():
    found = {row[0].strip("`"): [cell.strip("`") for cell in row[2:6]] for row in rows("`label` ")}
    made = {
        name: function
        for name, function in vars(prediction).items()
        if inspect.isfunction(function)
        and function.__module__.startswith(prediction.__name__)
        and not name.startswith("_")
    }
    assert set(found) == set(made)
    for name in ("denoised", "edm", "trigflow", "consistency", "vp", "ve"):
        names = {"σ": SIGMA, "d": 0.5, "s": SIGMA - 0.002}
        cells = found[name] if name != "vp" else found[name][:3]  # whose label is a time's
        for cell, expected in zip(cells, made[name]().coefficients(SIGMA), strict=False):
            written = np.broadcast_to(value(cell, **names), SIGMA.shape)
            np.testing.assert_allclose(written, expected, rtol=1e-12)


def test_processes_that_are_named_exist():
    for row in rows("## Processes"):
        assert hasattr(process, row[0].strip("`").partition("(")[0])
