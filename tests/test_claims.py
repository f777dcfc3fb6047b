# SPDX-License-Identifier: Apache-2.0
"""The command that writes docs/claims.md."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from cases import CASES

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.claims.claim import Figure

command = importlib.import_module("benchmarks.claims.__main__")
PAGE = (Path(__file__).parents[1] / "docs" / "claims.md").read_text()


@pytest.fixture
def rerun(tmp_path, monkeypatch):
    """Run one script of ``core`` that gives these figures: (exit status, document)."""
    document = tmp_path / "claims.md"
    document.write_text(PAGE)
    monkeypatch.setattr(command, "DOCUMENT", document)

    def rerun(held, figures):
        monkeypatch.setattr(command, "run", lambda *_: (held, figures, 1.0))
        monkeypatch.setattr(sys, "argv", ["claims", "core", "quickstart"])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code, document.read_text()

    return rerun


def test_the_page_is_what_the_command_writes():
    assert command.document(command.parts_of(PAGE)) == PAGE


def test_trajectory_errors_are_of_every_deterministic_sampler():
    page = (Path(__file__).parents[1] / "docs" / "trajectory_error.md").read_text()
    names = {case.sampler.__name__ for case in CASES if case.order is not None}
    assert set(re.findall(r"^\| (\w+)\(", page, re.MULTILINE)) == names


@pytest.mark.parametrize("held", [False, True])
def test_a_script_without_a_figure_leaves_its_section(rerun, capsys, held):
    code, text = rerun(held, [])
    assert (code, text) == (1, PAGE)
    assert "quickstart ended without a figure" in capsys.readouterr().out


def test_figures_replace_their_own_section_alone(rerun):
    code, text = rerun(False, [Figure("one", 2.0, "<= 1")])
    assert code == 1
    before, after = command.parts_of(PAGE), command.parts_of(text)
    assert {key for key in before if before[key] != after[key]} == {("core", "quickstart")}
    assert "| one | 2 | ≤ 1 | **short**  |" in after["core", "quickstart"]
