from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from prunus.errors import DataError
from prunus.tasks.datasets.strips import read_strips

NAMES = [*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"]


@pytest.fixture
def folder(tmp_path):
    """Strips of four random images each, and their labels."""
    random = np.random.RandomState(0)
    for name in NAMES:
        Image.fromarray(random.randint(0, 256, (4, 1024, 3)).astype(np.uint8)).save(tmp_path / name)
    (tmp_path / "train_lables.json").write_text(json.dumps(list(range(10)) * 2))
    (tmp_path / "test_lables.json").write_text("[9, 8, 7, 6]")
    return tmp_path


def test_a_row_of_a_strip_is_an_image(folder):
    training, test = read_strips(folder / NAMES[0])
    second_strip = np.asarray(Image.open(folder / NAMES[1]))
    assert training.images.shape == (20, 32, 32, 3)
    assert np.array_equal(training.images[5], second_strip[1].reshape(32, 32, 3))
    assert training.labels.tolist() == list(range(10)) * 2
    assert test.labels.tolist() == [9, 8, 7, 6]


@pytest.mark.parametrize("kept", [0, 20, 60, 5000])
def test_a_truncated_strip_is_refused(folder, kept):
    path = folder / NAMES[3]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="data_batch_4"):
        read_strips(folder / NAMES[0])


def test_a_missing_strip_is_named(folder):
    (folder / "test_batch.png").unlink()
    with pytest.raises(DataError, match=r"test_batch\.png"):
        read_strips(folder / NAMES[0])


@pytest.mark.parametrize("image", [Image.new("RGB", (100, 4)), Image.new("L", (1024, 4))])
def test_a_picture_of_another_kind_is_refused(folder, image):
    image.save(folder / NAMES[0])
    with pytest.raises(DataError, match="must be an RGB image 1024 pixels wide"):
        read_strips(folder / NAMES[0])


@pytest.mark.parametrize("text", ["", "[1, 2", "{}", "[1, 2, 3, 10]", '["a"]', "[1.5]", "[true]"])
def test_malformed_labels_are_refused(folder, text):
    (folder / "test_lables.json").write_text(text)
    with pytest.raises(DataError, match=r"test_lables\.json"):
        read_strips(folder / NAMES[0])
