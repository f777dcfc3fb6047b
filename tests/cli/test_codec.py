# SPDX-License-Identifier: Apache-2.0
"""Images become latents, a network learns them, its samples become images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pydantic")
pytest.importorskip("diffusers", reason="diffusers is not installed")

from pydiffcore.adapters.autoencoder import KLCodec
from pydiffcore.data import open_source
from pydiffcore.train import load_model

SMALL = [
    "--set", "network.name=ddpmpp", "--set", "data.workers=0",
    "--set", "network.options={width=16, multipliers=[1, 1], blocks=1, attention=[4]}",
    "--set", "optimiser.batch=8", "--set", "run.images=32", "--set", "run.log_every=2",
    "--set", "run.samples=6", "--set", "run.sample_steps=3", "--set", "run.sample_every=2",
]  # fmt: skip
N = 11


def autoencoder(scale):
    import diffusers

    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, scaling_factor=scale,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with images, two codecs, and the latents of one."""
    from pydiffcore.cli.main import main

    folder = tmp_path_factory.mktemp("latents")
    autoencoder(0.5).save_pretrained(folder / "vae")
    autoencoder(0.3).save_pretrained(folder / "pipeline" / "vae")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 3, 16, 16), np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.arange(N) % 3)
    arguments = ["encode", folder / "images.npz", folder / "z.npz", "--codec", folder / "vae"]
    assert main(["dataset", *map(str, arguments), "--batch", "4"]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(made):
    """The folder of a training on the latents with a codec."""
    from pydiffcore.cli.main import main

    sets = ["--data", str(made / "z.npz"), "--set", f"data.codec={made / 'vae'}"]
    assert main(["train", *SMALL, *sets, "--out", str(made / "run")]) == 0
    return made / "run"


def test_the_file_has_latents_labels_and_what_made_them(made):
    codec = KLCodec.open(made / "vae")
    with np.load(made / "images.npz") as given:
        images, labels = torch.from_numpy(given["images"]), given["labels"]
    with np.load(made / "z.npz", allow_pickle=False) as content:
        z, about = torch.from_numpy(content["x"]), json.loads(str(content["codec"]))
        assert np.array_equal(content["labels"], labels)
    torch.testing.assert_close(z, codec.encode(images), rtol=1e-4, atol=1e-5)
    assert about == {
        "name": str(made / "vae"), "scale": 0.5, "shift": 0.0, "seed": None, "images": [3, 16, 16],
    }  # fmt: skip
    source = open_source(made / "z.npz")
    assert (source.shape, source.classes, source.codec) == ((4, 8, 8), 3, about)


def test_draws_from_the_posterior_by_a_seed(run, made, tmp_path):
    files = []
    for name, seed, batch in (("a", 1, 4), ("b", 1, 16), ("c", 2, 4)):
        files.append(tmp_path / f"{name}.npz")
        code, _, err = run(
            "dataset", "encode", made / "images.npz", files[-1], "--codec", made / "vae", "--seed",
            seed, "--batch", batch,
        )  # fmt: skip
        assert (code, err) == (0, "")
    a, b, c = (torch.from_numpy(np.load(file)["x"]) for file in files)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert (a - c).abs().mean() > 1e-4


def test_a_codec_inside_a_pipeline_and_half_precision(run, made, tmp_path):
    code, said, _ = run(
        "dataset", "encode", made / "images.npz", tmp_path / "z.npz", "--codec", made / "pipeline",
        "--dtype", "float16",
    )  # fmt: skip
    assert code == 0
    assert "11 latents of 4×8×8, 3 classes" in said
    assert "scale 0.3" in said
    assert np.load(tmp_path / "z.npz")["x"].dtype == np.float16


def test_grids_are_decoded(trained):
    names = sorted(path.name for path in trained.glob("*.png"))
    assert names == ["samples-00000002.png", "samples-00000004.png", "samples.png"]
    with Image.open(trained / "samples.png") as image:
        assert image.mode == "RGB"
        assert image.size == (3 * 18 + 2, 2 * 18 + 2)  # a column for each class
        assert np.asarray(image)[2:-2].std() > 0


@pytest.mark.parametrize("given", [(), ("--codec", "vae")])
def test_samples_are_decoded_and_replayed(run, place, made, trained, given):
    named = [str(made / each) if each == "vae" else each for each in given]
    short = [trained, "--steps", "3", "--seeds", "0-3", *named]
    assert run("sample", *short, "--out", "x.npz")[0] == 0
    with np.load("x.npz") as content:
        pixels = content["samples"]
    assert (pixels.dtype, pixels.shape) == (np.uint8, (4, 3, 16, 16))
    latents = [trained, "--steps", "3", "--seeds", "0-3", "--codec", "none", "--out", "z.npz"]
    assert run("sample", *latents)[0] == 0
    z = torch.from_numpy(np.load("z.npz")["samples"])
    assert z.shape == (4, 4, 8, 8)
    assert np.array_equal(KLCodec.open(made / "vae").decode(z).numpy(), pixels)
    assert run("sample", *short, "--out", "x.png", "--zoom", "1", "--columns", "2")[0] == 0
    with Image.open("x.png") as image:
        grid = np.asarray(image)
    assert np.array_equal(grid[2:18, 2:18], pixels[0].transpose(1, 2, 0))
    for name in ("x.npz", "z.npz", "x.png"):
        code, said, _ = run("replay", name)
        assert (code, "identical" in said) == (0, True), said


def test_without_a_codec_grids_are_skipped_and_that_is_said_once(run, made, tmp_path):
    code, said, _ = run("train", *SMALL, "--data", made / "z.npz", "--out", tmp_path / "run")
    assert code == 0
    assert said.count("grids        none: samples of (4, 8, 8) are no images") == 1
    assert f"data.codec={made / 'vae'} decodes" in said
    assert not list((tmp_path / "run").glob("*.png"))
    assert load_model(tmp_path / "run").shape == (4, 8, 8)


def test_a_codec_may_be_named_when_a_training_goes_on(run, made, tmp_path):
    out = ["--data", made / "z.npz", "--out", tmp_path / "run"]
    assert run("train", *SMALL, *out)[0] == 0
    code, said, _ = run("train", *SMALL, *out, "--set", f"data.codec={made / 'vae'}")
    assert (code, "nothing to do" in said) == (0, True)
    assert (tmp_path / "run" / "samples.png").exists()


def test_refusals(refused, made, trained, tmp_path):
    images, vae, out = made / "images.npz", made / "vae", tmp_path / "z.npz"
    encode = ["dataset", "encode", images]
    assert "expected OUT.npz" in refused(*encode, "z.zip", "--codec", vae)
    assert "--seed is -1" in refused(*encode, out, "--codec", vae, "--seed=-1")
    assert "--batch is 0" in refused(*encode, out, "--codec", vae, "--batch", "0")
    latents = refused("dataset", "encode", made / "z.npz", out, "--codec", vae)
    assert "expected images in uint8" in latents
    odd = tmp_path / "odd.npy"
    np.save(odd, np.zeros((2, 3, 7, 8), np.uint8))
    assert "expected multiples of 2" in refused("dataset", "encode", odd, out, "--codec", vae)
    train = ["train", *SMALL, "--out", tmp_path / "run", "--set"]
    assert "holds no latents" in refused(*train, f"data.codec={vae}", "--data", "digits")
    other = refused(*train, f"data.codec={made / 'pipeline'}", "--data", made / "z.npz")
    assert "with scale 0.3, but the latents were made with 0.5" in other
    few = refused("sample", trained, "--codec", "none", "--out", tmp_path / "x.png")
    assert "are no images of 1 or 3 channels" in few
