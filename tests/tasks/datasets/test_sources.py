from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool
from prunus.tasks.datasets.sources import load_images


def write(folder, pools):
    training, test = pools
    np.savez(
        folder / "stripes.npz",
        x_train=training.images,
        y_train=training.labels,
        x_test=test.images,
        y_test=test.labels,
    )


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def assert_same(one, other):
    for name, examples in one.splits().items():
        assert torch.equal(examples.inputs, other.splits()[name].inputs)
        assert torch.equal(examples.targets, other.splits()[name].targets)


def test_validation_comes_from_the_training_images_and_test_stays_its_own(tmp_path, source, pools, no_data):
    write(tmp_path, pools)
    data = load_images(source, tmp_path)
    assert tuple(map(len, data.splits().values())) == (30, 10, 10)

    def pixels(inputs):
        return sorted(tuple(image.flatten().tolist()) for image in ((inputs * 0.25 + 0.5) * 255).round().int())

    assert pixels(data.test.inputs) == sorted(map(tuple, pools[1].images.reshape(10, -1).tolist()))
    both = torch.cat([data.train.inputs, data.validation.inputs])
    assert pixels(both) == sorted(map(tuple, pools[0].images.reshape(40, -1).tolist()))
    assert data.validation.targets.bincount().tolist() == [5, 5]


def test_splits_do_not_depend_on_layout_order_or_source(tmp_path, monkeypatch, source, pools, no_data):
    for name in ("one", "two", "two/raw"):
        (tmp_path / name).mkdir()
    write(tmp_path / "one", pools)
    shuffled = [pool.take(np.random.RandomState(1).permutation(len(pool))) for pool in pools]
    for stem, pool in zip(("train", "t10k"), shuffled, strict=True):
        (tmp_path / f"two/raw/{stem}-images-idx3-ubyte").write_bytes(idx(pool.images))
        (tmp_path / f"two/raw/{stem}-labels-idx1-ubyte").write_bytes(idx(pool.labels))
    first = load_images(source, tmp_path / "one")
    assert_same(first, load_images(source, tmp_path / "two"))
    monkeypatch.setattr("prunus.tasks.datasets.sources.hub_package", lambda: "package")
    monkeypatch.setattr("prunus.tasks.datasets.sources.read_repository", lambda package, repository: tuple(shuffled))
    assert_same(first, load_images(source, None))


def test_the_environment_may_name_several_folders(tmp_path, monkeypatch, source, pools, no_data):
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    write(tmp_path / "full", pools)
    monkeypatch.setenv("PRUNUS_DATA", f"{tmp_path / 'empty'}{os.pathsep}{tmp_path / 'full'}")
    assert load_images(source, None).name == "stripes"


def test_the_argument_is_looked_at_instead_of_the_environment(tmp_path, monkeypatch, source, pools, no_data):
    (tmp_path / "empty").mkdir()
    write(tmp_path, pools)
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path))
    with pytest.raises(DataError, match="was not found"):
        load_images(source, tmp_path / "empty")


def test_what_is_missing_is_told_with_both_ways_to_get_it(tmp_path, source, no_data):
    with pytest.raises(DataError) as caught:
        load_images(source, tmp_path)
    assert str(caught.value) == (
        f"the data set 'stripes' was not found (searched {tmp_path}). Either set PRUNUS_DATA to a folder that holds "
        "one of stripes.npz, raw/train-images-idx3-ubyte*; or let Hugging Face fetch it: pip install 'prunus[hf]'"
    )


def test_a_data_set_of_another_size_is_refused(tmp_path, source, pools, no_data):
    write(tmp_path, (pools[0].take(np.arange(39)), pools[1]))
    with pytest.raises(DataError, match="'stripes' must have 40 training images, found 39"):
        load_images(source, tmp_path)
    write(tmp_path, (pools[0], pools[0]))
    with pytest.raises(DataError, match="'stripes' must have 10 test images, found 40"):
        load_images(source, tmp_path)


def test_a_class_missing_from_the_test_split_is_refused(tmp_path, source, pools, no_data):
    write(tmp_path, (pools[0], Pool(pools[1].images, np.zeros(10, np.uint8))))
    with pytest.raises(DataError, match="class 'odd' is missing from the test split"):
        load_images(source, tmp_path)


def test_a_label_without_a_class_is_refused(tmp_path, source, pools, no_data):
    write(tmp_path, (pools[0], Pool(pools[1].images, np.full(10, 2, np.uint8))))
    with pytest.raises(DataError, match="target 2"):
        load_images(source, tmp_path)
