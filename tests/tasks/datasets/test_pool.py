from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=20), st.randoms())
def test_the_canonical_order_does_not_depend_on_the_order_that_came(rows, random):
    shuffled = random.sample(rows, len(rows))
    pools = [
        Pool(
            np.array([[[pixel, 0]] for pixel, _ in order], np.uint8), np.array([label for _, label in order], np.uint8)
        ).in_canonical_order()
        for order in (rows, shuffled)
    ]
    assert np.array_equal(pools[0].images, pools[1].images)
    assert np.array_equal(pools[0].labels, pools[1].labels)
    assert sorted(zip(pools[0].images[:, 0, 0].tolist(), pools[0].labels.tolist(), strict=True)) == sorted(rows)


def test_memory_layout_does_not_matter_to_the_canonical_order():
    images = np.random.RandomState(0).randint(0, 256, (9, 3, 4, 4)).astype(np.uint8).transpose(0, 2, 3, 1)
    labels = np.zeros(9, np.uint8)
    once, again = Pool(images, labels), Pool(np.ascontiguousarray(images), labels)
    assert np.array_equal(once.in_canonical_order().images, again.in_canonical_order().images)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (np.zeros((2, 3, 3)), np.zeros(2, np.uint8), "images must be uint8"),
        (np.zeros((2, 3), np.uint8), np.zeros(2, np.uint8), "3 or 4 dimensions"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 1), np.uint8), "labels must be uint8 with 1 dimensions"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros(3, np.uint8), "2 images and 3 labels"),
        (np.zeros((0, 3, 3), np.uint8), np.zeros(0, np.uint8), "at least one"),
    ],
)
def test_malformed_images_are_refused(images, labels, says):
    with pytest.raises(DataError, match=says):
        Pool(images, labels)
