# SPDX-License-Identifier: Apache-2.0
"""Every format, read back to the bit; everything that is wrong, listed."""

import json
import zipfile

import numpy as np
import pytest
import torch
from data_files import odd, pixels, png, write_zip
from PIL import Image

from pydiffcore.data import Array, BadImages, Source, Wrapped, open_source


def same(source, expected, labels):
    """A source holds exactly these images and labels, read one by one and in a batch."""
    assert isinstance(source, Source)
    assert len(source) == len(expected)
    assert source.shape == expected.shape[1:]
    for index, picture in enumerate(expected):
        found, label = source[index]
        assert found.dtype == np.uint8
        assert np.array_equal(found, picture)
        assert label == (None if labels is None else labels[index])
    places = [len(expected) - 1, 0, 0]
    images, found = source.read(places)
    assert images.dtype == torch.uint8
    assert np.array_equal(images.numpy(), expected[places])
    if labels is None:
        assert found is None
        assert source.classes == 0
    else:
        assert found.dtype == torch.int64
        assert found.tolist() == [labels[place] for place in places]
        assert source.classes == max(labels) + 1
    with pytest.raises(IndexError):
        source[len(expected)]


def test_folder_of_classes(classes_folder):
    source = open_source(classes_folder)
    grey = [np.repeat(pixels(seed, 1, 8, 8), 3, axis=0) for seed in (5, 6)]
    colour = [pixels(seed, 3, 8, 8) for seed in (0, 1, 10, 11)]
    expected = np.stack([colour[0], colour[1], grey[0], colour[2], colour[3], grey[1]])
    same(source, expected, [0, 0, 0, 1, 1, 1])
    assert source.class_names == ("ähre", "猫")


def test_flat_folder_has_no_labels(tmp_path):
    for place in range(3):
        (tmp_path / f"{place}.png").write_bytes(png(pixels(place, 1, 5, 7)))
    expected = np.stack([pixels(place, 1, 5, 7) for place in range(3)])
    same(open_source(str(tmp_path)), expected, None)


def test_folder_with_a_table(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(pixels(ord(name), 3, 4, 4)))
    table = {"labels": [["b.png", 0], ["a.png", 2]], "classes": ["x", "y", "z"]}
    (tmp_path / "dataset.json").write_text(json.dumps(table))
    source = open_source(tmp_path)
    same(source, np.stack([pixels(ord(name), 3, 4, 4) for name in "ab"]), [2, 0])
    assert source.class_names == ("x", "y", "z")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("labels", [None, [1, 0]])
def test_zip(tmp_path, method, labels):
    import io

    array = io.BytesIO()
    np.save(array, pixels(2, 3, 6, 6))
    files = {"00000/img0.png": png(pixels(1, 3, 6, 6)), "00000/img1.npy": array.getvalue()}
    rows = labels and [[name, label] for name, label in zip(files, labels, strict=True)]
    path = write_zip(tmp_path / "x.zip", files, rows, method)
    same(open_source(path), np.stack([pixels(1, 3, 6, 6), pixels(2, 3, 6, 6)]), labels)


@pytest.mark.parametrize(
    "shape", [(5, 1, 6, 6), (5, 6, 6, 1), (5, 6, 6), (5, 7, 4, 3), (5, 3, 7, 4)]
)
def test_arrays(tmp_path, shape):
    images, labels = pixels(0, *shape), np.array([0, 2, 1, 1, 0])
    if len(shape) == 3:
        expected = images[:, None]
    else:
        expected = images.transpose(0, 3, 1, 2) if shape[1] not in (1, 3) else images
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    np.savez_compressed(tmp_path / "y.npz", images, labels)
    same(open_source(images), expected, None)
    same(open_source(torch.from_numpy(images)), expected, None)
    same(open_source(tmp_path / "x.npy"), expected, None)
    same(open_source(tmp_path / "x.npz"), expected, [0, 2, 1, 1, 0])
    same(open_source(tmp_path / "y.npz"), expected, [0, 2, 1, 1, 0])
    same(Array(images, labels.tolist()), expected, [0, 2, 1, 1, 0])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 1, 4, 4), np.float32), None, "float32, expected uint8"),
        (np.zeros((2, 5, 4, 4), np.uint8), None, "expected .* with 1 or 3 channels"),
        (np.zeros((0, 1, 4, 4), np.uint8), None, "no images"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0], "labels of the shape"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0.0, 1.0], "expected whole numbers"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0, -1], "label -1"),
    ],
)
def test_arrays_that_are_none(images, labels, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Array(images, labels)


def test_digits_are_those_that_training_uses():
    from pydiffcore.train.digits import load

    part = load().diffusion
    source = open_source("digits")
    images, labels = source.read(range(len(source)))
    assert torch.equal(images, part.images)
    assert torch.equal(labels, part.labels)
    assert (source.shape, source.classes, len(source)) == ((1, 8, 8), 10, 800)


def test_source_is_returned_as_it_is():
    source = Array(pixels(0, 2, 1, 4, 4))
    assert open_source(source) is source


class Vision:
    """As torchvision: items (image, label), a list of classes."""

    classes = ("a", "b")

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_objects_of_other_libraries():
    pictures = np.stack([pixels(seed, 3, 4, 4) for seed in range(3)])
    pil = [Image.fromarray(picture.transpose(1, 2, 0)) for picture in pictures]
    same(open_source(Vision([(pil[0], 0), (pil[1], 1), (pil[2], 1)])), pictures, [0, 1, 1])
    rows = [{"img": picture, "label": np.int64(1)} for picture in pictures]
    source = open_source(Vision(rows))
    same(source, pictures, [1, 1, 1])
    assert source.class_names == ("a", "b")
    own = [{"scan": torch.from_numpy(picture), "kind": 0} for picture in pictures]
    with pytest.raises(BadImages, match="item 0 has no image: its keys are scan, kind"):
        open_source(Vision(own))
    from pydiffcore.data.checked import checked

    same(checked(Wrapped(own, image="scan", label="kind")), pictures, [0, 0, 0])
    same(open_source(list(pictures)), pictures, None)


def test_objects_refused():
    with pytest.raises(BadImages, match="float32, expected uint8: take off the transform"):
        open_source(Vision([(torch.zeros(3, 4, 4), 0)]))
    with pytest.raises(BadImages, match="item 1 has the label 'cat'"):
        open_source(Vision([(pixels(0, 4, 4), 0), (pixels(0, 4, 4), "cat")]))
    with pytest.raises(TypeError, match="expected a path, an array"):
        open_source(3)


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("RGBA", "transparent"), ("LA", "transparent"), ("I;16", "8 bits"), ("RGB;16", "8 bits"),
        ("CMYK", "is a CMYK image"),
    ],
)  # fmt: skip
def test_odd_images(tmp_path, mode, why):
    """Refused with the reason, converted when asked, left out when asked."""
    (tmp_path / "a.png").write_bytes(png(pixels(0, 3, 8, 8)))
    (tmp_path / "b.tif").write_bytes(odd(mode))
    with pytest.raises(BadImages, match=f"1 fault: b.tif .*{why}"):
        open_source(tmp_path)
    source = open_source(tmp_path, skip_corrupt=True)
    assert (len(source), [fault.name for fault in source.left_out]) == (1, ["b.tif"])
    source = open_source(tmp_path, convert=True)
    assert (len(source), source.shape, source.left_out) == (2, (3, 8, 8), ())


def test_what_conversion_makes(tmp_path):
    from pydiffcore.data.picture import decoded

    assert np.array_equal(decoded(odd("I;16"), "x.png", convert=True)[0], pixels(1, 8, 8))
    deep = decoded(odd("RGB;16"), "x.png", convert=True)
    assert np.array_equal(deep.transpose(1, 2, 0), pixels(1, 8, 8, 3))
    clear = png(np.concatenate([pixels(0, 3, 4, 4), np.zeros((1, 4, 4), np.uint8)]))
    assert (decoded(clear, "x.png", convert=True) == 255).all()


def test_lossless_kinds_are_taken(tmp_path):
    """An opaque alpha channel, palettes and black and white hold nothing that would be lost."""
    from pydiffcore.data.picture import decoded

    picture = pixels(0, 3, 4, 4)
    opaque = np.concatenate([picture, np.full((1, 4, 4), 255, np.uint8)])
    assert np.array_equal(decoded(png(opaque), "x.png"), picture)
    few = Image.fromarray(picture.transpose(1, 2, 0)).quantize(4)
    few.save(tmp_path / "p.png")
    found = decoded((tmp_path / "p.png").read_bytes(), "p.png")
    assert np.array_equal(found.transpose(1, 2, 0), np.asarray(few.convert("RGB")))
    bits = Image.fromarray(picture[0]).convert("1")
    bits.save(tmp_path / "b.png")
    assert set(np.unique(decoded((tmp_path / "b.png").read_bytes(), "b.png"))) <= {0, 255}


def test_orientation(tmp_path):
    image = Image.fromarray(pixels(0, 6, 4, 3))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    for verify in (True, False):
        source = open_source(tmp_path, verify=verify)
        assert source.shape == (3, 4, 6)
    upright = np.rot90(np.asarray(image), -1).transpose(2, 0, 1)
    assert np.array_equal(source[0][0], upright)


def test_every_fault_is_listed(tmp_path):
    for place in range(4):
        (tmp_path / f"{place}.png").write_bytes(png(pixels(place, 3, 8, 8)))
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "4.jpg").write_bytes(b"")
    (tmp_path / "5.png").write_bytes(png(pixels(0, 3, 8, 9)))
    with pytest.raises(BadImages) as caught:
        open_source(tmp_path)
    assert [fault.name for fault in caught.value.faults] == ["3.png", "4.jpg", "5.png"]
    assert "5.png is 9×8, expected 8×8 as the others" in str(caught.value)
    source = open_source(tmp_path, skip_corrupt=True)
    assert (len(source), len(source.left_out)) == (3, 3)
    assert np.array_equal(source[2][0], pixels(2, 3, 8, 8))


def test_damage_that_only_the_reader_meets(tmp_path):
    """Heads alone do not show it; then the image is named when it is read."""
    for place in range(2):
        (tmp_path / f"{place}.png").write_bytes(png(pixels(place, 3, 8, 8)))
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    source = open_source(tmp_path, verify=False)
    assert len(source) == 2
    with pytest.raises(ValueError, match=r"1\.png cannot be read"):
        source.read([0, 1])
    (tmp_path / "1.png").unlink()
    with pytest.raises(ValueError, match=r"1\.png cannot be read: No such file"):
        source.read([1])
    (tmp_path / "0.png").write_bytes(png(pixels(0, 3, 9, 8)))
    with pytest.raises(ValueError, match=r"0\.png has the shape"):
        source.read([0])


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([["a.png", 0]], "b.png has no label"),
        ([["a.png", 0], ["b.png", -1]], "b.png has the label -1"),
        ([["a.png", 0], ["b.png", 1.5]], "b.png has the label 1.5"),
        ([["a.png", 0], ["b.png", True]], "b.png has the label True"),
        ([["a.png", 0], ["b.png", 1], ["c.png", 1]], "c.png is in dataset.json, but"),
        ([["a.png", 0], ["b.png", 1], ["b.png", 1]], "b.png is in dataset.json more than once"),
        ([["a.png", 0], ["b.png", 1], ["b.png"]], "dataset.json has the row 2"),
        (7, "no list of labels"),
    ],
)
def test_wrong_labels(tmp_path, labels, why):
    files = {f"{name}.png": png(pixels(0, 1, 4, 4)) for name in "ab"}
    with pytest.raises(ValueError, match=why):
        open_source(write_zip(tmp_path / "x.zip", files, labels))


def test_images_without_a_label_are_left_out(tmp_path):
    files = {f"{name}.png": png(pixels(ord(name), 1, 4, 4)) for name in "ab"}
    path = write_zip(tmp_path / "x.zip", files, [["b.png", 3]])
    source = open_source(path, skip_corrupt=True)
    assert (len(source), source.classes, source[0][1]) == (1, 4, 3)


def test_table_that_is_no_json(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": png(pixels(0, 1, 4, 4)), "dataset.json": b"{"})
    with pytest.raises(ValueError, match=r"x\.zip: dataset.json is no JSON of the form"):
        open_source(path)


def test_broken_archives(tmp_path):
    files = {f"{place}.png": png(pixels(place, 3, 16, 16)) for place in range(3)}
    path = write_zip(tmp_path / "x.zip", files)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no whole zip file"):
        open_source(path)
    place = whole.index(files["1.png"]) + 60
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(BadImages, match=r"1 fault: 1\.png is damaged: its CRC"):
        open_source(path)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match="no whole zip file"):
        open_source(path)


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        open_source(tmp_path / "empty")
    with pytest.raises(ValueError, match="holds no images"):
        open_source(write_zip(tmp_path / "x.zip", {"a.txt": b""}))
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "missing")
    (tmp_path / "x.rar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a folder, \.zip"):
        open_source(tmp_path / "x.rar")
    for name, content in (("x.npy", b"\x93NUMPY"), ("x.npz", b"PK"), ("y.npy", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            open_source(tmp_path / name)
    np.savez(tmp_path / "z.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="no array called images"):
        open_source(tmp_path / "z.npz")


def test_one_image(tmp_path):
    (tmp_path / "einzig.png").write_bytes(png(pixels(0, 3, 1, 1)))
    same(open_source(tmp_path), pixels(0, 3, 1, 1)[None], None)


def test_pickled_objects_in_numpy_files_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(
        ValueError, match=r"x.npy is no whole NumPy file of numbers: .*Python objects"
    ):
        open_source(tmp_path / "x.npy")
