# SPDX-License-Identifier: Apache-2.0
"""The page on RES4LYF's menu: every name once, every call of ours makes a plan."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from pydiffcore import levels, samplers, trace
from pydiffcore.samplers import exponential_tableau

PAGE = (Path(__file__).parents[1] / "docs" / "res4lyf.md").read_text()
ROWS = re.findall(r"^\| `([^`]+)` \| (\w+) \| (.*) \|$", PAGE, re.M)
OURS = [(name, text) for name, verdict, text in ROWS if verdict == "ours"]


class Bound(dict):
    """Names of samplers give partial functions, so that a call on the page is evaluated."""

    def __missing__(self, name):
        found = getattr(samplers, name, None) or getattr(exponential_tableau, name)
        return functools.partial(functools.partial, found) if name in SAMPLERS else found


SAMPLERS = {name for name, v in vars(samplers).items() if callable(v) and not name[0].isupper()}


def test_every_name_is_there_once():
    names = [name for name, _, _ in ROWS]
    assert len(names) == len(set(names)) == 118
    assert {verdict for _, verdict, _ in ROWS} == {"ours", "table", "function", "refused"}
    assert all(text.strip() for _, _, text in ROWS)


@pytest.mark.parametrize(("name", "text"), OURS, ids=[name for name, _ in OURS])
def test_ours_is_a_call_that_works(name, text):
    call = re.match(r"`([^`]+)`", text)
    assert call, f"{name}: no call"
    sampler = eval(call[1], {"__builtins__": {}}, Bound())
    given = levels.exponential(12, sigma_min=0.1, sigma_max=10.0)
    plan = trace(sampler, given)
    assert plan.x0_error.max() <= 1e-12
    assert np.abs(plan.noise_ratio - 1).max() <= 1e-12
    assert plan.nfe >= len(given)


def test_other_names_on_the_page_exist():
    menu = {name for name, _, _ in ROWS}
    for name in re.findall(r"`(\w+)`", PAGE):
        assert name in menu or hasattr(samplers, name) or name in ("eta", "φ"), name
