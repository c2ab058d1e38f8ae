from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from prunus.criteria import squared_gradients
from prunus.criteria.curvature import mean_over_batches, output_roots, see_gradients
from prunus.criteria.scoring import score
from prunus.criteria.squared_gradients import mean_squared_gradients
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.scope import Scope


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return self.head(self.second(self.first(inputs).tanh()).tanh())


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attention = nn.Embedding(7, 4), nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
        self.recurrent, self.head = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, inputs):
        embedded = self.embed(inputs)
        attended = self.attention(embedded, embedded, embedded, need_weights=False)[0]
        return self.head(self.recurrent(attended)[0][:, -1])


class Functional(nn.Module):
    """Uses a weight past the layer that owns it."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        return self.head(self.first(inputs).tanh()) + inputs @ self.first.weight[:3].T


class Unbinding(Functional):
    def forward(self, inputs):
        return self.head(self.first(inputs).tanh()) + inputs @ torch.stack(self.first.weight.unbind(0)[:3]).T


class Detached(Functional):
    def forward(self, inputs):
        with torch.no_grad():
            hidden = self.first(inputs).tanh()
        return self.head(hidden)


class Changing(Functional):
    """Uses a weight in another way in every other batch."""

    def forward(self, inputs):
        hidden = self.first(inputs) if len(inputs) % 2 else inputs @ self.first.weight.T + self.first.bias
        return self.head(hidden.tanh())


class Branching(nn.Module):
    """Does what torch.func cannot batch."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        hidden = [each.tanh() if float(each.sum()) > 0 else each.sin() for each in self.first(inputs)]
        return self.head(torch.stack(hidden)) + self.first.weight.sum()


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, (3, 1), stride=(2, 1), dilation=(1, 2), groups=2),
        nn.Dropout(),
        nn.Tanh(),
        nn.Conv2d(8, 8, 2, groups=8),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


MODELS = {
    "linear": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)), (4,)),
    "convolutions": (convolutions, (2, 5, 5)),
    "same padding": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding="same"), nn.Flatten(), nn.Linear(27, 3)),
        (2, 3, 3),
    ),
    "sequences": (lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(30, 3)), (6, 4)),
    "tied": (Tied, (4,)),
    "functional": (Functional, (4,)),
    "unbinding": (Unbinding, (4,)),
    "detached": (Detached, (4,)),
    "changing": (Changing, (4,)),
    "branching": (Branching, (4,)),
    "attending": (Attending, None),
}


def subject_of(model, batches, **others):
    return Subject(model, Scope().parameters(model), batches, **others)


@pytest.fixture(params=MODELS)
def subject(request):
    make, shape = MODELS[request.param]
    model = make().double().train()

    def inputs(count):
        return torch.randint(7, (count, 6)) if shape is None else torch.randn(count, *shape, dtype=torch.float64)

    return subject_of(model, [(inputs(size), torch.randint(3, (size,))) for size in (5, 1, 2)])


def one_by_one(subject):
    """Gradients of single examples by the plainest way."""
    subject.model.eval()
    weights = list(subject.parameters.values())
    rows = []
    for inputs, targets in subject.batches:
        for place in range(len(inputs)):
            loss = subject.loss(subject.model(inputs[place : place + 1]), targets[place : place + 1])
            rows.append(torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True))
    return {name: torch.stack(column) for name, column in zip(subject.parameters, zip(*rows, strict=True), strict=True)}


def gathered(subject):
    seen = {name: [] for name in subject.parameters}
    count = see_gradients(subject, lambda gradients: [seen[name].append(gradients[name]) for name in seen])
    return count, {name: torch.cat(parts) for name, parts in seen.items()}


def test_gradients_of_single_examples_are_those_of_each_alone(subject):
    count, found = gathered(subject)
    assert count == 8
    assert not any(value.requires_grad for value in found.values())
    torch.testing.assert_close(found, one_by_one(subject))


def test_mean_squared_gradients_are_the_mean_of_the_squares(subject):
    found = mean_squared_gradients(subject)
    torch.testing.assert_close(found, {name: rows.square().mean(0) for name, rows in one_by_one(subject).items()})


def test_layers_are_read_without_gradients_of_single_examples(monkeypatch):
    monkeypatch.setattr(squared_gradients, "see_gradients", None)  # is not called
    for name in ("linear", "convolutions"):
        make, shape = MODELS[name]
        subject = subject_of(make(), [(torch.randn(4, *shape), torch.randint(3, (4,)))])
        assert mean_squared_gradients(subject).keys() == subject.parameters.keys()


@settings(max_examples=25)
@given(
    channels=st.integers(1, 3),
    groups=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    many=st.booleans(),
)
def test_every_convolution_gives_the_squares(channels, groups, kernel, stride, padding, dilation, many):
    layer = nn.Conv2d(
        channels * groups, 2 * groups, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
    ).double()
    batches = [(torch.randn(3, channels * groups, 6, 7, dtype=torch.float64), torch.zeros(3))]
    subject = subject_of(layer, batches, loss=lambda outputs, targets: outputs.sin().flatten(1).sum(1).mean())
    before = squared_gradients._MANY_PLACES, squared_gradients._MANY_CHANNELS
    squared_gradients._MANY_PLACES, squared_gradients._MANY_CHANNELS = (1, 1) if many else (10**9, 1)
    try:
        found = mean_squared_gradients(subject)
    finally:
        squared_gradients._MANY_PLACES, squared_gradients._MANY_CHANNELS = before
    torch.testing.assert_close(found["weight"], one_by_one(subject)["weight"].square().mean(0))


def test_recurrent_kernels_of_half_the_precision_give_the_same():
    subject = subject_of(Attending(), [(torch.randint(7, (5, 6)), torch.randint(3, (5,)))])
    torch.testing.assert_close(gathered(subject)[1], one_by_one(subject))
    vector = {name: torch.ones_like(value) for name, value in subject.parameters.items()}
    single = mean_over_batches(subject, lambda product: product(vector))
    subject.model.double()
    double = mean_over_batches(subject, lambda product: product(vector))
    for name, value in double.items():
        torch.testing.assert_close(single[name].double(), value, rtol=1e-3, atol=1e-5 * float(value.abs().max()))


def test_inputs_that_are_overwritten_later_are_noticed():
    class Overwriting(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, inputs):
            hidden = self.first(inputs).tanh()
            outputs = self.second(hidden.detach())
            hidden.detach().mul_(2.0)
            return outputs

    model = Overwriting()
    subject = Subject(model, Scope(("second",)).parameters(model), [(torch.randn(4, 4), torch.randint(3, (4,)))])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):  # as in training
        mean_squared_gradients(subject)


def full_hessian(subject):
    """By torch.autograd.functional, of the mean loss over all examples, in evaluation mode."""
    model = subject.model.eval()
    names = {id(value): name for name, value in model.named_parameters()}
    own = [names[id(value)] for value in subject.parameters.values()]
    sizes = [value.numel() for value in subject.parameters.values()]
    shapes = [value.shape for value in subject.parameters.values()]

    def mean_loss(flat):
        parts = zip(own, flat.split(sizes), shapes, strict=True)
        weights = {name: part.reshape(shape) for name, part, shape in parts}
        losses = [len(t) * subject.loss(functional_call(model, weights, (x,)), t) for x, t in subject.batches]
        return sum(losses) / sum(len(t) for _, t in subject.batches)

    flat = torch.cat([value.detach().flatten() for value in subject.parameters.values()])
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return torch.autograd.functional.hessian(mean_loss, flat)


@pytest.mark.parametrize("name", ["linear", "tied", "functional", "attending"])
def test_products_are_those_with_the_full_hessian(name):
    make, shape = MODELS[name]
    model = make().double()
    sizes = (4, 2)
    inputs = [torch.randint(7, (n, 3)) if shape is None else torch.randn(n, *shape).double() for n in sizes]
    subject = subject_of(model, [(x, torch.randint(3, (len(x),))) for x in inputs])
    vector = {name: torch.randn_like(value) for name, value in subject.parameters.items()}
    found = mean_over_batches(subject, lambda product: product(vector))
    joined = torch.cat([value.flatten() for value in found.values()])
    flat = torch.cat([value.flatten() for value in vector.values()])
    torch.testing.assert_close(joined, full_hessian(subject) @ flat, rtol=1e-8, atol=1e-10)


def test_a_loss_without_curvature_has_products_of_zero():
    subject = subject_of(nn.Linear(3, 2), [(torch.randn(4, 3), torch.zeros(4))], loss=lambda o, t: o.mean())
    found = mean_over_batches(subject, lambda product: product({"weight": torch.ones(2, 3)}))
    assert not found["weight"].any()
    with pytest.raises(ScoreError, match="zero for every weight"):
        score(subject, "optimal-brain-damage")


@pytest.mark.parametrize("loss", [cross_entropy, lambda o, t: (o - nn.functional.one_hot(t, 3)).square().mean()])
def test_gradients_of_the_root_losses_make_the_gauss_newton_matrix(loss):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    inputs, targets = torch.randn(6, 4).double(), torch.randint(3, (6,))
    subject = subject_of(model, [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])], loss=loss)
    found = 0
    for root in output_roots(subject):
        rows = torch.cat([value.flatten(1) for value in gathered(root)[1].values()], 1)
        found = found + rows.T @ rows
    names = [name for name, _ in model.named_parameters() if name in subject.parameters]
    expected = 0
    for x, t in zip(inputs, targets, strict=True):

        def outputs(*weights, x=x):
            return functional_call(model, dict(zip(names, weights, strict=True)), (x[None],))[0]

        jacobians = torch.autograd.functional.jacobian(outputs, tuple(subject.parameters.values()))
        jacobian = torch.cat([each.flatten(1) for each in jacobians], 1)
        second = torch.autograd.functional.hessian(lambda o, t=t: loss(o[None], t[None]), model(x[None])[0].detach())
        expected = expected + jacobian.T @ second @ jacobian
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_single_examples_need_as_many_targets_as_inputs():
    subject = subject_of(nn.Linear(4, 3), [(torch.randn(2, 5, 4), torch.randint(3, (10,)))])
    for name in ("fisher", "woodfisher", "optimal-brain-surgeon"):
        with pytest.raises(ArgumentError, match="2 inputs and 10 targets"):
            score(subject, name)
