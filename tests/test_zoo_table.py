# SPDX-License-Identifier: Apache-2.0
"""docs/zoo.md has every sampler, with the numbers that it has now."""

import inspect
import re
import sys
from pathlib import Path

import pytest

from pydiffcore import samplers

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import zoo_table

NOT_SAMPLERS = {"afs", "ending", "denoise_to_zero", "ncsnv2_step"}  # what changes or ends one


def cells():
    lines = zoo_table.PAGE.read_text().split("|---")[-1].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_says_what_its_dashes_mean():
    text = zoo_table.PAGE.read_text()
    assert text.startswith(zoo_table.HEADER)
    meaning = text.partition('"—":')[2].partition("\n- ")[0]
    assert {row[0] for row in cells() if row[2] == "—"} == set(re.findall(r"`(\w+)`", meaning))


def test_every_sampler_is_there():
    public = {name: value for name, value in vars(samplers).items() if name[0] != "_"}
    names = {name for name, value in public.items() if inspect.isfunction(value)}
    assert {row[0] for row in cells()} == names - NOT_SAMPLERS


def test_numbers_are_current():
    for found, row in zip(cells(), zoo_table.rows(zoo_table.without_fit), strict=True):
        expected = [cell.strip() for cell in str(row).strip("|").split("|")]
        if expected[2] == "fitted":
            assert float(found[2]) > 0
            found[2] = "fitted"
        assert found == expected


def test_no_sampler_is_longer_than_25_lines():
    assert max(int(row[-1]) for row in cells()) <= 25


@pytest.mark.slow
def test_orders_are_current():
    """Fitting all of them takes some seconds."""
    for found, row in zip(cells(), zoo_table.rows(), strict=True):
        assert found[2] == row.order
