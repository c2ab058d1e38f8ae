"""What layers see, against loops in NumPy."""

from __future__ import annotations

import itertools
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.criteria.activations import input_norms, input_second_moments, layers_of, see_inputs
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.scope import Scope


def subject_of(model, *inputs, **scope):
    batches = [(each, torch.zeros(len(each))) for each in inputs]
    return Subject(model, Scope(**scope).parameters(model), batches)


def patches(inputs, weight, layer):
    """For each group the rows of X, one patch after another, by explicit loops."""
    spatial, groups = weight.ndim - 2, layer.groups
    modes = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}
    padded = np.pad(inputs, [(0, 0), (0, 0), *[(p, p) for p in layer.padding]], modes[layer.padding_mode])
    kernel, channels = weight.shape[2:], weight.shape[1]
    extents = [
        (size - layer.dilation[axis] * (kernel[axis] - 1) - 1) // layer.stride[axis] + 1
        for axis, size in enumerate(padded.shape[2:])
    ]
    found = [[] for _ in range(groups)]
    for example, group in itertools.product(padded, range(groups)):
        for place in itertools.product(*map(range, extents)):
            row = [
                example[
                    (
                        group * channels + channel,
                        *(
                            place[axis] * layer.stride[axis] + offset[axis] * layer.dilation[axis]
                            for axis in range(spatial)
                        ),
                    )
                ]
                for channel in range(channels)
                for offset in itertools.product(*map(range, kernel))
            ]
            found[group].append(row)
    return np.array(found)


CONVOLUTIONS = {
    "plain": (nn.Conv2d(2, 3, 2), (4, 3)),
    "grouped, strided, dilated": (nn.Conv2d(4, 6, (2, 3), stride=(2, 1), dilation=(1, 2), padding=1, groups=2), (5, 6)),
    "depthwise": (nn.Conv2d(3, 3, 3, padding=1, groups=3), (3, 4)),
    "circular": (nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (3, 3)),
    "reflected": (nn.Conv1d(2, 2, 3, padding=2, padding_mode="reflect"), (5,)),
    "one dimension": (nn.Conv1d(3, 2, 2, stride=2), (6,)),
    "three dimensions": (nn.Conv3d(2, 2, (1, 2, 2), stride=(1, 2, 1)), (2, 4, 3)),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_moments_and_norms_of_a_convolution_are_those_of_its_patches(kind):
    layer, size = CONVOLUTIONS[kind]
    layer = layer.double()
    first, second = (torch.randn(count, layer.in_channels, *size).double() for count in (3, 1))
    subject = subject_of(layer, first, second)
    rows = patches(torch.cat([first, second]).numpy(), layer.weight.detach().numpy(), layer)
    expected = np.einsum("gni,gnj->gij", rows, rows) / rows.shape[1]
    np.testing.assert_allclose(input_second_moments(subject)["weight"].numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(input_norms(subject)["weight"].numpy(), np.linalg.norm(rows, axis=1), atol=1e-12)


@given(st.sampled_from(["same", "valid"]), st.sampled_from([1, 3]), st.integers(1, 2), st.booleans())
@settings(max_examples=15)
def test_moments_tell_the_mean_square_of_a_convolutions_output(padding, kernel, dilation, batched):
    layer = nn.Conv2d(2, 4, kernel, padding=padding, dilation=dilation, groups=2, bias=False).double()
    inputs = torch.randn(3, 2, 5, 6).double()
    model = layer if batched else nn.Sequential(nn.Flatten(0, 1), layer)
    seen = inputs if batched else inputs[:1]
    moments = next(iter(input_second_moments(subject_of(model, seen)).values()))
    rows = layer.weight.detach().reshape(2, 2, -1)
    found = (rows @ moments * rows).sum(-1).reshape(-1)
    torch.testing.assert_close(found, layer(seen).detach().square().mean((0, 2, 3)))


@pytest.mark.parametrize("shape", [(5, 3), (4, 6, 3), (2, 3, 2, 3)])
def test_moments_of_a_linear_layer_count_every_position(shape):
    inputs = torch.randn(shape).double()
    subject = subject_of(nn.Linear(3, 2).double(), inputs)
    rows = inputs.reshape(-1, 3).numpy()
    np.testing.assert_allclose(input_second_moments(subject)["weight"][0].numpy(), rows.T @ rows / len(rows))
    np.testing.assert_allclose(input_norms(subject)["weight"][0].numpy(), np.linalg.norm(rows, axis=0))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
@settings(max_examples=20)
def test_how_examples_are_batched_changes_nothing(sizes):
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    inputs = torch.randn(sum(sizes), 2, 3, 3).double()
    whole, parted = subject_of(model, inputs), subject_of(model, *inputs.split(sizes))
    for statistic in (input_second_moments, input_norms):
        for name, expected in statistic(whole).items():
            torch.testing.assert_close(statistic(parted)[name], expected)


def test_no_batch_is_held_once_it_is_seen():
    alive = []

    class Batches:
        def __iter__(self):
            for _ in range(6):
                assert sum(each() is not None for each in alive) <= 1
                inputs = torch.randn(4, 3)
                alive.append(weakref.ref(inputs))
                yield inputs, torch.zeros(4)

    model = nn.Linear(3, 2)
    input_second_moments(Subject(model, Scope().parameters(model), Batches()))
    assert len(alive) == 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layer", [nn.Linear(1, 2), nn.Conv1d(1, 2, 1)])
def test_half_precision_is_summed_up_in_float32(dtype, layer):
    shape = (1,) if isinstance(layer, nn.Linear) else (1, 1)
    inputs = [torch.full((100, *shape), 10.0, dtype=dtype)] * 50
    subject = subject_of(layer.to(dtype), *inputs)
    assert input_second_moments(subject)["weight"].tolist() == [[[100.0]]]
    assert input_norms(subject)["weight"].item() == pytest.approx(10 * 5000**0.5)
    assert input_norms(subject)["weight"].dtype == torch.float32


def test_autocast_in_the_model_does_not_reach_the_sums():
    class Casting(nn.Linear):
        def forward(self, inputs):
            with torch.autocast("cpu", torch.bfloat16):
                return self.inner(inputs)

    model = Casting(4, 4)
    model.inner = nn.Linear(4, 4)
    inputs = torch.randn(50, 4)
    found = input_second_moments(subject_of(model, inputs, include=("inner",)))["inner.weight"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], inputs.T @ inputs / 50)


def test_the_model_runs_in_evaluation_mode_and_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2)).double()
    model[0].eval()
    inputs = torch.randn(6, 3).double()
    found = input_second_moments(subject_of(model, inputs))["2.weight"][0]
    torch.testing.assert_close(found, inputs.T @ inputs / 6 / (1 + model[0].eps))
    assert [module.training for module in model] == [False, True, True]
    assert model[0].num_batches_tracked == 0


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return self.second(input=self.first(inputs))


def test_a_tied_weight_sees_what_each_of_its_layers_is_given():
    model, inputs = Tied().double(), torch.randn(5, 3).double()
    rows = torch.cat([inputs, model.first(inputs).detach()])
    torch.testing.assert_close(input_second_moments(subject_of(model, inputs))["first.weight"][0], rows.T @ rows / 10)


def test_a_compiled_model_shows_what_the_plain_one_does_and_is_not_compiled_anew():
    compilations = []

    def backend(graph, example_inputs):
        compilations.append(graph)
        return graph

    model, inputs = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(5, 3)
    expected = input_norms(subject_of(model, inputs))
    compiled = torch.compile(model, backend=backend)
    compiled(inputs)
    found = input_norms(subject_of(compiled, inputs))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(compilations) == 1


def test_layers_that_torch_would_fuse_are_seen_too():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1)

        def forward(self, inputs):
            return self.encoder(inputs, src_key_padding_mask=torch.tensor([[False, False, True]]))

    found = input_norms(subject_of(Masked(), torch.randn(1, 3, 4), include=("*linear1", "*linear2")))
    assert found["encoder.layers.0.linear2.weight"].shape == (1, 8)
    assert torch.backends.mha.get_fastpath_enabled()


def hooks(model):
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


def test_hooks_and_mode_are_gone_after_an_error():
    class Failing(nn.Linear):
        def forward(self, inputs):
            raise KeyError("mine")

    model = nn.Sequential(nn.Linear(3, 3), Failing(3, 2))
    with pytest.raises(KeyError, match="mine"):
        input_second_moments(subject_of(model, torch.randn(2, 3)))
    assert hooks(model) == 0
    assert model.training
    assert torch.backends.mha.get_fastpath_enabled()


def test_hooks_are_gone_after_a_statistic_fails():
    def see(name, layer, inputs):
        raise ZeroDivisionError

    subject = subject_of(nn.Linear(3, 2), torch.randn(2, 3))
    with pytest.raises(ZeroDivisionError):
        see_inputs(subject, layers_of(subject), see)
    assert hooks(subject.model) == 0


def test_layers_of_other_kinds_are_named():
    model = nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 2))
    with pytest.raises(ScoreError, match=r"'1.weight_ih_l0' of a LSTM.*exclude"):
        input_second_moments(subject_of(model, torch.randn(2, 3)))


def test_a_weight_tied_to_a_layer_of_another_kind_is_named():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    with pytest.raises(ScoreError, match="of a Embedding"):
        input_norms(subject_of(model, torch.tensor([1, 2]), include=("0.weight",)))


def test_a_bias_is_named():
    with pytest.raises(ScoreError, match=r"'0.bias' of a Linear: exclude"):
        input_norms(subject_of(nn.Sequential(nn.Linear(3, 2)), torch.randn(2, 3), include=("0.bias",)))


def test_a_layer_that_is_never_called_is_named():
    model = nn.MultiheadAttention(4, 2)
    wrapped = nn.Sequential(nn.Linear(4, 4))
    wrapped.unused = nn.Linear(4, 4)
    wrapped.forward = lambda inputs: wrapped[0](inputs)
    with pytest.raises(ScoreError, match=r"'unused.weight' are not called.*exclude"):
        input_norms(subject_of(wrapped, torch.randn(2, 4)))
    attending = nn.Sequential()
    attending.attention = model
    attending.forward = lambda inputs: model(inputs, inputs, inputs)[0]
    with pytest.raises(ScoreError, match=r"'attention.out_proj.weight' are not called"):
        input_norms(subject_of(attending, torch.randn(2, 4), include=("attention.out_proj",)))


def test_inputs_that_are_not_finite_are_refused():
    inputs = torch.randn(3, 3)
    inputs[1, 1] = float("nan")
    with pytest.raises(ScoreError, match="'weight' are NaN"):
        input_second_moments(subject_of(nn.Linear(3, 2), inputs))


def test_data_are_needed():
    model = nn.Linear(3, 2)
    with pytest.raises(ArgumentError, match="pass batches"):
        input_norms(Subject(model, Scope().parameters(model)))
    with pytest.raises(ArgumentError, match="empty"):
        input_norms(Subject(model, Scope().parameters(model), []))
