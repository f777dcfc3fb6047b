# SPDX-License-Identifier: Apache-2.0
import errno
import json
import os

import pytest
import torch

from pydiffcore.train import load, save

pytest.importorskip("safetensors", reason="checkpoints are safetensors")

TENSORS = {
    "weight": torch.linspace(-1, 1, 300).view(30, 10),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "step": torch.tensor(7),
    "empty": torch.zeros(0, 3),
}
META = {"recipe": {"rate": 0.1}, "name": "größer"}


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "model", TENSORS, META)
    return tmp_path / "model"


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_round_trip(path):
    tensors, meta = load(path)
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_two_files_and_nothing_else(path):
    assert files(path) == ["model.json", "model.safetensors"]
    save(path, TENSORS, META)
    assert files(path) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_either_file_names_it(path, ending):
    assert load(path.with_suffix(ending))[1] == META


def test_names_with_dots_are_kept(tmp_path):
    save(tmp_path / "run.v2", TENSORS, META)
    assert files(tmp_path / "run.v2") == ["run.v2.json", "run.v2.safetensors"]
    assert load(tmp_path / "run.v2")[1] == META


def test_strided_tensors_are_kept(tmp_path):
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    save(tmp_path / "x", {"image": image, "every second": torch.arange(10)[::2]}, {})
    tensors, _ = load(tmp_path / "x")
    assert torch.equal(tensors["image"], image)
    assert tensors["every second"].tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_truncated(path, ending, share):
    file = path.with_suffix(ending)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(ValueError, match=rf"model\{ending} .*truncated or altered"):
        load(path)


def test_altered_tensors(path):
    file = path.with_suffix(".safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"SHA-256 .* truncated or altered"):
        load(path)


def test_altered_json(path):
    file = path.with_suffix(".json")
    file.write_text(file.read_text().replace("0.1", "0.2"))
    with pytest.raises(ValueError, match=r"digest .* altered"):
        load(path)


@pytest.mark.parametrize(("key", "value"), [("format", "other"), ("version", 99)])
def test_other_formats(path, key, value):
    file = path.with_suffix(".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ValueError, match=key):
        load(path)


def test_json_of_something_else(path):
    path.with_suffix(".json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="not a checkpoint"):
        load(path)


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_missing(path, ending):
    path.with_suffix(ending).unlink()
    with pytest.raises(FileNotFoundError, match=rf"model\{ending}"):
        load(path)


def test_meta_that_json_cannot_hold(path):
    with pytest.raises((TypeError, ValueError)):
        save(path, {}, {"rate": float("nan")})
    assert load(path)[1] == META


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("failing", [1, 2])
def test_killed_between_any_two_steps_leaves_the_former_one(path, monkeypatch, failing, links):
    """The disk refuses the first or the second rename: the old checkpoint must still load.

    A file system without hard links has a copy in their place, whose rename is not counted.
    """
    calls = []
    replace = os.replace

    def refuse(source, target):
        if ".previous." not in str(target):
            calls.append(target)
        if len(calls) == failing:
            raise OSError("no")
        replace(source, target)

    def no_links(source, target):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", no_links)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        save(path, {"weight": torch.zeros(2)}, {"new": True})
    tensors, meta = load(path)
    assert meta == META
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    calls.clear()
    with pytest.raises(OSError, match="no"):  # and once more, on what the first one left
        save(path, {"weight": torch.full((2,), 3.0)}, {"new": True})
    assert torch.equal(load(path)[0]["weight"], TENSORS["weight"])
    monkeypatch.undo()
    save(path, {"weight": torch.ones(2)}, {"new": True})
    assert load(path)[1] == {"new": True}
    assert files(path) == ["model.json", "model.safetensors"]
