from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import ArgumentError, TargetError
from prunus.masks.pattern_names import read_pattern
from prunus.masks.patterns import Block, KeepOf, Row, Weight, parse_pattern

shapes = st.lists(st.integers(1, 5), max_size=4)


def group_of_each_weight(pattern, shape):
    """The definition: the group of the weight at (output, input), input counted row-major."""
    outputs, inputs = math.prod(shape[:1]), math.prod(shape[1:])
    match pattern:
        case Weight():
            return [o * inputs + i for o in range(outputs) for i in range(inputs)]
        case Row():
            return [o for o in range(outputs) for _ in range(inputs)]
        case Block():
            across = math.ceil(inputs / pattern.columns)
            return [o // pattern.rows * across + i // pattern.columns for o in range(outputs) for i in range(inputs)]


groupings = st.one_of(
    st.just(Weight()), st.just(Row()), st.builds(Block, rows=st.integers(1, 6), columns=st.integers(1, 6))
)


@given(groupings, shapes)
def test_groups_are_those_of_the_definition(pattern, shape):
    values = torch.arange(1.0, math.prod(shape) + 1).reshape(shape)
    groups = group_of_each_weight(pattern, shape)
    totals = [0.0] * (max(groups) + 1)
    for group, value in zip(groups, values.reshape(-1).tolist(), strict=True):
        totals[group] += value
    assert pattern.totals(values).tolist() == totals
    numbered = pattern.spread(torch.arange(len(totals)), values.shape)
    assert numbered.shape == values.shape
    assert numbered.reshape(-1).tolist() == groups
    sizes = pattern.sizes(values.shape)
    assert (sizes.tolist() if sizes is not None else [1] * len(totals)) == [groups.count(g) for g in range(len(totals))]


def test_a_ragged_edge_makes_smaller_blocks():
    assert Block(2, 3).sizes(torch.Size([3, 4])).tolist() == [6, 2, 3, 1]


few_values = st.sampled_from([0.0, 1.0, 2.0])


@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 4), st.data())
def test_exactly_n_of_each_m_stay_and_of_equal_scores_the_first(rows, groups, of, data):
    keep = data.draw(st.integers(1, of - 1))
    count = rows * groups * of
    scores = torch.tensor(data.draw(st.lists(few_values, min_size=count, max_size=count)))
    mask = KeepOf(keep, of).select("w", scores.reshape(rows, groups, of))
    expected = []
    for start in range(0, count, of):
        best = sorted(range(start, start + of), key=lambda index: (-scores[index], index))[:keep]
        expected += [index in best for index in range(start, start + of)]
    assert mask.reshape(-1).tolist() == expected
    assert mask.shape == (rows, groups, of)


@pytest.mark.parametrize("shape", [(4, 6), (3, 3, 3), (8,), ()])
def test_inputs_that_are_no_multiple_of_m_are_refused(shape):
    with pytest.raises(TargetError, match=r"not a multiple of 4: the pattern 2:4 does not fit; exclude it"):
        KeepOf(2, 4).select("w", torch.zeros(shape))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("weight", Weight()),
        ("row", Row()),
        ("block:4x1", Block(4, 1)),
        ("block:16x32", Block(16, 32)),
        ("2:4", KeepOf(2, 4)),
        ("1:16", KeepOf(1, 16)),
    ],
)
def test_a_pattern_is_read_and_written_the_same(text, pattern):
    assert parse_pattern(text) == pattern
    assert pattern.name == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "weights",
        "Row",
        "block",
        "block:4",
        "block:0x1",
        "block:1x0",
        "block:4x1x1",
        "block:-1x1",
        "4:4",
        "4:2",
        "0:4",
        "2:",
        ":4",
        "2:4 ",
        "2.0:4",
        "144",
        "2:4\n",
    ],
)
def test_a_pattern_that_is_not_one_is_refused(text):
    with pytest.raises(ArgumentError, match=r"no pattern is written .*: there are 'weight', 'row', 'block"):
        parse_pattern(text)


def test_only_n_of_m_fixes_the_sparsity():
    assert read_pattern("1:4").fixed_sparsity == KeepOf(1, 4).sparsity == 0.75
    assert read_pattern("block:4x1").fixed_sparsity is read_pattern("weight").fixed_sparsity is None
