from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from prunus.errors import DataError
from prunus.tasks.datasets.hub import Repository, hub_package, read_repository

REPOSITORY = Repository("someone/stripes", images="img")


class Split:
    """What ``datasets.load_dataset`` returns, as far as it is used."""

    def __init__(self, columns):
        self.columns, self.format = columns, None

    def with_format(self, kind):
        formatted = Split(self.columns)
        formatted.format = kind
        return formatted

    def __getitem__(self, rows):
        assert (self.format, rows) == ("numpy", slice(None))
        return self.columns


def package(pools, **others):
    splits = {
        split: {"img": pool.images, "label": pool.labels.astype(np.int64), **others}
        for split, pool in zip(("train", "test"), pools, strict=True)
    }

    def load_dataset(name, split):
        assert name == REPOSITORY.name
        return Split(splits[split])

    return types.SimpleNamespace(load_dataset=load_dataset)


def test_images_come_from_the_hub_as_they_are(pools):
    for read, written in zip(read_repository(package(pools), REPOSITORY), pools, strict=True):
        assert np.array_equal(read.images, written.images)
        assert np.array_equal(read.labels, written.labels)


@pytest.mark.parametrize("error", [ConnectionError("no route"), FileNotFoundError("gone"), ValueError("no config")])
def test_a_failed_download_says_what_else_to_do(error):
    def load_dataset(name, split):
        raise error

    with pytest.raises(DataError, match=f"{error}; without a network, set PRUNUS_DATA"):
        read_repository(types.SimpleNamespace(load_dataset=load_dataset), REPOSITORY)


def test_a_missing_column_is_named(pools):
    with pytest.raises(DataError, match="no column image: there are img, label"):
        read_repository(package(pools), Repository("someone/stripes"))


@pytest.mark.parametrize("labels", [np.array([-1, 0]), np.array([256]), np.array(["cat"]), np.array([0.5])])
def test_labels_that_are_no_small_integers_are_refused(pools, labels):
    with pytest.raises(DataError, match="must be integers from 0 to 255"):
        read_repository(package(pools, label=labels), REPOSITORY)


def test_a_mere_folder_called_datasets_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "datasets", raising=False)  # another test may have imported it
    assert hub_package() is None


def test_the_package_is_found_where_it_is_installed(tmp_path, monkeypatch):
    (tmp_path / "datasets.py").write_text("here = True")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    found = hub_package()
    monkeypatch.delitem(sys.modules, "datasets")
    assert found.here
