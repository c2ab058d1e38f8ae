from __future__ import annotations

import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import DataError
from prunus.tasks.datasets.cifar_files import read_binary_batches, read_python_batches

COUNT = 3
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def content(number):
    random = np.random.RandomState(number)
    return random.randint(0, 256, (COUNT, 3072)).astype(np.uint8), random.randint(0, 10, COUNT).tolist()


def old_text(text):
    """A Python 2 string as its pickles have it: opcode BINSTRING."""
    return b"T" + struct.pack("<i", len(text)) + text


def python_2_batch(pixels, labels):
    """A batch as CIFAR-10 publishes it, opcode by opcode: Python 2's protocol 2, with NumPy's names of 2009."""
    array_type = (
        b"cnumpy\ndtype\n" + old_text(b"u1") + b"K\x00K\x01\x87R"  # dtype('u1', 0, 1)
        b"(K\x03" + old_text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + old_text(b"b") + b"\x87R"
        b"(K\x01"
        + b"K"
        + bytes([len(pixels)])
        + b"M\x00\x0c\x86"
        + array_type
        + b"\x89"
        + old_text(pixels.tobytes())
        + b"tb"
    )
    label_list = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + old_text(b"data") + array + old_text(b"labels") + label_list + b"u."


def new_batch(pixels, labels):
    """The same batch, pickled again by today's Python and NumPy."""
    return pickle.dumps({b"data": pixels, b"labels": labels})


def write_python(folder, pack=python_2_batch):
    for number, name in enumerate(BATCHES):
        (folder / name).write_bytes(pack(*content(number)))
    return folder / BATCHES[0]


def write_binary(folder):
    for number, name in enumerate(BATCHES):
        pixels, labels = content(number)
        (folder / f"{name}.bin").write_bytes(np.column_stack([np.array(labels, np.uint8), pixels]).tobytes())
    return folder / f"{BATCHES[0]}.bin"


@pytest.mark.parametrize("pack", [python_2_batch, new_batch])
def test_pickled_batches_are_read_as_they_were_written(tmp_path, pack):
    training, test = read_python_batches(write_python(tmp_path, pack))
    pixels, labels = content(1)
    assert training.images.shape == (5 * COUNT, 32, 32, 3)
    assert np.array_equal(training.images[COUNT + 2], pixels[2].reshape(3, 32, 32).transpose(1, 2, 0))
    assert training.labels[COUNT : 2 * COUNT].tolist() == labels
    assert test.labels.tolist() == content(5)[1]


def test_the_hand_made_batch_is_what_an_ordinary_unpickler_reads_too():
    pixels, labels = content(0)
    read = pickle.loads(python_2_batch(pixels, labels).replace(b"numpy.core", b"numpy._core"), encoding="bytes")
    assert np.array_equal(read[b"data"], pixels)
    assert read[b"labels"] == labels


def test_binary_and_pickled_batches_are_the_same_images(tmp_path):
    for pickled, binary in zip(
        read_python_batches(write_python(tmp_path)), read_binary_batches(write_binary(tmp_path)), strict=True
    ):
        assert np.array_equal(pickled.images, binary.images)
        assert np.array_equal(pickled.labels, binary.labels)


@given(cut=st.integers(0, len(python_2_batch(*content(0))) - 1))
def test_a_truncated_pickle_is_refused_wherever_it_ends(tmp_path_factory, cut):
    marker = tmp_path_factory.mktemp("cifar") / BATCHES[0]
    marker.write_bytes(python_2_batch(*content(0))[:cut])
    with pytest.raises(DataError, match="data_batch_1"):
        read_python_batches(marker)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(tmp_path_factory, data):
    marker = tmp_path_factory.mktemp("cifar") / BATCHES[0]
    marker.write_bytes(data)
    with pytest.raises(DataError, match="data_batch_1"):
        read_python_batches(marker)


class Malicious:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_the_system_is_refused_and_not_run(tmp_path, monkeypatch, protocol):
    marker = write_python(tmp_path)
    marker.write_bytes(pickle.dumps(Malicious(), protocol))
    called = []
    monkeypatch.setattr(f"{os.name}.system", called.append)  # the pickle names posix.system, or nt.system
    with pytest.raises(DataError, match=f"it refers to {os.name}.system, which no CIFAR-10 file needs"):
        read_python_batches(marker)
    assert called == []


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {},
        {b"labels": [1]},
        {b"data": b"no array", b"labels": [1]},
        {b"data": np.zeros((1, 3072), np.float32), b"labels": [1]},
        {b"data": np.zeros((3072, 2), np.uint8, order="F"), b"labels": [1, 2]},
        {b"data": np.zeros((1, 3000), np.uint8), b"labels": [1]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [300]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [[1]]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": ["cat"]},
        {b"data": np.dtype("u1"), b"labels": [1]},
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path, batch):
    marker = write_python(tmp_path)
    marker.write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError):
        read_python_batches(marker)


@pytest.mark.parametrize("kept", [1, 3072, 2 * 3073 + 5])
def test_a_truncated_binary_batch_is_refused(tmp_path, kept):
    marker = write_binary(tmp_path)
    marker.write_bytes(marker.read_bytes()[:kept])
    with pytest.raises(DataError, match="truncated"):
        read_binary_batches(marker)


@pytest.mark.parametrize(("write", "read"), [(write_python, read_python_batches), (write_binary, read_binary_batches)])
def test_a_missing_batch_is_named(tmp_path, write, read):
    marker = write(tmp_path)
    next(tmp_path.glob("test_batch*")).unlink()
    with pytest.raises(DataError, match="test_batch"):
        read(marker)
