from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from prunus.allocation.technique import Technique
from prunus.criteria.scoring import score
from prunus.criteria.subject import Subject
from prunus.criteria.taylor import Taylor
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.scope import Scope


def mean_square(outputs, targets):
    return (outputs - targets).square().mean()


def subject_of(model, batches, **given):
    return Subject(model, Scope().parameters(model), batches, **given)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

    def forward(self, inputs):
        return self.head(self.attention(inputs, inputs, inputs)[0].mean(1))


@pytest.fixture
def convolutional():
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)).double()
    batches = [(torch.randn(size, 2, 3, 3).double(), torch.randn(size, 2).double()) for size in (4, 1, 3)]
    return subject_of(model, batches, loss=mean_square)


def loss_with(subject, gates):
    """The mean loss over all examples when each weight in scope is multiplied by its gate."""
    gated = {name: weight * gates[name] for name, weight in subject.parameters.items()}
    losses = [len(x) * subject.loss(functional_call(subject.model, gated, (x,)), y) for x, y in subject.batches]
    return sum(losses) / sum(len(y) for _, y in subject.batches)


def ones(subject):
    return {name: torch.ones_like(weight, requires_grad=True) for name, weight in subject.parameters.items()}


def slope(subject, gates_of, step=1e-6):
    """Finite difference of the loss with respect to one number, at 1."""
    with torch.no_grad():
        return float(loss_with(subject, gates_of(1 + step)) - loss_with(subject, gates_of(1 - step))) / (2 * step)


# --- gradients ---


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_the_mean_gradient_is_that_of_all_examples_however_they_are_batched(sizes):
    torch.manual_seed(sum(sizes))
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    inputs, targets = torch.randn(sum(sizes), 3).double(), torch.randn(sum(sizes), 2).double()
    batched = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
    found = subject_of(model, batched, loss=mean_square).mean_gradients()
    expected = subject_of(model, [(inputs, targets)], loss=mean_square).mean_gradients()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)


class Added(nn.Module):
    """Autograd gives both weights one and the same gradient tensor."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)

    def forward(self, inputs):
        return nn.functional.linear(inputs, self.first.weight + self.second.weight)


def test_gradients_that_share_memory_are_averaged_each_by_itself():
    batches = [(torch.full((1, 2), float(number)), torch.zeros(1, 2)) for number in (1, 2, 3, 4)]
    gradients = subject_of(Added(), batches, loss=lambda outputs, targets: outputs.sum()).mean_gradients()
    assert gradients["first.weight"].tolist() == gradients["second.weight"].tolist() == [[2.5, 2.5], [2.5, 2.5]]


# --- SNIP ---


def test_snip_is_the_derivative_with_respect_to_a_mask_of_ones(convolutional):
    masks = ones(convolutional)
    loss_with(convolutional, masks).backward()
    scores = score(convolutional, "snip")
    for name, mask in masks.items():
        torch.testing.assert_close(scores[name], mask.grad.abs())


def test_the_papers_normalisation_would_change_no_order(convolutional):
    scores = score(convolutional, "snip")
    flat = torch.cat([scores[name].reshape(-1) for name in scores])
    assert torch.equal(flat.argsort(), (flat / flat.sum()).argsort())


# --- Taylor ---


def test_taylor_is_the_squared_derivative_with_respect_to_a_gate_on_each_weight(convolutional):
    scores = score(convolutional, "taylor")
    for name, weight in convolutional.parameters.items():
        for index in range(weight.numel()):

            def gates_of(value, name=name, index=index):
                gates = {each: torch.ones_like(other) for each, other in convolutional.parameters.items()}
                gates[name].view(-1)[index] = value
                return gates

            found = scores[name].reshape(-1)[index].item()
            assert found == pytest.approx(slope(convolutional, gates_of) ** 2, abs=1e-10)


def test_taylor_of_a_small_weight_is_the_squared_change_when_it_is_really_removed(convolutional):
    with torch.no_grad():
        for parameter in convolutional.parameters.values():
            parameter.mul_(1e-3)
    scores = score(convolutional, "taylor")
    gates = {name: torch.ones_like(weight) for name, weight in convolutional.parameters.items()}
    with torch.no_grad():
        dense = loss_with(convolutional, gates)
        for name, gate in gates.items():
            for index in range(gate.numel()):
                gate.view(-1)[index] = 0.0
                change = float(loss_with(convolutional, gates) - dense)
                gate.view(-1)[index] = 1.0
                assert scores[name].reshape(-1)[index].item() == pytest.approx(change**2, rel=5e-2, abs=1e-14)


def test_taylor_of_a_filter_is_the_squared_derivative_with_respect_to_a_gate_on_the_filter(convolutional):
    scores = score(convolutional, Taylor("channel"))
    for name, weight in convolutional.parameters.items():
        for channel in range(len(weight)):

            def gates_of(value, name=name, channel=channel):
                gates = {each: torch.ones_like(other) for each, other in convolutional.parameters.items()}
                gates[name][channel] = value
                return gates

            expected = slope(convolutional, gates_of) ** 2
            assert scores[name][channel].reshape(-1).tolist() == pytest.approx(
                [expected] * weight[0].numel(), abs=1e-10
            )


def test_taylor_of_a_head_is_of_all_its_projections_at_once():
    model = Attending().double()
    scope = Scope(include=("attention",)).parameters(model)
    batches = [(torch.randn(3, 5, 4).double(), torch.randn(3, 2).double())]
    subject = Subject(model, scope, batches, loss=mean_square)
    scores = score(subject, Taylor("head"))
    for head in range(2):
        rows = [part * 4 + head * 2 + row for part in range(3) for row in range(2)]
        columns = [head * 2, head * 2 + 1]

        def gates_of(value, rows=rows, columns=columns):
            gates = {name: torch.ones_like(weight) for name, weight in scope.items()}
            gates["attention.in_proj_weight"][rows] = value
            gates["attention.out_proj.weight"][:, columns] = value
            return gates

        expected = slope(subject, gates_of) ** 2
        assert scores["attention.in_proj_weight"][rows].reshape(-1).tolist() == pytest.approx([expected] * 24, abs=1e-9)
        assert scores["attention.out_proj.weight"][:, columns].reshape(-1).tolist() == pytest.approx(
            [expected] * 8, abs=1e-9
        )


def test_changes_of_opposite_sign_cancel_in_a_group_and_not_in_the_sum():
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, -2.0]]))
    subject = subject_of(model, [(torch.ones(1, 2), torch.zeros(1, 1))], loss=lambda outputs, targets: outputs.sum())
    assert score(subject, "taylor")["weight"].tolist() == [[4.0, 4.0]]
    assert score(subject, Taylor("channel"))["weight"].tolist() == [[0.0, 0.0]]
    assert score(subject, Taylor("column"))["weight"].tolist() == [[4.0, 4.0]]


def test_the_mean_over_a_group_gives_its_score_back(convolutional):
    technique = Technique("taylor", pattern="channel", settings={"group": "channel"}, scope="layer")
    masks = technique.allocate(convolutional, 0.5).masks
    found = score(convolutional, Taylor("channel"))
    worst = found["0.weight"][:, 0, 0, 0].argmin()
    assert (~masks["0.weight"][worst]).all()


def test_small_changes_do_not_all_become_zero():
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2e-25, 3e-25, 1e-25]]))
    subject = subject_of(model, [(torch.ones(1, 3), torch.zeros(1, 1))], loss=lambda outputs, targets: outputs.sum())
    assert score(subject, "taylor")["weight"].argsort().tolist() == [[2, 0, 1]]


@pytest.mark.parametrize("group", ["2:4", "channels"])
def test_groups_that_do_not_go_at_once_are_refused(group):
    with pytest.raises(ArgumentError, match=r"go one by one|no pattern is written"):
        Taylor(group)


@pytest.mark.parametrize("criterion", ["gradient-weight", "snip", "taylor", Taylor("channel"), "movement"])
def test_gradients_that_are_all_zero_are_refused(criterion):
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    subject = subject_of(model, [(torch.randn(4, 2), torch.zeros(4))], loss=lambda outputs, targets: outputs.sum() * 0)
    with pytest.raises(ScoreError, match=r"zero for every weight in scope.*look for inputs that are all zero"):
        score(subject, criterion)


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        ({"input_ids": torch.ones(2, 3), "labels": torch.ones(2)}, "a dict"),
        (torch.ones(2, 3), "a Tensor"),
        ((torch.ones(2, 3),), "a tuple of 1"),
        ([torch.ones(2, 3), torch.ones(2), torch.ones(2)], "a list of 3"),
    ],
)
def test_a_batch_that_is_no_pair_is_refused(batch, got):
    with pytest.raises(ArgumentError, match=rf"^each of the batches must be a pair \(inputs, targets\), got {got}$"):
        subject_of(nn.Linear(3, 2), [batch]).mean_gradients()
