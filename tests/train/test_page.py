# SPDX-License-Identifier: Apache-2.0
"""docs/training.md names what there is, and its code runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from pydiffcore.train import laws, weights
from pydiffcore.train.presets import PRESETS

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
DATA = 0.5


def rows(heading):
    """The cells of the first table below a heading."""
    lines = PAGE.partition(f"\n## {heading}")[2].partition("|---")[2].splitlines()[1:]
    lines = lines[: lines.index("") if "" in lines else None]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]


def names(heading):
    return [row[0].strip("`") for row in rows(heading)]


def test_every_law_and_weighting_is_there():
    assert set(names("Laws")) == set(laws.__all__) - {"Law", "shifted", "stratified"}
    assert set(names("Weightings")) == set(weights.__all__) - {"Weight", "on_output"}


@pytest.mark.parametrize("name", ["unit_eps", "snr", "snr_plus_one", "truncated_snr", "p2", "flow"])
def test_formulas_of_weightings(name):
    """The first formula of a cell, with the defaults of the function."""
    cell = dict(zip(names("Weightings"), (row[1] for row in rows("Weightings")), strict=True))
    formula = re.search(r"`([^`]*)`", cell[name])[1].replace("^", "**").replace("²", "**2")
    sigma = np.geomspace(0.01, 100, 9)
    scope = {"σ": sigma, "snr": 1 / sigma**2, "max": np.maximum, "k": 1.0, "γ": 1.0}
    expected = eval(formula, scope)
    np.testing.assert_allclose(getattr(weights, name)()(sigma), expected, rtol=1e-12)


def test_presets():
    found = {row[0].strip("`"): [cell.strip("`") for cell in row[1:]] for row in rows("Presets")}
    made = {}
    for name, cell in PRESETS.items():
        parts = (cell.process, cell.prediction, cell.weight, cell.law)
        made[name] = [part.name.partition("(")[0] for part in parts]
        made[name] += [cell.loss, cell.network, cell.sampler]
    assert found == made


def test_losses_exist():
    for row in rows("Losses"):
        module, _, name = row[0].strip("`").partition(".")
        if name:
            imported = __import__(f"pydiffcore.train.{module}", fromlist=[name])
            assert callable(getattr(imported, name))


def test_code_runs(capsys):
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(code, {})
    vectors, cell, plans = capsys.readouterr().out.splitlines()
    assert vectors == "10 2"
    assert cell.endswith("torch.Size([8])")
    assert plans == "250 20"
