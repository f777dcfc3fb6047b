# SPDX-License-Identifier: Apache-2.0
"""The page docs/levels.md: its code runs, prints what it shows, and names every function."""

import contextlib
import io
import re
from pathlib import Path

from pydiffcore import levels, process

PAGE = (Path(__file__).parents[2] / "docs" / "levels.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_code_prints_what_the_page_shows():
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in blocks("python"):
            exec(code, names)
    assert printed.getvalue() == "".join(blocks("text"))
    assert names["found"].name.startswith("optimal(n=5, sampler=heun")
    assert names["report"].local.shape == (5,)


def test_every_function_is_on_the_page():
    functions = {*levels.__all__, *process.__all__}
    internal = {"Levels", "Truncation", "Curve", "Process", "iddpm_levels"}
    missing = {name for name in functions - internal if not re.search(rf"\b{name}\b", PAGE)}
    assert not missing
