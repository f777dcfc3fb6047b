# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore dataset``: the same bytes for the same source, and every fault listed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from data_files import odd, pixels, png, write_cifar, write_zip
from PIL import Image

from pydiffcore.data import Array, open_source
from pydiffcore.data.make import Wanted, make
from pydiffcore.data.survey import survey


@pytest.fixture
def folder(tmp_path):
    """Three RGB images of 9×8 and one of 8×6, in two classes."""
    for name, shape in (("a/1", (8, 9)), ("a/2", (8, 9)), ("b/1", (8, 9)), ("b/2", (6, 8))):
        path = tmp_path / "src" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels(len(name) + shape[0], 3, *shape)))
    return tmp_path / "src"


def left_in(path):
    return sorted(entry.name for entry in path.iterdir())


def test_make_and_check(run, folder, tmp_path):
    out = tmp_path / "x.zip"
    code, printed, err = run("dataset", "make", folder, out, "--size", "4", "--crop", "center")
    assert (code, err) == (0, "")
    assert "4 images of 3×4×4, 2 classes\n" in printed
    assert f"SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}" in printed
    source = open_source(out)
    assert (len(source), source.shape, source.class_names) == (4, (3, 4, 4), ("a", "b"))
    assert [source[i][1] for i in range(4)] == [0, 0, 1, 1]
    with zipfile.ZipFile(out) as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos] == [
        *(f"00000/img{number:08d}.png" for number in range(4)), "dataset.json",
    ]  # fmt: skip
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    code, printed, err = run("dataset", "check", out)
    assert (code, err) == (0, "")
    for line in ("4 images", "3×4×4 in 4 images", "2, of 2 to 2 images", "faults       none"):
        assert line in printed
    assert left_in(tmp_path) == ["src", "x.zip"]


def test_same_bytes(run, folder, tmp_path):
    """Whenever it is made, in whatever order the files were written, with any number of threads."""
    outs = [tmp_path / f"{name}.zip" for name in "abc"]
    for number, out in enumerate(outs):
        assert run("dataset", "make", folder, out, "--size", "6x4", "--crop", "center",
                   "--workers", 1 + 2 * number)[0] == 0  # fmt: skip
        for path in sorted(folder.rglob("*.png"), reverse=bool(number % 2)):
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            os.utime(path, (1e9 + number, 1e9))
    assert len({out.read_bytes() for out in outs}) == 1
    assert open_source(outs[0]).shape == (3, 4, 6)


def test_pixels_are_kept(run, tmp_path):
    """Without another size every format comes out as it went in; a zip of a zip is that zip."""
    images, labels = pixels(0, 5, 1, 6, 7), [0, 2, 2, 1, 0]
    np.savez(tmp_path / "x.npz", images=images, labels=np.array(labels))
    assert run("dataset", "make", tmp_path / "x.npz", tmp_path / "x.zip")[0] == 0
    found, read = open_source(tmp_path / "x.zip").read(range(5))
    assert np.array_equal(found.numpy(), images)
    assert read.tolist() == labels
    assert run("dataset", "make", tmp_path / "x.zip", tmp_path / "y.zip")[0] == 0
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()


def test_cifar_and_digits(run, tmp_path):
    batch = {b"data": pixels(0, 3, 3072), b"labels": [2, 0, 1]}
    path = write_cifar(tmp_path / "c.tar.gz", {"data_batch_1": batch, "test_batch": batch})
    code, printed, _ = run("dataset", "make", path, tmp_path / "c.zip", "--split", "test")
    assert (code, "3 images of 3×32×32, 3 classes" in printed) == (0, True)
    images, _ = open_source(tmp_path / "c.zip").read(range(3))
    assert np.array_equal(images.numpy().reshape(3, -1), pixels(0, 3, 3072))
    code, printed, _ = run("dataset", "check", "digits")
    assert (code, "800 images" in printed) == (0, True)


@pytest.mark.parametrize(
    ("size", "crop", "shape"),
    [(None, "center", (8, 8)), ("4", "center", (4, 4)), ("6x3", "center", (3, 6)),
     ("20x16", "none", (16, 20)), (None, "none", (8, 10))],
)  # fmt: skip
def test_sizes(run, tmp_path, size, crop, shape):
    picture = pixels(0, 3, 8, 10)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.png").write_bytes(png(picture))
    arguments = [] if size is None else ["--size", size]
    out = tmp_path / "x.zip"
    assert run("dataset", "make", tmp_path / "src", out, "--crop", crop, *arguments)[0] == 0
    found = open_source(out)[0][0]
    assert found.shape == (3, *shape)
    if size is None:
        assert np.array_equal(found, picture if crop == "none" else picture[:, :, 1:9])
    elif crop == "none":
        expected = Image.fromarray(picture.transpose(1, 2, 0)).resize((20, 16), Image.LANCZOS)
        assert np.array_equal(found.transpose(1, 2, 0), np.asarray(expected))


def test_labels_from_a_file(run, refused, folder, tmp_path):
    table = tmp_path / "l.json"
    rows = [["a/1.png", 5], ["a/2.png", 0], ["b/1.png", 1], ["c.png", 1]]
    table.write_text(json.dumps({"labels": rows}))
    out = tmp_path / "x.zip"
    given = ("dataset", "make", folder, out, "--labels", table)
    assert "b/2.png has no label" in refused(*given)
    code, printed, _ = run(*given, "--skip-corrupt")
    assert code == 0
    assert "3 images of 3×8×9, 6 classes, 2 faults left out" in printed
    assert "c.png is in dataset.json, but there is no such image" in printed
    assert [open_source(out)[i][1] for i in range(3)] == [5, 0, 1]
    table.write_text("{")
    assert f"--labels {table}: dataset.json is no JSON" in refused(*given)
    table.write_text('{"labels": null}')
    assert "say --labels none" in refused(*given)
    code, printed, _ = run("dataset", "make", folder, out, "--labels", "none", "--skip-corrupt")
    assert (code, "3 images of 3×8×9, no labels" in printed) == (0, True)
    assert open_source(out)[0][1] is None


def test_faults(run, refused, folder, tmp_path):
    (folder / "a" / "3.png").write_bytes(b"nothing")
    (folder / "b" / "ü.png").write_bytes(odd("RGBA"))
    out = tmp_path / "x.zip"
    out.write_bytes(b"what was there before")
    message = refused("dataset", "make", folder, out)
    for part in ("3 faults", "a/3.png cannot be read", "b/ü.png has transparent pixels",
                 "b/2.png is 8×6, expected 9×8"):  # fmt: skip
        assert part in message
    assert out.read_bytes() == b"what was there before"
    code, printed, _ = run("dataset", "make", folder, out, "--skip-corrupt")
    assert code == 0
    assert "3 images of 3×8×9, 2 classes, 3 faults left out" in printed
    assert "a/3.png cannot be read" in printed
    code, printed, _ = run("dataset", "check", folder)
    assert code == 1
    assert "faults       3" in printed
    code, printed, _ = run("dataset", "check", folder, "--json")
    facts = json.loads(printed)
    assert code == 1
    assert [fault["name"] for fault in facts["faults"]] == ["a/3.png", "b/2.png", "b/ü.png"]
    code, printed, _ = run("dataset", "make", folder, out, "--convert", "--size", "4", "--crop",
                           "center", "--skip-corrupt")  # fmt: skip
    assert "5 images of 3×4×4, 2 classes, 1 fault left out" in printed


def test_facts(run, tmp_path):
    """Mean and deviation of x0, per channel, against float64."""
    images, labels = pixels(0, 7, 3, 5, 4), np.array([0, 3, 3, 1, 0, 0, 1])
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    run("dataset", "make", tmp_path / "x.npz", tmp_path / "x.zip")
    code, printed, _ = run("dataset", "check", tmp_path / "x.zip", "--json")
    facts = json.loads(printed)
    x0 = images.astype(np.float64) / 127.5 - 1
    assert code == 0
    assert facts["format"] == "pydiffcore dataset 1"
    assert facts["shapes"] == [{"shape": [3, 5, 4], "images": 7}]
    assert (facts["classes"], facts["class_counts"]) == (4, [3, 2, 0, 2])
    np.testing.assert_allclose(facts["mean"], x0.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(facts["std"], x0.std((0, 2, 3)), rtol=1e-12)
    assert survey(Array(images), workers=3).mean == survey(Array(images), workers=1).mean


def test_grey_among_colours(run, tmp_path):
    (tmp_path / "src").mkdir()
    for name, channels in (("a", 1), ("b", 3)):
        (tmp_path / "src" / f"{name}.png").write_bytes(png(pixels(0, channels, 4, 4)))
    assert run("dataset", "make", tmp_path / "src", tmp_path / "x.zip")[0] == 0
    assert open_source(tmp_path / "x.zip").shape == (3, 4, 4)
    facts = survey(open_source(tmp_path / "src").collection)
    assert facts.shapes == {(1, 4, 4): 1, (3, 4, 4): 1}
    assert len(facts.mean) == 3


def test_wrong_tables(run, tmp_path):
    files = {f"{name}.png": png(pixels(0, 1, 4, 4)) for name in "ab"}
    path = write_zip(tmp_path / "x.zip", files, [["a.png", 0], ["b.png", "x"]])
    code, printed, _ = run("dataset", "check", path)
    assert (code, "b.png has the label 'x' in dataset.json" in printed) == (1, True)


def test_bad_input(refused, folder, tmp_path):
    out = tmp_path / "x.zip"
    assert f"there is no file {tmp_path / 'no'}" in refused("dataset", "make", tmp_path / "no", out)
    assert "expected OUT.zip" in refused("dataset", "make", folder, tmp_path / "x.tar")
    assert "there is no folder" in refused("dataset", "make", folder, tmp_path / "no" / "x.zip")
    for size in ("0", "4x", "x", "big", "-3"):
        assert "--size is" in refused("dataset", "make", folder, out, f"--size={size}")
    assert "not of the proportions" in refused("dataset", "make", folder, out, "--size", "4")
    assert "--workers is 0" in refused("dataset", "make", folder, out, "--workers", "0")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    assert "no whole zip file" in refused("dataset", "check", tmp_path / "cut.zip")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refused("dataset", "check", tmp_path / "empty")
    assert "expected a folder" in refused("dataset", "check", __file__)
    assert "required: PART" in refused("dataset")
    assert left_in(tmp_path) == ["cut.zip", "empty", "src"]


def test_progress(run, folder, tmp_path):
    code, _, err = run(
        "dataset", "make", folder, tmp_path / "x.zip", "--skip-corrupt", "--progress"
    )
    assert code == 0
    assert "reading: 100%" in err
    assert "writing: 100%" in err


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_no_half_file(run, folder, tmp_path, monkeypatch, error):
    """Interrupted, or with a full disk, while writing: the old file stays, nothing else does."""
    out = tmp_path / "x.zip"
    out.write_bytes(b"old")
    written = []
    keep = zipfile.ZipFile.writestr

    def writestr(self, *arguments):
        written.append(arguments)
        if len(written) == 2:
            raise error
        return keep(self, *arguments)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)
    code, _, err = run("dataset", "make", folder, out, "--skip-corrupt")
    assert code == (130 if error is KeyboardInterrupt else 2)
    assert err.count("\n") == 1
    assert len(written) == 2
    assert out.read_bytes() == b"old"
    assert left_in(tmp_path) == ["src", "x.zip"]


def test_ctrl_c(tmp_path):
    """A real signal, in the middle of the work."""
    source, out = tmp_path / "x.npy", tmp_path / "x.zip"
    np.save(source, np.broadcast_to(pixels(0, 1, 3, 256, 256), (300, 3, 256, 256)))
    made = subprocess.Popen(
        [sys.executable, "-m", "pydiffcore", "dataset", "make", source, out, "--workers", "2"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(tmp_path.glob(".x.zip.*")):
        assert made.poll() is None
        time.sleep(0.02)
    made.send_signal(signal.SIGINT)
    _, err = made.communicate(timeout=30)
    assert (made.returncode, err) == (130, "pydiffcore: interrupted\n")
    assert left_in(tmp_path) == ["x.npy"]


def test_a_source_that_changes_while_it_is_read(tmp_path, folder):
    """An image that broke between the two passes: no file, and its name."""
    from pydiffcore.data.opening import open_collection

    def breaking(numbers):
        (folder / "a" / "2.png").write_bytes(b"")
        return numbers

    with pytest.raises(ValueError, match=r"a/2\.png cannot be read"):
        make(open_collection(folder), tmp_path / "x.zip", Wanted(skip_corrupt=True), write=breaking)
    assert left_in(tmp_path) == ["src"]
