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


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A working directory with trainings, as ``pydiffcore train`` leaves them."""
    pytest.importorskip("safetensors")
    pytest.importorskip("sklearn")
    from pydiffcore.data import Numbers, open_source
    from pydiffcore.train import run as runs
    from pydiffcore.train.config import configured
    from pydiffcore.train.model import save_trained

    monkeypatch.chdir(tmp_path)
    small = "network.options={width=16, multipliers=[1, 1], blocks=1, attention=[4]}"
    config = configured(overrides=[small, "optimiser.batch=8", "run.images=16", "data.workers=0"])
    folder = Path("runs", "photos")
    save_trained(folder / "model", runs.run(config, open_source("digits"), folder).trainer)
    small = ["network.name=unet1d", "network.options={widths=[8, 8], embedding=8}"]
    config = configured(preset="ddpm", overrides=[*small, "optimiser.batch=8", "run.images=16"])
    rng, folder = np.random.default_rng(0), Path("runs", "policy")
    source = Numbers(rng.normal(size=(20, 8, 2)), observations=rng.normal(size=(20, 2)))
    trainer = runs.run(config, source, folder).trainer
    save_trained(folder / "model", trainer)
    small = ["network.name=mlp", "network.options={width=8, depth=1}", "data.workers=0"]
    wide = 'averages={a={kind="power", width=0.05}, b={kind="power", width=0.1}}'
    often = ["optimiser.batch=8", "run.images=256", "run.save_every=2"]
    config = configured(overrides=[*small, *often, wide])
    runs.run(config, Numbers(rng.normal(size=(20, 2))), Path("runs", "averaged"))


@pytest.mark.usefixtures("trained")
def test_code_runs(capsys):
    scopes = []
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        scopes.append({})
        exec(code, scopes[-1])
    sampled, policy, vectors, *widths, first, second, third, drawn, plans = (
        capsys.readouterr().out.splitlines()
    )
    assert sampled == "20 16 torch.uint8"
    assert scopes[0]["labels"].tolist() == [*range(10), *range(6)]
    assert policy == "10 (3, 8, 2)"
    assert vectors == "10 2"
    assert widths == [f"{width}, step 32, 32 snapshots, True" for width in (0.07, 0.15)]
    steps = first, second, third
    assert [step.split(",")[0] for step in steps] == ["step 0", "step 1", "step 2"]
    assert len({step.split(",")[1] for step in steps}) == 3  # no levels twice
    assert drawn == "torch.Size([4, 3, 16, 16])"
    assert scopes[4]["drawn"].isfinite().all()
    assert not scopes[4]["drawn"].requires_grad
    assert plans == "250 20"
