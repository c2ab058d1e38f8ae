from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import DataError
from prunus.tasks.datasets.idx import read_idx, read_idx_folder


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_folder(folder, pools, suffix):
    folder.mkdir(exist_ok=True)
    pack = gzip.compress if suffix else bytes
    for stem, pool in zip(("train", "t10k"), pools, strict=True):
        (folder / f"{stem}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(pool.images)))
        (folder / f"{stem}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(pool.labels)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_is_read_as_it_was_written(tmp_path, pools, suffix):
    write_folder(tmp_path, pools, suffix)
    for read, written in zip(read_idx_folder(tmp_path / "marker"), pools, strict=True):
        assert np.array_equal(read.images, written.images)
        assert np.array_equal(read.labels, written.labels)


@given(cut=st.integers(0, 16 + 2 * 3 * 3 - 1))
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("idx") / "images"
    path.write_bytes(idx(np.zeros((2, 3, 3)))[:cut])
    with pytest.raises(DataError, match="fetch it again"):
        read_idx(path, dimensions=3)


def test_bytes_too_many_are_refused(tmp_path):
    (tmp_path / "images").write_bytes(idx(np.zeros((2, 3, 3))) + b"\0")
    with pytest.raises(DataError, match="announces 18 bytes but holds 19"):
        read_idx(tmp_path / "images", dimensions=3)


def test_labels_are_not_images(tmp_path):
    (tmp_path / "labels").write_bytes(idx(np.zeros(30)))
    with pytest.raises(DataError, match="not an IDX file of bytes with 3 dimensions"):
        read_idx(tmp_path / "labels", dimensions=3)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"plain" + data, lambda data: data[:20]])
def test_a_damaged_gzip_is_refused(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx(np.random.RandomState(0).randint(0, 256, (9, 8, 8))))))
    with pytest.raises(DataError, match="cannot read"):
        read_idx(path, dimensions=3)


def test_a_flipped_byte_in_a_gzip_is_refused(tmp_path):
    data = bytearray(gzip.compress(idx(np.random.RandomState(0).randint(0, 256, (9, 8, 8)))))
    data[200] ^= 1
    (tmp_path / "images.gz").write_bytes(bytes(data))
    with pytest.raises(DataError, match="cannot read"):
        read_idx(tmp_path / "images.gz", dimensions=3)


def test_a_missing_file_is_named(tmp_path, pools):
    write_folder(tmp_path, pools, "")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is missing"):
        read_idx_folder(tmp_path / "marker")
