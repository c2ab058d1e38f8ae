from __future__ import annotations

import numpy as np
import pytest

from prunus.errors import DataError
from prunus.tasks.datasets.npz import read_npz


def write(path, pools, **others):
    (training, test) = pools
    arrays = {"x_train": training.images, "y_train": training.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(path, **{**arrays, **others})
    return path


def test_an_archive_is_read_as_it_was_written(tmp_path, pools):
    for read, written in zip(read_npz(write(tmp_path / "a.npz", pools)), pools, strict=True):
        assert np.array_equal(read.images, written.images)
        assert np.array_equal(read.labels, written.labels)


@pytest.mark.parametrize("kept", [0, 10, 300, -1])
def test_a_truncated_archive_is_refused(tmp_path, pools, kept):
    path = write(tmp_path / "a.npz", pools)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="not a NumPy archive"):
        read_npz(path)


def test_a_flipped_byte_is_refused(tmp_path, pools):
    path = write(tmp_path / "a.npz", pools)
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="not a NumPy archive"):
        read_npz(path)


def test_a_single_array_is_not_an_archive(tmp_path):
    with open(tmp_path / "a.npz", "wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match="not a NumPy archive"):
        read_npz(tmp_path / "a.npz")


def test_a_missing_array_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.zeros(3))
    with pytest.raises(DataError, match="y_train"):
        read_npz(tmp_path / "a.npz")


def test_pickled_objects_are_refused(tmp_path, pools):
    path = write(tmp_path / "a.npz", pools, y_test=np.array([print, len], object))
    with pytest.raises(DataError, match="allow_pickle"):
        read_npz(path)
