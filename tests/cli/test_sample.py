# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore sample`` draws what the library draws, and writes it in three forms."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.cli.pictures import grid, to_pixels
from pydiffcore.cli.sample import classes_of, seeds_of, shape_of
from pydiffcore.cli.source import Source
from pydiffcore.train import load_model

SHORT = ("--steps", "3", "--sampler", "euler")


def samples_in(path):
    with np.load(path) as content:
        return torch.from_numpy(content["samples"])


def test_checkpoint(run, checkpoint, tmp_path):
    """Seeds, classes and guidance reach the library as they are."""
    out = tmp_path / "x.npz"
    code, text, err = run(
        "sample", checkpoint, "--seeds", "0-3,9", "--class", "2,0", "--guidance", "1.5",
        "--guidance-interval", "0.1,20", "--batch", "2", "--out", out, *SHORT,
    )  # fmt: skip
    assert (code, err) == (0, "")
    model = load_model(checkpoint / "model")
    plan = pydiffcore.trace(samplers.euler, levels.karras(3), prediction.edm(0.5))
    guidance = pydiffcore.Guidance(1.5, {"class_labels": None}, (0.1, 20.0))
    labels = torch.tensor([2, 0, 2, 0, 2])
    denoiser = pydiffcore.Denoiser(
        model.network, model.prediction, {"class_labels": labels}, guidance
    )
    seeds = [0, 1, 2, 3, 9]
    expected = pydiffcore.sample(denoiser, plan, shape=(1, 8, 8), seeds=seeds, batch=2)
    assert torch.equal(samples_in(out), expected)
    assert plan.hash[:16] in text
    with np.load(out) as content:
        assert content["seeds"].tolist() == seeds
        assert content["classes"].tolist() == labels.tolist()


def test_classes_in_turn(run, checkpoint, tmp_path):
    run("sample", checkpoint, "--seeds", "0-4", "--out", tmp_path / "x.npz", *SHORT)
    with np.load(tmp_path / "x.npz") as content:
        assert content["classes"].tolist() == [0, 1, 2, 0, 1]


def test_no_classes(run, checkpoint, tmp_path):
    run("sample", checkpoint, "--class", "none", "--out", tmp_path / "x.npz", *SHORT)
    with np.load(tmp_path / "x.npz") as content:
        assert "classes" not in content.files


@pytest.mark.parametrize("given", ["", "model", "model.json", "model.safetensors"])
def test_every_way_to_name_a_checkpoint(run, checkpoint, tmp_path, given):
    code, _, _ = run("sample", checkpoint / given, "--out", tmp_path / "x.png", *SHORT)
    assert code == 0


def test_grid(run, place):
    code, out, _ = run(
        "sample", "--network", "mine:D", "--shape", "1,4,4", "--seeds", "0-5", "--columns", "4",
        "--zoom", "3", "--out", "x.png", *SHORT,
    )  # fmt: skip
    assert code == 0
    assert "6 images in x.png" in out
    plan = pydiffcore.trace(samplers.euler, levels.karras(3))
    x = pydiffcore.sample(
        lambda x, sigma: x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2),
        plan, shape=(1, 4, 4), seeds=range(6),
    )  # fmt: skip
    with Image.open(place / "x.png") as image:
        assert image.size == (4 * (12 + 2) + 2, 2 * (12 + 2) + 2)
        assert np.array_equal(np.asarray(image), grid(to_pixels(x), 4, 3))


def test_metadata(run, place):
    run(
        "sample", "--network", "mine:denoiser", "--shape", "1,8,8", "--seeds", "5,7", "--class",
        "3", "--guidance", "2", "--out", "x.png", *SHORT,
    )  # fmt: skip
    with Image.open(place / "x.png") as image:
        image.load()
        texts = dict(image.info)
    drawing, plan = json.loads(texts["pydiffcore"]), json.loads(texts["pydiffcore-plan"])
    assert drawing["seeds"] == [5, 7]
    assert drawing["classes"] == [3, 3]
    assert drawing["guidance"] == 2
    assert drawing["network"]["function"] == "mine:denoiser"
    assert len(drawing["network"]["sha256"]) == 64
    assert drawing["made_with"]["torch"] == torch.__version__
    assert drawing["plan_hash"] == plan["hash"]
    assert plan["prediction"] == "edm(sigma_data=0.7)"


def test_folder(run, place):
    code, _, _ = run(
        "sample", "--network", "mine:D", "--shape", "3,4,4", "--seeds", "1,20-29", "--out", "f/",
        *SHORT,
    )  # fmt: skip
    assert code == 0
    names = sorted(path.name for path in (place / "f").iterdir())
    assert names[0] == "00_seed1.png"
    assert names[-1] == "10_seed29.png"
    assert len(names) == 11
    with Image.open(place / "f" / names[0]) as image:
        assert (image.size, image.mode) == ((4, 4), "RGB")


def test_network_with_a_prediction(run, place):
    """A function that returns a raw network is read as --prediction says."""
    code, _, _ = run(
        "sample", "--network", "mine:network", "--shape", "1,8,8", "--prediction", "eps",
        "--process", "ddpm", "--levels", "trailing", "--out", "x.npz", *SHORT,
    )  # fmt: skip
    assert code == 0
    import mine  # the fixture's module

    ddpm = pydiffcore.process.discrete(pydiffcore.process.linear_betas())
    plan = pydiffcore.trace(samplers.euler, levels.trailing(3, ddpm), prediction.eps(ddpm))
    denoiser = pydiffcore.Denoiser(mine.network(), prediction.eps(ddpm))
    expected = pydiffcore.sample(denoiser, plan, shape=(1, 8, 8), seeds=range(16))
    assert torch.equal(samples_in(place / "x.npz"), expected)


def test_saved_plan(run, place):
    run("plan", "--sampler", "heun", "--steps", "4", "--save", "plan.json")
    code, out, _ = run(
        "sample", "--network", "mine:D", "--shape", "1,4,4", "--plan", "plan.json", "--out", "x.npz"
    )
    assert code == 0
    assert pydiffcore.Plan.load("plan.json").hash[:16] in out


def test_float64_and_reference(run, place):
    common = ("sample", "--network", "mine:D", "--shape", "5", "--dtype", "float64", *SHORT)
    # D of the module is for images; a function of any shape:
    (place / "mine.py").write_text("def D(x, sigma):\n    return 0.5 * x\n")
    for backend in ("native", "reference"):
        assert run(*common, "--backend", backend, "--out", f"{backend}.npz")[0] == 0
    a, b = samples_in(place / "native.npz"), samples_in(place / "reference.npz")
    assert a.dtype == torch.float64
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "a checkpoint, or --network"),
        (["x", "--network", "mine:D"], "expected one of"),
        (["nothing"], "there is no such checkpoint"),
        (["--network", "mine"], "expected module:function"),
        (["--network", "nomodule:f"], "No module named 'nomodule'"),
        (["--network", "mine:nothing"], "mine has no 'nothing'"),
        (["--network", "mine:number"], "gave int, expected a network"),
        (["--network", "mine:D"], "--shape is missing"),
        (["--network", "mine:D", "--shape", "1,0,4"], "--shape is '1,0,4'"),
        (["--network", "mine:D", "--shape", "a"], "--shape is 'a'"),
        (["--network", "mine:one", "--shape", "1,4,4"], "output, has shape (1, 1, 4"),
        (["--network", "mine:D", "--shape", "1,4,4", "--seeds", "-3"], "--seeds is '-3'"),
        (["--network", "mine:D", "--shape", "1,4,4", "--seeds", "5-3"], "--seeds holds '5-3'"),
        (["--network", "mine:D", "--shape", "1,4,4", "--batch", "0"], "--batch is 0"),
        (["--network", "mine:D", "--shape", "1,4,4", "--class", "1"], "takes no argument class_l"),
        (["--network", "mine:D", "--shape", "1,4,4", "--guidance", "2"], "--guidance needs class"),
        (["--network", "mine:D", "--shape", "1,4,4", "--out", "x.gif"], "--out is x.gif"),
        (["--network", "mine:D", "--shape", "5,4,4"], "are no images of 1 or 3 channels"),
        (["--network", "mine:D", "--shape", "1,4,4", "--range", "1,1"], "--range is '1,1'"),
        (["--network", "mine:D", "--shape", "1,4,4", "--zoom", "0"], "--zoom is 0"),
        (["--network", "mine:D", "--shape", "1,4,4", "--device", "tpu"], "tpu"),
        (["--network", "mine:network", "--shape", "1,4,4", "--class", "-1"], "--class is '-1'"),
        (["--network", "mine:network", "--shape", "1,4,4", "--class", "two"], "--class is 'two'"),
        (
            ["--network", "mine:denoiser", "--shape", "1,4,4", "--prediction", "edm"],
            "the network's own is edm(sigma_data=0.7)",
        ),
    ],
)
def test_bad_input(refused, place, arguments, words):
    assert words in refused("sample", *arguments)
    assert not (place / "samples.png").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda(refused, place):
    line = refused("sample", "--network", "mine:D", "--shape", "1,4,4", "--device", "cuda")
    assert "torch finds no CUDA device" in line


def test_class_out_of_range(refused, checkpoint):
    assert "classes below 3" in refused("sample", checkpoint, "--class", "3")


def test_damaged_checkpoint(refused, checkpoint, tmp_path):
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes()[:-5])
    assert "truncated or altered" in refused("sample", tmp_path)


def test_directory_without_checkpoint(refused, tmp_path):
    assert "(none)" in refused("sample", tmp_path)


def test_missing_package(refused, place, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    line = refused("sample", "--network", "mine:D", "--shape", "1,4,4", *SHORT)
    assert "pip install 'pydiffcore[digits]'" in line


def test_lists():
    assert seeds_of("3,5-7,18446744073709551615") == (3, 5, 6, 7, 2**64 - 1)
    source = Source(lambda x, sigma: x, (1, 8, 8), 3, {})
    assert shape_of(None, source) == (1, 8, 8)
    assert shape_of("16,7", source) == (16, 7)
    assert classes_of("1,2", source, 5) == (1, 2, 1, 2, 1)
    assert classes_of(None, Source(source.model, None, None, {}), 5) is None
