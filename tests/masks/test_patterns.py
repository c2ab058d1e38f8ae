from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunus.errors import ArgumentError, TargetError
from prunus.masks.pattern_names import PATTERNS, read_pattern
from prunus.masks.patterns import (
    Block,
    Channel,
    Column,
    Head,
    KeepOf,
    Kernel,
    Layer,
    Module,
    Row,
    Weight,
    parse_pattern,
)

shapes = st.lists(st.integers(1, 5), max_size=4).map(torch.Size)


def group_of_each_weight(pattern, shape):
    """The definition: which weights are in one group, as a key of each, row-major."""
    rows, width = math.prod(shape[:1]), math.prod(shape[1:])
    depth = math.prod(shape[2:])
    places = [(row, place // depth, place % depth, place) for row in range(rows) for place in range(width)]
    match pattern:
        case Weight():
            return [(row, place) for row, _, _, place in places]
        case Row():
            return [row for row, *_ in places]
        case Column():
            return [column for _, column, *_ in places]
        case Kernel():
            return [(row, column) for row, column, *_ in places]
        case Layer():
            return [0 for _ in places]
        case Block():
            return [(row // pattern.rows, place // pattern.columns) for row, _, _, place in places]


patterns = st.one_of(
    st.sampled_from([Weight(), Row(), Column(), Kernel(), Layer()]),
    st.builds(Block, rows=st.integers(1, 6), columns=st.integers(1, 6)),
)


@given(patterns, shapes)
def test_groups_are_those_of_the_definition(pattern, shape):
    keys = group_of_each_weight(pattern, shape)
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    groups = [numbers[key] for key in keys]
    (layout,) = pattern.layouts({"w": shape})
    assert layout.sizes.tolist() == [groups.count(number) for number in range(len(numbers))]
    assert layout.weights == len(groups)
    spread = layout.spread(torch.arange(len(numbers)))["w"]
    assert spread.shape == shape
    assert spread.reshape(-1).tolist() == groups
    values = torch.arange(1.0, len(groups) + 1).reshape(shape)
    totals = [0.0] * len(numbers)
    for group, value in zip(groups, values.reshape(-1).tolist(), strict=True):
        totals[group] += value
    assert layout.matrix(lambda _: values, 0.0).sum(1).tolist() == totals


def test_a_ragged_edge_makes_smaller_blocks():
    (layout,) = Block(2, 3).layouts({"w": torch.Size([3, 4])})
    assert layout.sizes.tolist() == [6, 2, 3, 1]


def groups_in(pattern, model, only=()):
    """Group number of each weight, by the layout's verdicts."""
    named = {name: weight.shape for name, weight in model.named_parameters() if not only or name in only}
    found = {}
    for layout in pattern.layouts(named, model):
        found |= layout.spread(torch.arange(len(layout.sizes)))
    return found


@pytest.mark.parametrize(("groups", "expected"), [(1, [0, 1, 2, 3]), (2, [0, 1])])
def test_the_channels_of_a_transposed_convolution_are_its_outputs(groups, expected):
    layer = nn.ConvTranspose2d(4, 4, 3, groups=groups, bias=False)
    found = groups_in(Channel(), layer)["weight"]
    for output in range(4):
        with torch.no_grad():
            layer.weight.copy_((found != output).float())
        silent = layer(torch.ones(1, 4, 5, 5))[0].flatten(1).abs().sum(1) == 0
        assert silent.tolist() == [channel == output for channel in range(4)]
    assert found[0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_channels_of_a_recurrent_layer_are_its_hidden_units(kind):
    layer = kind(3, 4)
    found = groups_in(Channel(), layer)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_((found[name] != 2).float() * weight)
    outputs, _ = layer(torch.randn(6, 1, 3))
    assert outputs[..., 2].abs().max() == 0
    assert outputs[..., 1].abs().min() > 0


def test_without_heads_attention_computes_what_the_others_say():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(12, 3, bias=False)
    found = groups_in(Head(), layer)
    assert {name: group.unique().tolist() for name, group in found.items()} == {
        "in_proj_weight": [0, 1, 2],
        "out_proj.weight": [0, 1, 2],
    }
    inputs = torch.randn(5, 1, 12)

    def of_head(number):
        one = nn.MultiheadAttention(12, 3, bias=False)
        one.load_state_dict({name: weight * (found[name] == number) for name, weight in layer.state_dict().items()})
        return one(inputs, inputs, inputs)[0]

    whole = layer(inputs, inputs, inputs)[0]
    assert torch.allclose(of_head(0) + of_head(1) + of_head(2), whole, atol=1e-6)


def test_heads_span_separate_projections():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_heads = 2
            self.query, self.value, self.out_proj = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 6)

    found = groups_in(Head(), Attention(), ("query.weight", "value.weight", "out_proj.weight"))
    assert found["query.weight"][:, 0].tolist() == found["value.weight"][:, 0].tolist() == [0, 0, 1, 1]
    assert found["out_proj.weight"][0].tolist() == [0, 0, 1, 1]


class Projections(nn.Module):
    """What says how many heads there are, with or without the output projection."""

    def __init__(self, *names):
        super().__init__()
        self.num_attention_heads = 2
        for name in names:
            self.add_module(name, nn.Linear(4, 4))


@pytest.mark.parametrize("heads", [0, 2])
def test_the_output_projection_may_lie_beside_the_module_that_knows_the_heads(heads):
    # As in BERT: attention.self.{query,key,value} and attention.output.dense.
    attention = nn.ModuleDict(
        {"self": Projections("query", "value"), "output": nn.ModuleDict({"dense": nn.Linear(4, 4)})}
    )
    model = nn.ModuleDict({"attention": attention, "other": Projections("query")})
    names = ["attention.self.query.weight", "attention.self.value.weight", "attention.output.dense.weight"]
    found = groups_in(Head(heads), model, names)
    assert found[names[0]][:, 0].tolist() == found[names[1]][:, 0].tolist() == [0, 0, 1, 1]
    assert found[names[2]][0].tolist() == [0, 0, 1, 1]
    shapes = {name: model.get_parameter(name).shape for name in [*names, "other.query.weight"]}
    assert [layout.sizes.tolist() for layout in Head(heads).layouts(shapes, model)] == [[24, 24], [8, 8]]


def test_what_lies_beside_a_whole_attention_is_no_part_of_it():
    # As in GPT-2: attn.{query,c_proj} and mlp.c_proj.
    model = nn.ModuleDict({"attn": Projections("query", "c_proj"), "mlp": nn.ModuleDict({"c_proj": nn.Linear(4, 4)})})
    with pytest.raises(ArgumentError, match=r"'mlp.c_proj.weight' lies in no module that has a number of heads"):
        groups_in(Head(), model, ["attn.query.weight", "mlp.c_proj.weight"])


def test_heads_are_asked_for_where_no_module_knows_them():
    model = nn.Sequential(nn.Linear(8, 8, bias=False))
    with pytest.raises(ArgumentError, match="number of heads"):
        Head().layouts({"0.weight": torch.Size([8, 8])}, model)
    (layout,) = Head(4).layouts({"0.weight": torch.Size([8, 8])}, model)
    assert layout.sizes.tolist() == [16] * 4
    with pytest.raises(ArgumentError, match="3 heads do not divide"):
        Head(3).layouts({"0.weight": torch.Size([8, 8])}, model)
    with pytest.raises(ArgumentError, match="give the model"):
        Head().layouts({"0.weight": torch.Size([8, 8])})


class Grouped(nn.Module):
    """Attention with four heads, of which each two share a key and a value."""

    def __init__(self):
        super().__init__()
        self.head_dim = 2
        self.q_proj, self.o_proj = nn.Linear(6, 8, bias=False), nn.Linear(8, 6, bias=False)
        self.k_proj, self.v_proj = nn.Linear(6, 4, bias=False), nn.Linear(6, 4, bias=False)

    def forward(self, inputs):
        query, key, value = (
            layer(inputs).unflatten(-1, (-1, 2)).movedim(-2, 0) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        key, value = key.repeat_interleave(2, 0), value.repeat_interleave(2, 0)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.o_proj(mixed.movedim(0, -2).flatten(-2))


def test_heads_that_share_a_key_and_a_value_go_together():
    torch.manual_seed(0)
    model, inputs = Grouped(), torch.randn(5, 6)
    found = groups_in(Head(2), model)
    weights, whole = model.state_dict(), model(inputs)
    one, other = Grouped(), Grouped()
    one.load_state_dict({name: weight * (found[name] == 0) for name, weight in weights.items()})
    other.load_state_dict({name: weight * (found[name] == 1) for name, weight in weights.items()})
    assert torch.allclose(one(inputs) + other(inputs), whole, atol=1e-6)


def test_a_shared_key_is_not_cut_in_halves():
    with pytest.raises(ArgumentError, match=r"'k_proj.weight' has 4 rows or columns, 2 heads of 2, so 4 would cut"):
        groups_in(Head(4), Grouped())
    own = groups_in(Head(4), Grouped(), ("q_proj.weight", "o_proj.weight"))
    assert own["q_proj.weight"][:, 0].tolist() == own["o_proj.weight"][0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_query_key_and_value_may_lie_together_head_by_head():
    model = nn.ModuleDict({"query_key_value": nn.Linear(4, 12, bias=False), "dense": nn.Linear(4, 4, bias=False)})
    found = groups_in(Head(2), model)
    assert found["query_key_value.weight"][:, 0].tolist() == [0] * 6 + [1] * 6
    assert found["dense.weight"][0].tolist() == [0, 0, 1, 1]


def test_biases_of_query_key_and_value_go_with_their_heads():
    found = groups_in(Head(), nn.MultiheadAttention(4, 2), ("in_proj_weight", "in_proj_bias"))
    assert found["in_proj_bias"].tolist() == found["in_proj_weight"][:, 0].tolist() == [0, 0, 1, 1] * 3


def test_a_module_is_one_group_of_all_that_lies_in_it():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), nn.Linear(2, 2))
    named = {name: weight.shape for name, weight in model.named_parameters() if name.startswith("0.")}
    first, second = Module("0.*").layouts(named, model)
    assert (first.names, first.weights) == (("0.0.weight", "0.0.bias"), 9)
    assert second.weights == 8
    (outermost,) = Module("0*").layouts(named, model)
    assert outermost.weights == 17
    with pytest.raises(ArgumentError, match=r"'1.weight' lies in no module that matches '0\*'"):
        Module("0*").layouts({"1.weight": torch.Size([2, 2])}, model)


few_values = st.sampled_from([0.0, 1.0, 2.0])


@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(2, 4), st.data())
def test_exactly_n_of_each_m_inputs_stay_and_of_equal_scores_the_first(rows, depth, groups, of, data):
    keep = data.draw(st.integers(1, of - 1))
    count = rows * groups * of * depth
    scores = torch.tensor(data.draw(st.lists(few_values, min_size=count, max_size=count)))
    scores = scores.reshape(rows, groups * of, depth)
    mask = KeepOf(keep, of).select("w", scores)
    assert mask.is_contiguous()
    for row in range(rows):
        for place in range(depth):
            for start in range(0, groups * of, of):
                group = scores[row, start : start + of, place].tolist()
                best = sorted(range(of), key=lambda index: (-group[index], index))[:keep]
                assert mask[row, start : start + of, place].tolist() == [index in best for index in range(of)]


@pytest.mark.parametrize("shape", [(2, 6), (6,), (2, 3, 4)])
def test_inputs_that_m_does_not_divide_are_refused(shape):
    with pytest.raises(TargetError, match="not a multiple of 4"):
        KeepOf(2, 4).select("w", torch.zeros(shape))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("weight", Weight()),
        ("row", Row()),
        ("column", Column()),
        ("kernel", Kernel()),
        ("channel", Channel()),
        ("layer", Layer()),
        ("head", Head()),
        ("head:12", Head(12)),
        ("module:blocks.*", Module("blocks.*")),
        ("block:4x1", Block(4, 1)),
        ("2:4", KeepOf(2, 4)),
        ("1:16", KeepOf(1, 16)),
    ],
)
def test_patterns_are_read(text, pattern):
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    "text", ["", "rows", "Weight", "block", "block:0x4", "block:4", "4:4", "4:2", "0:4", "head:0", "module:", "2:4 "]
)
def test_what_is_no_pattern_is_told_with_those_there_are(text):
    with pytest.raises(ArgumentError, match="no pattern is written") as caught:
        parse_pattern(text)
    assert all(name in str(caught.value) for name in PATTERNS)


def test_only_n_of_m_fixes_the_sparsity():
    assert read_pattern("1:4").fixed_sparsity == KeepOf(1, 4).sparsity == 0.75
    assert read_pattern("block:4x1").fixed_sparsity is read_pattern("weight").fixed_sparsity is None
