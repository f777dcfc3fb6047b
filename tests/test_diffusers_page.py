# SPDX-License-Identifier: Apache-2.0
"""The page docs/diffusers.md: its code runs in order and prints what it shows."""

import contextlib
import io
import re
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own
TEXT = (Path(__file__).parents[1] / "docs" / "diffusers.md").read_text()


@pytest.fixture(scope="module")
def page(one_thread):
    """What the page prints."""
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S):
            exec(code, names)
    return printed.getvalue()


def test_the_page_prints_what_it_shows(page):
    shown = "".join(re.findall(r"^```text\n(.*?)^```$", TEXT, re.M | re.S))
    assert page == shown


def test_the_page_names_every_class():
    from pydiffcore.adapters.diffusers import FAMILIES

    listed = re.findall(r"`(\w+Scheduler)`", TEXT[TEXT.index("## Which") : TEXT.index("## What d")])
    assert sorted(listed) == sorted(FAMILIES)
    assert f"has {len(FAMILIES)} of diffusers' schedulers" in TEXT
