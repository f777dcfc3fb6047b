# SPDX-License-Identifier: Apache-2.0
"""CIFAR's archive is read; nothing in it is run."""

import os
import pickle
import pickletools

import numpy as np
import pytest
from data_files import old_pickle, pixels, write_cifar

from pydiffcore.data import open_source
from pydiffcore.data.pickled import read_pickled

NAMES = [b"airplane", b"automobile", b"bird"]


def batch(seed, count=4):
    return {b"data": pixels(seed, count, 3072), b"labels": [(seed + i) % 3 for i in range(count)]}


def archive(path, **more):
    batches = {f"data_batch_{number}": batch(number) for number in range(1, 6)}
    meta = {"batches.meta": {b"label_names": NAMES}}
    return write_cifar(path, {**batches, "test_batch": batch(9), **meta, **more})


def test_both_parts(tmp_path):
    path = archive(tmp_path / "cifar-10-python.tar.gz")
    source = open_source(path)
    assert (len(source), source.shape, source.classes) == (20, (3, 32, 32), 3)
    assert source.class_names == ("airplane", "automobile", "bird")
    picture, label = source[5]
    assert np.array_equal(picture, pixels(2, 4, 3072)[1].reshape(3, 32, 32))
    assert label == 0
    test = open_source(path, split="test")
    assert (len(test), test[3][1]) == (4, 0)
    with pytest.raises(ValueError, match="expected train or test"):
        open_source(path, split="dev")


def test_batches_as_python_2_wrote_them(tmp_path):
    """The opcodes of the real archive: strings are bytes, the array is one BINSTRING."""
    data, labels = pixels(3, 300, 3072), [i % 10 for i in range(300)]
    content = old_pickle(data, labels)
    names = {opcode.name for opcode, _, _ in pickletools.genops(content)}
    assert {"BINSTRING", "SHORT_BINSTRING", "GLOBAL", "REDUCE", "BUILD"} <= names
    assert np.array_equal(pickle.loads(content, encoding="bytes")[b"data"], data)
    source = open_source(write_cifar(tmp_path / "x.tgz", {"data_batch_1": content}))
    images, found = source.read(range(300))
    assert np.array_equal(images.numpy(), data.reshape(-1, 3, 32, 32))
    assert found.tolist() == labels


def test_hundred_classes(tmp_path):
    content = {b"data": pixels(0, 2, 3072), b"fine_labels": [7, 99], b"coarse_labels": [0, 1]}
    source = open_source(write_cifar(tmp_path / "x.tar.gz", {"train": content}))
    assert (source.classes, source[0][1]) == (100, 7)


@pytest.mark.parametrize("protocol", [2, 3])
def test_reader_equals_pickle(protocol):
    data = np.asfortranarray(pixels(0, 3, 5))
    value = {"data": data, "labels": [0, 300, 70000, -1], "none": None, "pair": (1, b"x", True)}
    found = read_pickled(pickle.dumps(value, protocol=protocol))
    assert np.array_equal(found.pop("data"), value.pop("data"))
    assert found == value


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_malicious_pickle_is_refused_and_not_run(tmp_path):
    trap = tmp_path / "trap"
    content = pickle.dumps({b"data": Malicious(trap), b"labels": []}, protocol=2)
    path = archive(tmp_path / "x.tar.gz", data_batch_3=content)
    with pytest.raises(ValueError, match=r"data_batch_3 was not read: it asks for posix\.mkdir"):
        open_source(path)
    assert not trap.exists()
    pickle.loads(content)  # what an ordinary reader would have done
    assert trap.exists()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"data": 1.5}, protocol=2),
        pickle.dumps({"data": np.zeros(3)}, protocol=2),
        pickle.dumps({"data": np.array([{}], object)}, protocol=2),
        pickle.dumps({"data": {1, 2}}, protocol=2),
        pickle.dumps([1], protocol=2),
        pickle.dumps({"data": b"x" * 9}, protocol=4),
        pickle.dumps(batch(0), protocol=2)[:-100],
        b"",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",
        b"\x80\x02}U\x01a\x80\x02e.",
        b"\x80\x02}h\x05.",
        b"\x80\x02.",
        b"\x80\x02}}U\x01aK\x01s\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00ax\x04\x00\x00\x00utf8\x86R.",
    ],
)
def test_anything_else_is_refused(content, tmp_path):
    with pytest.raises(ValueError, match="was not read"):
        open_source(write_cifar(tmp_path / "x.tar.gz", {"data_batch_1": content}))


def test_nested_values_are_not_looked_into():
    """Many tuples in one another: hashing or printing them would exhaust the stack."""
    deep = b"\x80\x02}" + b")" + b"\x85" * 100_000
    for end in (b"K\x01s.", b"cnumpy\ndtype\nh\x00R.", b"."):
        with pytest.raises(ValueError, match="it "):
            read_pickled(deep + end)
    names = pickle.dumps({b"a": [[[]]]}, protocol=2)
    assert read_pickled(names) == {"a": [[[]]]}


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")
def test_damaged_pickles_raise_nothing_else():
    """Any byte changed, any end cut: a dictionary or a ValueError."""
    whole = old_pickle(pixels(0, 256, 2), [1, 2, 3])
    generator = np.random.default_rng(0)
    for _ in range(3000):
        content = bytearray(whole)
        for place in generator.integers(0, 190, 1 + int(generator.integers(3))):
            content[place] = generator.integers(256)
        if generator.random() < 0.2:
            del content[int(generator.integers(len(content))) :]
        try:
            assert isinstance(read_pickled(bytes(content)), dict)
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({b"data": pixels(0, 2, 30), b"labels": [0, 1]}, "no data of the shape"),
        ({b"data": pixels(0, 2, 3072), b"labels": [0]}, "no list of 2 labels"),
        ({b"data": pixels(0, 2, 3072), b"labels": [0, "x"]}, "no list of 2 labels"),
        ({b"data": pixels(0, 2, 3072)}, "no list of 2 labels"),
        ({b"labels": [0]}, "no data of the shape"),
    ],
)
def test_wrong_content(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        open_source(write_cifar(tmp_path / "x.tar.gz", {"data_batch_1": content}))


def test_broken_archives(tmp_path):
    path = archive(tmp_path / "x.tar.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no whole tar archive"):
        open_source(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="no whole tar archive"):
        open_source(path)
    with pytest.raises(ValueError, match="no CIFAR archive"):
        open_source(write_cifar(path, {"other": batch(0)}))


def test_label_beyond_the_names(tmp_path):
    content = {b"data": pixels(0, 1, 3072), b"labels": [3]}
    members = {"data_batch_1": content, "batches.meta": {b"label_names": NAMES}}
    with pytest.raises(ValueError, match="has a label 3, but 3 classes"):
        open_source(write_cifar(tmp_path / "x.tar.gz", members))
