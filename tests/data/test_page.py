# SPDX-License-Identifier: Apache-2.0
"""docs/data.md: its program runs, its table of labels is one, and its names exist."""

import json
import re
from pathlib import Path

from data_files import pixels, png, write_zip

import pydiffcore.data
from pydiffcore.data.labels import read_labels

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_program(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = {f"{place}.png": png(pixels(place, 3, 8, 8)) for place in range(3)}
    write_zip(tmp_path / "photos-64.zip", files, [[name, 1] for name in files])
    names = {}
    exec("".join(blocks("python")), names)
    assert capsys.readouterr().out == "3 (3, 8, 8) 2\n(16, 2) True True\n"
    assert names["batch"].position == 16
    assert names["told"].shape == (4, 9)


def test_table_of_labels():
    (text,) = blocks("json")
    rows = json.loads(text)["labels"]
    labels, classes, faults = read_labels(text, [name for name, _ in rows])
    assert labels == dict(rows)
    assert classes == ("airplane", "automobile")
    assert faults == ()


def test_names():
    for name in (
        "Array",
        "BadImages",
        "Codec",
        "Loader",
        "Numbers",
        "Order",
        "Wrapped",
        "dropped",
        "mirrored",
    ):
        assert name in PAGE
        assert hasattr(pydiffcore.data, name)
