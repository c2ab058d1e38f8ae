from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from prunus.report.lottery.masks import RecordedMasks
from prunus.report.lottery.pictures import MOST_CELLS, MOST_LAYERS, SHADES, ticket_pictures


class One(RecordedMasks):
    """The masks of one technique."""

    def __init__(self, seeds):
        super().__init__({"t": dict.fromkeys(seeds, "0" * 64)}, None)
        self.seeds = seeds

    def of(self, technique):
        return self.seeds


def pictures(**masks):
    return ticket_pictures("t", One({3: masks}))


def shades(picture):
    """How much of each cell is opaque, as a share of the strongest; every colour is black."""
    kind, _, data = picture.source.partition(",")
    assert kind == "data:image/png;base64"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))
    assert (image[:, :, :3] == 0).all()
    return image[:, :, 3] / 255


def masks(*shape, density=0.3):
    return np.random.default_rng(1).random(shape) < density


def test_a_small_layer_is_drawn_weight_by_weight():
    mask = masks(10, 60)
    [picture] = pictures(**{"fc3.weight": mask}).pictures
    assert (shades(picture) == mask).all()
    assert picture.title == "fc3"
    assert picture.words == (
        f"10 outputs down, 60 inputs across; {100 * mask.mean():.1f}\N{NO-BREAK SPACE}% kept; a cell: one weight; "
        "strongest: 100\N{NO-BREAK SPACE}% kept"
    )
    assert (picture.width, picture.height) == (180, 30)


@pytest.mark.parametrize("shape", [(300, 784), (100, 300), (257, 101), (1, 5000), (101, 1)])
def test_a_cell_of_a_large_layer_is_the_share_that_is_kept_of_its_weights(shape):
    mask = masks(*shape, density=0.1)
    shown = shades(pictures(w=mask).pictures[-1])
    down, across = (-(-size // MOST_CELLS) for size in shape)
    expected = np.array(
        [
            [mask[row : row + down, column : column + across].mean() for column in range(0, shape[1], across)]
            for row in range(0, shape[0], down)
        ]
    )
    assert shown.shape == expected.shape
    assert max(shown.shape) <= MOST_CELLS
    assert np.abs(shown - expected / expected.max()).max() <= 1 / (SHADES - 1) + 1e-9
    assert ((shown > 0) == (expected > 0)).all()  # what is kept never looks like nothing


def test_one_weight_of_many_is_seen_beside_a_full_cell():
    mask = np.zeros((8 * MOST_CELLS, 8 * MOST_CELLS), bool)
    mask[:8, :8] = mask[8, 8] = True
    shown = shades(pictures(w=mask).pictures[-1])
    assert shown[0, 0] == 1
    assert shown[1, 1] == pytest.approx(1 / (SHADES - 1))
    assert np.count_nonzero(shown) == 2


def test_inputs_that_may_be_pixels_are_drawn_as_their_picture():
    mask = np.zeros((5, 64), bool)
    mask[:, 8] = mask[0, 63] = True  # the first pixel of the second row, and the last
    inputs, layer = pictures(**{"fc1.weight": mask, "fc2.weight": masks(3, 64)}).pictures[:2]
    expected = np.zeros((8, 8))
    expected[1, 0], expected[7, 7] = 1, 1 / 5
    assert shades(inputs) == pytest.approx(expected)
    assert inputs.title == "fc1, by input"
    assert inputs.words == "the 64 inputs as 8×8: weights kept of 5 each; strongest: 5"
    assert layer.title == "fc1"


def test_inputs_of_three_planes_are_added():
    mask = np.zeros((4, 3 * 64), bool)
    mask[:, [7, 64 + 7, 128 + 7]] = True
    inputs = pictures(w=mask).pictures[0]
    assert shades(inputs).sum() == shades(inputs)[0, 7] == 1
    assert inputs.words == "the 192 inputs as 8×8, 3 planes added: weights kept of 12 each; strongest: 12"


@pytest.mark.parametrize("shape", [(5, 60), (5, 36), (5, 64, 3, 3)])
def test_other_inputs_are_not(shape):
    assert [picture.title for picture in pictures(w=masks(*shape)).pictures] == ["w"]


def test_a_kernel_is_one_cell():
    mask = np.zeros((4, 3, 3, 3), bool)
    mask[2, 1] = True
    mask[0, 0, 0, :] = True
    [picture] = pictures(**{"conv.weight": mask}).pictures
    expected = np.zeros((4, 3))
    expected[2, 1], expected[0, 0] = 1, 1 / 3
    assert shades(picture) == pytest.approx(expected)
    assert "a cell: one kernel" in picture.words


def test_layers_beyond_the_most_are_counted_and_vectors_left_out():
    many = {f"l{number:02}": masks(4, 5) for number in range(MOST_LAYERS + 3)}
    found = pictures(**many, bias=np.ones(4, bool))
    assert [picture.title for picture in found.pictures] == [f"l{number:02}" for number in range(MOST_LAYERS)]
    assert (found.more, found.seed) == (3, 3)
    assert pictures(bias=np.ones(4, bool)) is None
    assert ticket_pictures("t", One({})) is None


def test_a_layer_of_which_nothing_is_kept_is_empty():
    assert shades(pictures(w=np.zeros((4, 5), bool)).pictures[0]).max() == 0


def test_the_first_seed_is_drawn():
    seeds = {4: {"w": np.ones((2, 3), bool)}, 1: {"w": np.eye(2, 3, dtype=bool)}}
    found = ticket_pictures("t", One(seeds))
    assert found.seed == 1
    assert (shades(found.pictures[0]) == np.eye(2, 3)).all()


def test_a_picture_of_a_large_layer_is_a_few_kilobytes():
    assert len(pictures(w=masks(300, 784)).pictures[-1].source) < 8_000
