# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore replay``: what was drawn is drawn again, from the picture alone."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from pydiffcore.cli.pictures import COMPRESSED_LIMIT
from pydiffcore.cli.source import is_local

HEUN = ("--sampler", "heun:churn=8", "--steps", "4")


@pytest.mark.parametrize("form", ["x.png", "x.npz"])
def test_round_trip(run, checkpoint, tmp_path, monkeypatch, form):
    """A stochastic, guided, batched drawing from a checkpoint."""
    monkeypatch.chdir(tmp_path)
    run(
        "sample", checkpoint, "--seeds", "3-9", "--batch", "3", "--guidance", "1.5", "--class",
        "0,2", "--out", form, *HEUN,
    )  # fmt: skip
    code, out, err = run("replay", form, "--out", f"again_{form}")
    assert (code, err) == (0, "")
    assert f"{form}: identical" in out
    first, again = (tmp_path / name for name in (form, f"again_{form}"))
    if form.endswith("png"):
        with Image.open(first) as a, Image.open(again) as b:
            assert np.array_equal(np.asarray(a), np.asarray(b))
            assert a.info == b.info
    else:
        with np.load(first) as a, np.load(again) as b:
            assert np.array_equal(a["samples"], b["samples"])


def test_user_network(run, place):
    run(
        "sample", "--network", "mine:network", "--shape", "1,8,8", "--prediction", "v",
        "--process", "vp", "--seeds", "0-3", "--out", "x.png", *HEUN,
    )  # fmt: skip
    assert run("replay", "x.png")[:2] == (0, "x.png: identical, every value\n")


def test_one_image_of_a_folder(run, place):
    """It is drawn again in the batch that it was in."""
    run(
        "sample", "--network", "mine:denoiser", "--shape", "1,8,8", "--seeds", "0-7", "--batch",
        "3", "--class", "0,1", "--out", "f/", *HEUN,
    )  # fmt: skip
    for name in ("1_seed1.png", "4_seed4.png", "7_seed7.png"):
        assert run("replay", place / "f" / name)[0] == 0


def test_long_plan(run, place, monkeypatch):
    """A plan that exceeds what PNG readers decompress is written as it is."""
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", COMPRESSED_LIMIT)
    common = ("--network", "mine:D", "--shape", "1,2,2", "--seeds", "0", "--out", "x.png")
    run("sample", *common, "--sampler", "lms", "--levels", "exponential", "--steps", "1500")
    with Image.open(place / "x.png") as image:
        image.load()
        assert len(image.info["pydiffcore-plan"]) > COMPRESSED_LIMIT
    assert run("replay", "x.png")[0] == 0


def test_show(run, place):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", *HEUN)
    code, out, _ = run("replay", "samples.png", "--show")
    assert code == 0
    assert out.startswith("heun(churn=8.0) on karras(n=4")
    assert '"function": "mine:D"' in out


def test_another_picture_is_noticed(run, place):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", *HEUN)
    with Image.open("samples.png") as image:
        image.load()
        pixels, texts = np.array(image), dict(image.info)
    pixels[5, 5] ^= 1
    metadata = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        metadata.add_itxt(key, text)
    Image.fromarray(pixels).save("samples.png", pnginfo=metadata)
    code, out, _ = run("replay", "samples.png")
    assert code == 1
    assert f"1 of {pixels.size} values differ, by up to 1" in out
    assert "are those of then" in out


def test_another_network_is_noticed(run, checkpoint, place):
    run("sample", "--network", "mine:D", "--shape", "1,8,8", *HEUN)
    text = (place / "mine.py").read_text().replace("(1 + sigma", "(2 + sigma")
    (place / "mine.py").write_text(text)
    __import__("sys").modules.pop("mine")
    shutil.rmtree(place / "__pycache__", ignore_errors=True)
    code, out, _ = run("replay", "samples.png")
    assert code == 1
    assert "its SHA-256 differs" in out


def test_moved_checkpoint(run, refused, checkpoint, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(checkpoint, here)
    image = tmp_path / "x.png"
    run("sample", here, "--out", image, *HEUN)
    here.rename(there)
    assert "there is no such checkpoint" in refused("replay", image)
    assert run("replay", image, "--checkpoint", there)[0] == 0


def test_a_picture_cannot_run_code_from_elsewhere(run, refused, place, monkeypatch):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", *HEUN)
    with Image.open("samples.png") as image:
        image.load()
        pixels, texts = np.array(image), dict(image.info)
    metadata = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        metadata.add_itxt(key, text.replace("mine:D", "os:getcwd"))
    Image.fromarray(pixels).save("samples.png", pnginfo=metadata)
    assert "give --network os:getcwd if you trust it" in refused("replay", "samples.png")
    assert run("replay", "samples.png", "--network", "mine:D")[0] == 0
    assert "not both" in refused(
        "replay", "samples.png", "--network", "mine:D", "--checkpoint", "x"
    )


def test_is_local(place):
    assert is_local("mine:D")
    assert not is_local("os:getcwd")
    assert not is_local("nothing.here:f")
    assert not is_local(":f")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda(run, refused, place):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", *HEUN)
    assert "no CUDA device" in refused("replay", "samples.png", "--device", "cuda")


def test_files_that_say_nothing(refused, tmp_path):
    bare = tmp_path / "bare.png"
    Image.fromarray(np.zeros((4, 4), "u1")).save(bare)
    assert "nothing says how to draw it" in refused("replay", bare)
    np.savez(tmp_path / "bare.npz", samples=np.zeros(3))
    assert "nothing says how to draw it" in refused("replay", tmp_path / "bare.npz")
    assert "there is no file" in refused("replay", tmp_path / "none.png")
    (tmp_path / "x.txt").write_text("x")
    assert "expected a .png or .npz" in refused("replay", tmp_path / "x.txt")


@pytest.mark.parametrize("form", ["x.png", "x.npz"])
def test_truncated(run, refused, place, form):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", "--out", form, *HEUN)
    content = (place / form).read_bytes()
    for share in (0.3, 0.6, 0.9):
        (place / form).write_bytes(content[: int(share * len(content))])
        assert form in refused("replay", form)


def test_altered_plan(run, refused, place):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", *HEUN)
    with Image.open("samples.png") as image:
        image.load()
        pixels, texts = np.array(image), dict(image.info)
    metadata = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        metadata.add_itxt(key, text.replace('"sigma_init": 80.0', '"sigma_init": 81.0'))
    Image.fromarray(pixels).save("samples.png", pnginfo=metadata)
    assert "the plan in samples.png is damaged" in refused("replay", "samples.png")


def test_another_kind_of_file(run, refused, place):
    run("sample", "--network", "mine:D", "--shape", "1,4,4", *HEUN)
    assert "expected the kind of file" in refused("replay", "samples.png", "--out", "x.npz")
