# SPDX-License-Identifier: Apache-2.0
"""docs/cli.md names the commands and choices that there are."""

import re
from inspect import signature
from pathlib import Path

import pytest

from pydiffcore import samplers
from pydiffcore.cli import names
from pydiffcore.cli.main import parser

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text()


def commands():
    (action,) = [each for each in parser()._actions if each.metavar == "COMMAND"]
    return action.choices


def axes():
    """The names that the page lists for each axis, remarks in brackets left out."""
    rows = re.findall(r"^\| `--(\w+)` \| (.*?) \| `pydiffcore\.(\w+)` \|$", PAGE, re.M)
    for axis, listed, module in rows:
        plain = re.sub(r"\(.*?\)|tabulated:", "", listed)
        yield axis, module, [name.strip() for name in re.split(r"[,;]", plain)]


def test_the_table_has_every_command():
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == sorted(commands())


@pytest.mark.parametrize(
    ("axis", "table"),
    [("levels", names.LEVELS), ("process", names.PROCESSES), ("prediction", names.PREDICTIONS)],
)
def test_the_lists_are_the_program_s_own(axis, table):
    (listed,) = [listed for name, _, listed in axes() if name == axis]
    assert sorted(listed) == sorted(table)


def test_every_sampler_is_on_the_page_that_the_list_leads_to():
    assert re.search(r"^\| `--sampler` .*\(samplers\.md\).*all but `restart`", PAGE, re.M)
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "samplers.md").read_text(), re.M)
    # The page has functions that make samplers as well, or options of one.
    there = {name for name in listed if "denoise" in signature(getattr(samplers, name)).parameters}
    assert {name.replace("-", "_") for name in names.SAMPLERS} == there - {"restart"}
