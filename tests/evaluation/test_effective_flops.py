"""What an operator meets in its weight's place decides, wherever that comes from; activations save nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from prunus.evaluation.flops import Flops, count_flops

OUTPUTS, INPUTS, KEPT = 3, 4, 5  # of 12 weights, five stay
KEEP = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=torch.bool)
EXPECTED = Flops(2 * OUTPUTS * INPUTS, 2 * KEPT)


class Functional(nn.Module):
    """A weight, of which five elements are not zero, and what is to be done with it."""

    def __init__(self, function, **buffers):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(OUTPUTS, INPUTS).masked_fill(~KEEP, 0.0))
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, inputs):
        return self.function(self, inputs)


def written_by_many(target, weight):
    torch._foreach_copy_([target], [weight])
    return target


def functional(function, **buffers):
    return count_flops(Functional(function, **buffers), torch.randn(6, INPUTS))


# --- what a weight may become before it is met ---


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.linear(x, m.weight),
        lambda m, x: x @ m.weight.t(),
        lambda m, x: x @ (m.weight.t() * 2),
        lambda m, x: x @ m.weight.T.contiguous(),
        lambda m, x: x @ m.weight.reshape(1, 3, 4).squeeze(0).mT.clone(),
        lambda m, x: (m.weight @ x.t()).t(),
        lambda m, x: F.linear(x, -m.weight.abs() / 3),
        lambda m, x: F.linear(x, m.weight.to(torch.float64).float()),
        lambda m, x: F.linear(x.bfloat16(), m.weight.bfloat16()),
        lambda m, x: F.linear(x, torch.cat([m.weight[:1], m.weight[1:]])),
        lambda m, x: F.linear(x, torch.where(m.weight.abs() > 0.5, m.weight, 0.0)),
        lambda m, x: F.linear(x, m.weight * torch.ones_like(m.weight) * torch.tril(torch.ones(4, 4)).sum()),
        lambda m, x: F.linear(x, torch.empty(3, 4).copy_(m.weight)),
        lambda m, x: F.linear(x, written_by_many(torch.zeros(3, 4), m.weight)),
        lambda m, x: torch.einsum("bi,oi->bo", x, m.weight),
        lambda m, x: torch.einsum("oi,bi->bo", m.weight * 2, x),
        lambda m, x: torch.tensordot(x, m.weight, dims=([1], [1])),
        lambda m, x: torch.bmm(x.unsqueeze(1), m.weight.t().expand(6, 4, 3)),
        lambda m, x: torch.matmul(x.view(6, 1, 1, 4), (m.weight * 2).t()),
        lambda m, x: torch.baddbmm(torch.zeros(6, 1, 3), x.unsqueeze(1), m.weight.t().repeat(6, 1, 1)),
        lambda m, x: torch.addmm(m.weight.t()[:1] * 0, x, m.weight.t()),
        lambda m, x: torch.vmap(lambda one: m.weight @ one.unsqueeze(1))(x),
    ],
)
def test_what_is_made_from_a_weight_alone_has_its_zeros(function):
    assert functional(function) == EXPECTED


def test_zeros_that_are_made_count_and_zeros_that_are_filled_do_not():
    half = torch.tensor([[1.0, 0, 1, 0]]).expand(3, 4).clone()
    assert functional(lambda m, x: F.linear(x, m.weight * m.kept), kept=half).effective == 2 * int(KEEP[:, ::2].sum())
    assert functional(lambda m, x: F.linear(x, m.weight + 1)) == Flops(24, 24)
    assert functional(lambda m, x: F.linear(x, m.weight[:, :2].repeat(1, 2))).effective == 2 * 2 * int(
        KEEP[:, :2].sum()
    )


@pytest.mark.parametrize("before", [False, True], ids=["at first", "with weights in the cache"])
@pytest.mark.parametrize("enabled", [False, True])
def test_a_cast_under_autocast_has_the_zeros_of_its_weight(before, enabled):
    model = Functional(lambda m, x: F.linear(x, m.weight))
    inputs = torch.randn(6, INPUTS)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        if before:
            model(inputs)
        assert count_flops(model, inputs) == EXPECTED


def test_autocast_inside_the_model_is_seen_through():
    def function(model, inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return F.linear(F.linear(inputs, model.weight), model.weight.t())

    assert functional(function) == Flops(48, 4 * KEPT)


def test_pytorchs_own_pruning_is_seen_in_a_linear_layer_and_below_it():
    linear = nn.Linear(INPUTS, OUTPUTS)
    prune.custom_from_mask(linear, "weight", KEEP)
    assert count_flops(linear, torch.ones(1, INPUTS)) == EXPECTED
    prune.l1_unstructured(linear, "weight", 2)
    assert count_flops(linear, torch.ones(1, INPUTS)).effective == 2 * (KEPT - 2)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("normalise", [nn.utils.weight_norm, parametrizations.weight_norm])
def test_a_normalised_weight_has_the_zeros_of_its_direction(normalise):
    linear = nn.Linear(INPUTS, OUTPUTS)
    linear.weight.data.masked_fill_(~KEEP, 0.0)
    assert count_flops(normalise(linear), torch.ones(1, INPUTS)) == EXPECTED


def test_a_parametrised_weight_has_the_zeros_of_what_it_is_computed_to():
    class Masked(nn.Module):
        def forward(self, weight):
            return weight * KEEP_HELD_ELSEWHERE.parameters_mask

    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.parameters_mask = KEEP.float()  # a tensor that was not made a buffer

    KEEP_HELD_ELSEWHERE = Held()
    linear = nn.Linear(INPUTS, OUTPUTS)
    parametrize.register_parametrization(linear, "weight", Masked())
    assert count_flops(linear, torch.ones(1, INPUTS)).effective == 24  # of elsewhere nothing is known
    linear.held = KEEP_HELD_ELSEWHERE
    assert count_flops(linear, torch.ones(1, INPUTS)) == EXPECTED


def test_a_low_rank_update_fills_the_zeros_that_it_reaches():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4).masked_fill(~KEEP, 0.0))
            self.down, self.up = nn.Parameter(torch.ones(2, 4)), nn.Parameter(torch.zeros(3, 2))

        def forward(self, inputs):
            return F.linear(inputs, self.weight + self.up @ self.down)

    model = Adapted()
    product = 2 * 3 * 2 * 4  # of up and down, once for the whole batch
    assert count_flops(model, torch.randn(4, 4)) == Flops(24 + product // 4, 2 * KEPT)
    model.up.data[0, 0] = 1.0  # fills the first row, which had two
    assert count_flops(model, torch.randn(4, 4)) == Flops(24 + product // 4, 2 * (KEPT + 2) + 2 * 4 // 4)
    model.down.data[0, 1:] = 0.0
    assert count_flops(model, torch.randn(2, 4)) == Flops(24 + product // 2, 2 * KEPT + 2 * 1 // 2)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.booleans())
def test_of_two_weights_the_products_stay_in_which_neither_is_zero(seed, batched):
    torch.manual_seed(seed)
    shape = (2,) if batched else ()
    first, second = (torch.randn(*shape, 3, 4), torch.randn(*shape, 4, 5))
    for weight in (first, second):
        weight[torch.rand_like(weight) < 0.5] = 0
    model = nn.Module()
    model.first, model.second = nn.Parameter(first), nn.Parameter(second)
    model.forward = lambda x: (model.first @ model.second).sum() + x
    pairs = int(((first != 0).unsqueeze(-1) & (second != 0).unsqueeze(-3)).sum())
    assert count_flops(model, torch.ones(1)) == Flops(2 * first.numel() * 5, 2 * pairs)


def test_a_tied_weight_counts_at_each_of_its_uses_as_it_is_met_there():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(3, 4), nn.Linear(4, 3, bias=False)
            self.head.weight = self.embedding.weight
            self.embedding.weight.data.masked_fill_(~KEEP, 0.0)

        def forward(self, indices):
            return self.head(F.linear(self.embedding(indices), self.head.weight + 1) @ self.head.weight)

    assert count_flops(Tied(), torch.tensor([0, 2])) == Flops(72, 24 + 4 * KEPT)


def test_a_fixed_filter_or_graph_that_is_a_buffer_saves_what_is_zero_in_it():
    graph = torch.eye(6)
    graph[0, 1] = 1
    assert functional(lambda m, x: m.graph @ x, graph=graph) == Flops(2 * 6 * 4, round(2 * 7 * 4 / 6))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolutions_weight_is_followed_too(groups):
    convolution = nn.Conv2d(4, 6, 3, groups=groups, bias=False)
    convolution.weight.data[:, ::2] = 0
    inputs = torch.randn(2, 4, 5, 5)
    dense = 2 * 9 * 6 * 9 * (4 // groups)
    assert count_flops(parametrizations.weight_norm(convolution), inputs) == Flops(dense, dense // 2)


def test_a_quantised_copy_has_its_zeros_and_those_it_rounds_to():
    scaled = torch.tensor([[1.0, 0.01, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]])

    def function(model, inputs):
        weight = torch.fake_quantize_per_tensor_affine(model.weight * model.scaled, 0.1, 0, -128, 127)
        return F.linear(inputs, weight)

    assert functional(function, scaled=scaled).effective == 2 * (KEPT - 1)


# --- what is no weight ---


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.relu(x) @ F.relu(x).t(),
        lambda m, x: F.relu(x) @ torch.zeros_like(x).copy_(F.relu(x)).t(),
        lambda m, x: x @ F.relu(x * m.weight[:1]).t(),
        lambda m, x: torch.bmm(F.relu(x).unsqueeze(1), F.relu(x).unsqueeze(2)),
        lambda m, x: F.softmax((x @ x.t()).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf), 1) @ x,
        lambda m, x: F.scaled_dot_product_attention(F.relu(x)[None], x[None], F.relu(x)[None], is_causal=True),
        lambda m, x: x @ F.one_hot(x.argmax(1), 4).float().t(),
        lambda m, x: x @ torch.zeros(4, 4),
        lambda m, x: x @ torch.eye(4),
        lambda m, x: x @ torch.zeros_like(m.weight).t(),
        lambda m, x: x @ torch.from_numpy(np.eye(4, dtype=np.float32)),
        lambda m, x: F.conv1d(x.t().unsqueeze(0), F.relu(x).unsqueeze(2)),
        # a weight that the input chooses, gates or is written into
        lambda m, x: F.linear(x, m.weight[x.argmax(1)[:3].remainder(3)]),
        lambda m, x: F.linear(x, m.weight * (x[:3] > 0)),
        lambda m, x: F.linear(x, m.weight * F.relu(x[0, 0].item() - 100 + torch.zeros(()))),
        lambda m, x: F.linear(x, m.weight * max(0.0, x[0, 0].item() - 100)),
        lambda m, x: F.linear(x, torch.full((3, 4), max(0.0, x[0, 0].item() - 100)) * m.weight),
        lambda m, x: F.linear(x, m.weight.clone().masked_fill_(x[:3] < 100, 0.0)),
        lambda m, x: F.linear(x, torch.cat([m.weight[:1], F.relu(x[:2])])),
    ],
)
def test_zeros_of_activations_save_nothing(function):
    flops = functional(function)
    assert flops.effective == flops.dense > 0


def test_an_activation_that_is_written_into_a_part_of_a_weights_memory_makes_it_an_activation():
    def function(model, inputs):
        memory = torch.zeros(8, INPUTS)
        memory[:3] = model.weight
        before = F.linear(inputs, memory[:3])
        memory[3:].view(-1)[: INPUTS * 5] = F.relu(inputs[:5]).flatten()
        return F.linear(before, memory[:3].t()), F.linear(inputs, memory[3:])

    assert functional(function) == Flops(24 + 24 + 40, 2 * KEPT + 24 + 40)


def test_examples_that_lie_in_a_buffer_of_the_model_are_inputs():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model.register_buffer("example", torch.zeros(5, 4))
    model.example_input_array = torch.zeros(5, 4)
    for inputs in (model.example, model.example[1:], model.example_input_array, model[0].weight.data):
        assert count_flops(model, inputs) == Flops(36, 36)


def test_a_cache_that_a_pass_fills_is_no_weight():
    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("keys", torch.zeros(8, 4))

        def forward(self, inputs):
            self.keys[: len(inputs)] = inputs
            return inputs @ self.keys.t()

    assert count_flops(Caching(), torch.randn(2, 4)) == Flops(64, 64)


@pytest.mark.parametrize("initial", ["made", "buffer", "attribute"])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_an_initial_state_of_zeros_saves_nothing(kind, initial):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = kind(4, 3)
            if initial == "buffer":
                self.register_buffer("start", torch.zeros(1, 3))
            self.state = torch.zeros(1, 3)

        def forward(self, inputs):
            start = {"made": torch.zeros(1, 3), "attribute": self.state}.get(initial)
            start = (self.start if start is None else start).expand(len(inputs), 3)
            return self.cell(inputs, (start, start) if kind is nn.LSTMCell else start)

    flops = count_flops(Recurrent(), torch.randn(5, 4))
    assert flops.effective == flops.dense == 2 * Recurrent().cell.weight_ih[:, 0].numel() * (4 + 3)


def test_a_pruned_recurrent_layer_counts_its_weights_at_every_step():
    cell = nn.LSTM(4, 3, batch_first=True)
    model = Functional(lambda m, x: m.cell(x)[0])
    model.cell = cell
    cell.weight_ih_l0.data[:6] = 0
    cell.weight_hh_l0.data[:, 0] = 0
    assert count_flops(model, torch.randn(2, 5, 4)) == Flops(5 * 2 * 12 * 7, 5 * 2 * (24 + 24))


# --- at the edges ---


def test_control_flow_that_looks_at_the_input_leaves_a_cast_weight_a_weight():
    def function(model, inputs):
        assert inputs.sum() < torch.inf
        return F.linear(inputs.bfloat16(), model.weight.bfloat16()) * float(inputs[0, 0])

    assert functional(function) == EXPECTED


def test_layers_without_inputs_or_outputs_count_nothing():
    with pytest.warns(UserWarning, match="zero-element"):
        model = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 2))
    assert count_flops(model, torch.ones(1, 4)) == Flops(0, 0)


def opaque(graph, inputs):
    """A backend whose code, as that of a real one, calls no operator that a mode could see."""

    def run(*tensors):
        with torch._C._DisableTorchDispatch():
            return graph.forward(*tensors)

    return run


@pytest.mark.parametrize("backend", ["eager", opaque])
def test_a_function_that_is_compiled_is_seen_through(backend):
    product = torch.compile(lambda inputs, weight: F.relu(inputs) @ weight.t(), backend=backend)
    assert functional(lambda m, x: product(x, m.weight)) == EXPECTED
    assert functional(lambda m, x: product(x, m.weight * 2)) == EXPECTED


def test_complex_and_inference_weights_have_their_zeros():
    model = Functional(lambda m, x: F.linear(x.to(torch.complex64), m.weight * 1j))
    assert count_flops(model, torch.randn(2, INPUTS)) == EXPECTED
    with torch.inference_mode():
        model = Functional(lambda m, x: F.linear(x, m.weight * 2))
    for inside in (False, True):
        with torch.inference_mode(inside):
            assert count_flops(model, torch.randn(2, INPUTS)) == EXPECTED
