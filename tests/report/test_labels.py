from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from prunus.report.labels import moved_apart, wrapped
from prunus.report.line_names import MOST_LINES

boxes = st.lists(st.tuples(st.floats(0, 300), st.floats(5, 40)), min_size=1, max_size=15)


@given(boxes)
def test_labels_never_overlap_and_keep_their_order(items):
    centres, heights = zip(*items, strict=True)
    placed = moved_apart(centres, heights, 300)
    order = sorted(range(len(items)), key=lambda index: (centres[index], index))
    for above, below in itertools.pairwise(order):
        assert placed[above] + heights[above] / 2 <= placed[below] - heights[below] / 2 + 1e-6


@given(boxes)
def test_labels_stay_inside_where_they_fit(items):
    centres, heights = zip(*items, strict=True)
    placed = moved_apart(centres, heights, 300)
    assert all(centre - height / 2 >= -1e-6 for centre, height in zip(placed, heights, strict=True))
    if sum(heights) <= 300:
        assert all(centre + height / 2 <= 300 + 1e-6 for centre, height in zip(placed, heights, strict=True))


def test_labels_with_room_stay_where_they_are():
    assert moved_apart([20.0, 100.0], [10.0, 10.0], 300) == [20.0, 100.0]


def test_two_labels_at_one_place_move_the_same_way():
    assert moved_apart([100.0, 100.0], [20.0, 20.0], 300) == [90.0, 110.0]


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=80), st.integers(4, 40))
def test_what_is_whole_holds_every_character(text, width):
    lines, whole = wrapped(text, width, 3)
    assert len(lines) <= 3
    joined = "".join("".join(lines).split())
    assert whole == (joined == "".join(text.split()))
    assert whole or lines[-1].endswith("…")


def test_words_stay_together_and_long_ones_break():
    assert wrapped("magnitude, layerwise", 12, 3) == (["magnitude,", "layerwise"], True)
    assert wrapped("abcdefgh", 4, 2) == (["abcd", "efgh"], True)


def test_wide_characters_take_two_columns():
    assert wrapped("技術技術", 4, 2) == (["技術", "技術"], True)


def test_what_does_not_fit_ends_in_an_ellipsis():
    assert wrapped("one two three four", 7, 2) == (["one two", "three…"], False)


def test_long_words_are_broken_at_their_hyphens():
    assert wrapped("magnitude-increase-same-sign", 20, 2) == (["magnitude-increase-", "same-sign"], True)
    assert wrapped("a-verylongwordindeed", 10, 3)[0][0] == "a-verylong"


def test_the_demos_longest_name_is_whole_in_the_narrow_chart():
    lines, whole = wrapped("magnitude, global, rate rewound", 10, MOST_LINES)
    assert whole
    assert lines == ["magnitude,", "global,", "rate", "rewound"]
