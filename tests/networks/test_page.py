# SPDX-License-Identifier: Apache-2.0
"""docs/networks.md says what is so."""

import inspect
import re
from pathlib import Path

import pytest
import torch

from pydiffcore import networks
from pydiffcore.networks import NETWORKS

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
SIZES = re.findall(r"^\| `(\w+)\((.*?)\)`.*?\| ([\d,]+) \| (?:([\d.]+) M )?\|$", PAGE, re.M)
ARGUMENTS = dict(re.findall(r"^\| `(\w+)` \| (\w+=.*) \|$", PAGE, re.M))


def test_the_tables_are_read():
    assert len(SIZES) == 21
    assert set(ARGUMENTS) == {c.__name__ for c in NETWORKS.values()} - {"NCSNpp"}


@pytest.mark.parametrize(
    ("name", "arguments", "count", "paper"), SIZES, ids=[f"{s[0]}({s[1]})" for s in SIZES]
)
def test_sizes(name, arguments, count, paper):
    with torch.device("meta"):
        network = eval(f"networks.{name}({arguments})", {"networks": networks})
    measured = sum(p.numel() for p in network.parameters())
    assert measured == int(count.replace(",", ""))
    if paper:
        assert abs(measured / (float(paper) * 1e6) - 1) < 0.005


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_and_defaults(name):
    told = eval(f"dict({ARGUMENTS[name].split(';')[0]})", {})
    known = inspect.signature(getattr(networks, name)).parameters
    defaults = {key: parameter.default for key, parameter in known.items()}
    assert defaults.pop("checkpointing", False) is False
    assert told == defaults


def test_names():
    for name, kind in NETWORKS.items():
        assert f"| `{name}` | `{kind.__name__}` |" in PAGE
