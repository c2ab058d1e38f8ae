from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import prune

from prunus.errors import ArgumentError
from prunus.evaluation.connectivity import effective_masks, effective_parameters

seeds = st.integers(0, 2**31)
densities = st.floats(0.05, 0.9)


def sparsify(model, density, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter[torch.rand(parameter.shape, generator=generator) >= density] = 0
    return model


def reachable(matrices):
    """From the input forwards and from the output backwards, which nodes of a layered graph are reached.

    Breadth-first search over sets of nodes; matrices are (nodes after, nodes before), True = edge.
    """
    forward = [set(range(matrices[0].size(1)))]
    for matrix in matrices:
        forward.append({j for j in range(matrix.size(0)) if any(bool(matrix[j, i]) for i in forward[-1])})
    backward = [set(range(matrices[-1].size(0)))]
    for matrix in reversed(matrices):
        backward.append({i for i in range(matrix.size(1)) if any(bool(matrix[j, i]) for j in backward[-1])})
    return forward, backward[::-1]


def on_a_path(matrix, before, after):
    mask = torch.zeros_like(matrix)
    for j in after:
        for i in before:
            mask[j, i] = matrix[j, i]
    return mask


def members(nodes, total):
    return torch.tensor([node in nodes for node in range(total)])


ACTIVATIONS = [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.Softplus, nn.Hardswish, nn.Softmax, nn.Dropout, nn.LogSigmoid]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 7), min_size=2, max_size=6), densities, st.sampled_from(ACTIVATIONS), seeds)
def test_an_mlp_has_the_weights_and_biases_that_a_search_of_its_graph_finds(widths, density, activation, seed):
    layers = [nn.Linear(before, after) for before, after in pairwise(widths)]
    model = sparsify(nn.Sequential(*[part for layer in layers for part in (layer, activation())]), density, seed)
    forward, backward = reachable([layer.weight != 0 for layer in layers])
    masks = effective_masks(model, torch.randn(2, widths[0]))
    for index, layer in enumerate(layers):
        expected = on_a_path(layer.weight != 0, forward[index], backward[index + 1])
        assert torch.equal(masks[f"{2 * index}.weight"], expected)
        reaching = members(backward[index + 1], len(layer.bias))
        assert torch.equal(masks[f"{2 * index}.bias"], (layer.bias != 0) & reaching)
    assert effective_parameters(model, torch.ones(1, widths[0])) == sum(int(mask.sum()) for mask in masks.values())


@settings(max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.booleans(), densities, seeds)
def test_a_convolutional_net_has_the_kernels_that_a_search_of_its_channels_finds(widths, pooled, density, seed):
    parts = []
    for before, after in pairwise(widths):
        pool = nn.MaxPool2d(2, stride=1) if pooled else nn.Identity()
        parts += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True), pool]
    model = nn.Sequential(*parts, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 3))
    sparsify(model, density, seed)
    stages = [
        ((conv.weight != 0).flatten(2).any(2) & (norm.weight != 0)[:, None], conv, norm, index)
        for index, (conv, norm) in enumerate(zip(model[::4], model[1::4], strict=False))
        if isinstance(conv, nn.Conv2d)
    ]
    forward, backward = reachable([edges for edges, *_ in stages] + [model[-1].weight != 0])
    masks = effective_masks(model, torch.randn(1, widths[0], 12, 12))
    for index, (edges, conv, norm, position) in enumerate(stages):
        channels = on_a_path(edges, forward[index], backward[index + 1])
        reaching = members(backward[index + 1], len(norm.bias))
        assert torch.equal(masks[f"{4 * position}.weight"], (conv.weight != 0) & channels[:, :, None, None])
        biased = (conv.bias != 0) & (norm.weight != 0) & reaching
        assert torch.equal(masks[f"{4 * position}.bias"], biased)
        assert torch.equal(masks[f"{4 * position + 1}.bias"], (norm.bias != 0) & reaching)
        alive = members(forward[index + 1], len(norm.bias))
        assert torch.equal(masks[f"{4 * position + 1}.weight"], (norm.weight != 0) & reaching & alive)


def test_a_kernel_element_that_only_ever_meets_padding_is_not_effective():
    masks = effective_masks(nn.Conv2d(1, 1, 3, padding=1), torch.ones(1, 1, 1, 1))
    assert masks["weight"].nonzero().tolist() == [[0, 0, 1, 1]]


def mixed_derivatives(model, inputs):
    """∂²(output · u)/∂(input · v)∂weight at random points: not zero where a weight lies on a path, for smooth nets."""
    found = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for _ in range(3):
        point = torch.randn_like(inputs, dtype=torch.float64).requires_grad_()
        outputs = model(point)
        slope = torch.autograd.grad((outputs * torch.randn_like(outputs)).sum(), point, create_graph=True)[0]
        total = (slope * torch.randn_like(slope)).sum()
        gradients = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
        found = [f if g is None else f + g.abs() for f, g in zip(found, gradients, strict=True)]
    return {name: value != 0 for (name, _), value in zip(model.named_parameters(), found, strict=True)}


class Residual(nn.Module):
    """A residual net with a shortcut that pads channels (He et al. 2016, option A)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.first = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.second = nn.Conv2d(4, 8, 3, 2, padding=1, bias=False)
        self.head = nn.Linear(8, 3, bias=False)

    def forward(self, inputs):
        x = torch.tanh(self.stem(inputs))
        x = x + torch.tanh(self.first(x))
        y = self.second(x)
        y += F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return torch.tanh(self.head(F.adaptive_avg_pool2d(torch.tanh(y), 1).flatten(1)))


class Attention(nn.Module):
    """Attention written out, or by PyTorch, without biases; a residual; a gated feed-forward net."""

    def __init__(self, how, width=4, heads=2):
        super().__init__()
        self.how, self.heads = how, heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(width, 6, bias=False), nn.Linear(width, 6, bias=False)
        self.down, self.head = nn.Linear(6, width, bias=False), nn.Linear(width, 2, bias=False)

    def forward(self, inputs):
        batch, length, width = inputs.shape
        q, k, v = (
            layer(inputs).view(batch, length, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if self.how == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.how == "einsum":
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / (width / self.heads) ** 0.5
            mixed = torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)
        else:
            hidden = torch.ones(length, length).triu(1).bool()
            scores = (q @ k.mT / 2).masked_fill(hidden, float("-inf"))
            mixed = F.dropout(scores.softmax(-1), 0.1, self.training) @ v
        x = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        x = self.down(F.silu(self.gate(x)) * self.up(x))
        return torch.tanh(self.head(x.tanh()))


class Squeezed(nn.Module):
    """A channel gate: where it is dead it is half open, and the signal passes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, bias=False)
        self.reduce, self.widen = nn.Linear(5, 3, bias=False), nn.Linear(3, 5, bias=False)
        self.head = nn.Linear(5, 2, bias=False)

    def forward(self, inputs):
        x = torch.tanh(self.conv(inputs))
        gate = torch.sigmoid(self.widen(torch.tanh(self.reduce(x.mean((2, 3))))))
        x = x * gate.view(*gate.shape, 1, 1).expand_as(x)
        return torch.tanh(self.head(x.mean((2, 3))))


NETS = {
    "residual": (Residual, (1, 2, 8, 8)),
    "attention": (lambda: Attention("fused"), (1, 3, 4)),
    "masked": (lambda: Attention("masked"), (1, 3, 4)),
    "einsum": (lambda: Attention("einsum"), (1, 3, 4)),
    "gated": (Squeezed, (1, 2, 6, 6)),
}


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=25)
@given(density=st.floats(0.15, 0.7), seed=seeds)
def test_a_weight_is_effective_where_the_mixed_derivative_with_the_input_is_not_zero(name, density, seed):
    make, shape = NETS[name]
    model = sparsify(make(), density, seed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0.5  # away from the flat ends of tanh, where a derivative underflows
    masks = effective_masks(model, torch.ones(shape))
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel has no second derivative
        expected = mixed_derivatives(model.double(), torch.ones(shape))
    for key, parameter in model.named_parameters():
        assert torch.equal(masks[key], expected[key] & (parameter != 0)), key


class Gpt(nn.Module):
    """Tied embeddings, learnt positions, layer norms with shifts, multi-head attention with biases."""

    def __init__(self, width=8, vocabulary=11, length=6):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(1, length, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, indices):
        x = self.tokens(indices) + self.positions[:, : indices.size(1)]
        mask = nn.Transformer.generate_square_subsequent_mask(indices.size(1))
        return self.head(self.layer(x, src_mask=mask, is_causal=True))


def test_in_a_dense_transformer_every_parameter_that_is_not_zero_is_effective():
    model = Gpt()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert effective_parameters(model, torch.arange(6)[None]) == total
    assert effective_parameters(model, torch.zeros(2, 6, dtype=torch.long)) == total
    assert effective_parameters(model, torch.arange(4)[None]) == total - 2 * 8  # the last two positions are unused


def test_a_head_without_values_makes_its_queries_and_keys_ineffective():
    model = Gpt()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    total = sum(parameter.numel() for parameter in model.parameters())
    attention = model.layer.self_attn
    attention.in_proj_weight.data[16:20] = 0  # the first head's values
    attention.in_proj_bias.data[16:20] = 0
    masks = effective_masks(model, torch.arange(6)[None])
    assert not masks["layer.self_attn.in_proj_weight"][:4].any()
    assert not masks["layer.self_attn.in_proj_weight"][8:12].any()
    assert not masks["layer.self_attn.out_proj.weight"][:, :4].any()
    lost = 3 * 4 * 8 + 4 + 8 * 4 + 8  # q, k, v rows; v's bias; columns of the output; q's and k's biases
    assert sum(int(mask.sum()) for mask in masks.values()) == total - lost


def test_a_key_is_effective_where_only_the_bias_of_its_query_is_alive():
    model = nn.MultiheadAttention(4, 1, batch_first=True)
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    model.in_proj_weight.data[:4] = 0

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = model

        def forward(self, inputs):
            return self.attention(inputs, inputs, inputs)[0]

    biased = effective_masks(Net(), torch.ones(1, 3, 4))
    model.in_proj_bias.data[:4] = 0
    dead = effective_masks(Net(), torch.ones(1, 3, 4))
    assert biased["attention.in_proj_weight"][4:8].all()
    assert not dead["attention.in_proj_weight"][4:8].any()


@pytest.mark.parametrize("depth", [60, 400])
def test_a_thin_path_through_a_deep_net_neither_overflows_nor_underflows(depth):
    """The first unit of each layer hears only itself, the second nothing; the others hear all, densely."""
    width = 64
    model = nn.Sequential(*[nn.Linear(width, width, bias=False) for _ in range(depth)], nn.Linear(width, 2, bias=False))
    for layer in model[:-1]:
        layer.weight.data.fill_(1e-3)
        layer.weight.data[0] = 0
        layer.weight.data[0, 0] = 1e-30
        layer.weight.data[1] = 0
    model[-1].weight.data.fill_(1.0)
    model[-1].weight.data[0] = 0
    masks = effective_masks(model, torch.ones(1, width))
    assert torch.equal(masks["0.weight"], model[0].weight != 0)
    for index in range(1, depth):
        expected = model[index].weight != 0
        expected[:, 1] = False  # from the dead unit
        assert torch.equal(masks[f"{index}.weight"], expected)


def test_a_deep_net_cut_in_the_middle_has_no_effective_weight_but_biases_after_the_cut():
    model = nn.Sequential(*[nn.Linear(8, 8) for _ in range(60)])
    model[30].weight.data.zero_()
    masks = effective_masks(model, torch.ones(1, 8))
    assert not any(bool(mask.any()) for name, mask in masks.items() if name.endswith("weight"))
    alive = [name for name, mask in masks.items() if bool(mask.all())]
    assert alive == [f"{index}.bias" for index in range(30, 60)]


def test_tied_weights_are_effective_where_either_use_is():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    model[0].weight.data = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    masks = effective_masks(model, torch.ones(1, 3))
    assert list(masks) == ["0.weight"]
    # input 1 → unit 0, which nothing reads in the second use; there, output 0 reads the dead unit 1
    assert masks["0.weight"].nonzero().tolist() == [[2, 2]]


def test_a_layer_scale_multiplies_and_a_shift_only_starts_what_is_not_a_path():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.shift = nn.Parameter(torch.tensor([1.0, 0.0, 2.0])), nn.Parameter(torch.ones(3))
            self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 1, bias=False)

        def forward(self, inputs):
            return self.second(self.first(inputs) * self.scale + self.shift + 1.5 - torch.ones(3))

    model = Net()
    for layer in (model.first, model.second):
        nn.init.ones_(layer.weight)
    model.first.weight.data[2] = 0
    masks = effective_masks(model, torch.ones(1, 3))
    assert masks["scale"].tolist() == [True, False, False]
    assert masks["shift"].tolist() == [True, True, True]
    assert masks["first.weight"].tolist() == [[True] * 3, [False] * 3, [False] * 3]
    assert masks["second.weight"].tolist() == [[True, False, False]]


class Written(nn.Module):
    """One linear layer, then any function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear = nn.Linear(4, 4, bias=False)
        self.norm = nn.Parameter(torch.ones(4))

    def forward(self, inputs):
        return self.function(self, self.linear(inputs))


FOLLOWED = {
    "rms norm": lambda net, x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * net.norm,
    "float": lambda net, x: x.float().to(torch.float32).type_as(x),
    "statistics": lambda net, x: (x - torch.tensor([1.0, 2.0, 3.0, 4.0])) / torch.tensor(3.0),
    "difference": lambda net, x: 1 - x,
    "split": lambda net, x: torch.cat([part.neg() for part in x.chunk(2, dim=-1)], dim=-1),
    "interpolated": lambda net, x: F.interpolate(x[:, None], scale_factor=2, mode="linear"),
    "chosen": lambda net, x: torch.where(torch.ones(4, dtype=torch.bool), x, 0.0),
    "prelu": lambda net, x: F.prelu(x, net.norm),
    "modulated": lambda net, x: x * (1 + x.sigmoid()),
    "assertion on shapes": lambda net, x: x.view(len(x), x.shape[1] * 2 // 2, -1).squeeze(-1),
}
LOST = {
    "sorted": lambda net, x: x.sort(-1).values,
    "argmax": lambda net, x: x * F.one_hot(x.argmax(-1), 4),
    "branch": lambda net, x: x if x.sum() > 0 else -x,
    "number": lambda net, x: x * x.max().item(),
    "data": lambda net, x: x + x.data,
    "ratio": lambda net, x: x / (1 + x.abs()),
    "integers": lambda net, x: x * x.to(torch.long),
    "numpy": lambda net, x: x + torch.from_numpy(x.detach().numpy()),
    "other form": lambda net, x: torch.matmul(input=x, other=x.mT),
    "in place": lambda net, x: x.clone().mul_(x),
    "lookup": lambda net, x: torch.zeros(3, 4)[(x > 0).long().sum(-1)] + x,
    "ones padded": lambda net, x: F.pad(x, (1, 1), value=1.0),
    "script": None,
}


def no_gradients(net, x):
    with torch.no_grad():
        scale = x * 2
    return x * scale


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(context, values):
        return values.round().relu()

    @staticmethod
    def backward(context, gradients):
        return gradients


LOST["no_grad"] = no_gradients
LOST["own function"] = lambda net, x: Straight.apply(x)


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_networks_write_by_hand_is_followed(name):
    model = Written(FOLLOWED[name])
    nn.init.ones_(model.linear.weight)
    model.linear.weight.data[1] = 0
    masks = effective_masks(model, torch.ones(2, 4))
    assert int(masks["linear.weight"].sum()) == 12
    if "norm" in name or name == "prelu":
        assert masks["norm"].tolist() == [True, False, True, True]


def test_a_channel_that_a_fixed_mask_sets_to_zero_is_cut():
    mask = torch.tensor([False, True, False, False])
    for function in (
        lambda net, x: x.masked_fill(mask, 0.0),
        lambda net, x: torch.where(mask, 0.0, x),
        lambda net, x: x * ~mask,
    ):
        model = Written(function)
        assert effective_masks(model, torch.ones(2, 4))["linear.weight"].any(1).tolist() == [True, False, True, True]


def test_an_embedding_is_an_input_and_all_its_rows_count_as_looked_up():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    model[0].weight.data[1, 0] = 0
    model[1].weight.data[0] = 0
    masks = effective_masks(model, torch.zeros(1, 1, dtype=torch.long))
    assert torch.equal(masks["0.weight"], model[0].weight != 0)
    assert masks["3.weight"].tolist() == [[False, True]]


def test_a_model_that_changes_its_input_in_place_is_followed():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2, bias=False)

        def forward(self, inputs):
            return self.linear(inputs.mul_(2).sub_(1))

    inputs = torch.zeros(1, 4)
    assert effective_parameters(Net(), inputs) == 8
    assert inputs.tolist() == [[0.0] * 4]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_followed_is_none_and_never_a_wrong_number(name):
    model = Written(LOST[name]) if LOST[name] else nn.Sequential(torch.jit.trace(nn.Linear(4, 2), torch.ones(1, 4)))
    assert effective_parameters(model, torch.ones(4, 4)) is None
    with pytest.raises(ArgumentError, match="cannot follow the signal through"):
        effective_masks(model, torch.ones(4, 4))


def test_masks_of_pytorchs_own_pruning_are_seen():
    linear = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        prune.custom_from_mask(linear, "weight", torch.tensor([[1, 0, 0, 1], [0, 0, 1, 0]]))
    assert effective_parameters(linear, torch.ones(1, 4)) == 3


def test_inputs_that_do_not_fit_are_the_callers_error():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        effective_parameters(nn.Linear(4, 2), torch.ones(1, 5))


def test_a_dict_is_no_output(dict_model):
    with pytest.raises(ArgumentError, match="got a dict"):
        effective_parameters(dict_model, torch.ones(1, 4))


def test_a_compiled_model_is_followed_as_its_module():
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))
    expected = effective_masks(model, torch.ones(1, 4))
    found = effective_masks(torch.compile(model, backend="eager"), torch.ones(1, 4))
    assert list(found) == list(expected)
    model[0] = torch.compile(model[0], backend="eager")
    assert effective_parameters(model, torch.ones(1, 4)) == sum(int(mask.sum()) for mask in expected.values())


def test_half_precision_and_inference_mode_change_nothing():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    expected = effective_parameters(model, torch.ones(1, 4))
    with torch.inference_mode():
        assert effective_parameters(model, torch.ones(1, 4)) == expected
    assert effective_parameters(model.bfloat16(), torch.ones(1, 4, dtype=torch.bfloat16)) == expected


def test_the_model_is_left_as_it_was(restless, unchanged):
    before = unchanged(restless)
    if restless.fails:
        with pytest.raises(ZeroDivisionError):
            effective_parameters(restless, torch.ones(3, 4))
    else:
        # a shift of the normalisation and the bias of a pruned layer begin as they are
        assert effective_parameters(restless, torch.ones(3, 4)) == 4 + 12 + 3
    assert unchanged(restless) == before
