from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunus.errors import ArgumentError, ScopeError
from prunus.training.batches import TensorBatches
from prunus.training.gates import ExpectedL0, GatedModel, HardConcrete
from prunus.training.penalties import Penalized
from prunus.training.plan import Plan
from prunus.training.trainer import Trainer

GATES = HardConcrete()


def small_model():
    torch.manual_seed(9)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))


def spread_gates(model, **settings):
    """Gates of which some are closed, some open and some between."""
    gated = GatedModel(model, **settings)
    with torch.no_grad():
        for log_alpha in gated.log_alpha:
            log_alpha.copy_(torch.linspace(-5, 5, len(log_alpha)))
    return gated


@given(st.floats(-6, 6), st.floats(0.001, 0.999))
def test_a_gate_is_open_with_the_probability_that_the_penalty_counts(log_alpha, uniform):
    # The gate rises with the uniform number, so it is open exactly for those above 1 − p.
    log_alpha, uniform = torch.tensor(log_alpha, dtype=torch.float64), torch.tensor(uniform, dtype=torch.float64)
    closed = 1 - float(GATES.open_probability(log_alpha))
    if abs(float(uniform) - closed) > 1e-9:
        assert bool(GATES.gate(log_alpha, uniform) > 0) == (float(uniform) > closed)


def test_gates_by_hand():
    # Louizos et al. 2018, with log α = 0, and log(1/11) = −2.3978953
    zero, half = torch.zeros((), dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    assert float(GATES.gate(zero, half)) == pytest.approx(0.5)
    assert float(GATES.open_probability(zero)) == pytest.approx(1 / (1 + math.exp(-2 / 3 * 2.3978953)))
    assert float(GATES.test_gate(zero)) == pytest.approx(0.5)
    drawn = GATES.gate(torch.tensor(1.0).double(), torch.tensor(0.8).double())
    concrete = 1 / (1 + math.exp(-(math.log(0.8 / 0.2) + 1) / (2 / 3)))
    assert float(drawn) == pytest.approx(min(1, concrete * 1.2 - 0.1))
    assert float(GATES.gate(zero - 9, half)) == float(GATES.test_gate(zero - 9)) == 0
    assert float(GATES.gate(zero + 9, half)) == float(GATES.test_gate(zero + 9)) == 1


def test_the_lowest_number_that_can_be_drawn_closes_a_gate_without_breaking_its_gradient():
    log_alpha = torch.zeros(1, requires_grad=True)
    gate = GATES.gate(log_alpha, torch.zeros(1))
    gate.sum().backward()
    assert gate.item() == 0
    assert log_alpha.grad.item() == 0


def test_many_gates_are_open_as_often_as_expected():
    torch.manual_seed(0)
    for log_alpha in (-2.0, 0.0, 1.5):
        gates = GATES.gate(torch.full((200_000,), log_alpha), torch.rand(200_000))
        assert float((gates > 0).float().mean()) == pytest.approx(
            float(GATES.open_probability(torch.tensor(log_alpha))), abs=0.005
        )


@pytest.mark.parametrize("pattern", ["weight", "channel", "kernel", "block:2x3", "layer"])
def test_the_expected_count_is_that_of_many_draws(pattern):
    gated = spread_gates(small_model(), pattern=pattern)
    counts = []
    for _ in range(300):
        drawn = {}
        with torch.no_grad():
            for layout, log_alpha in zip(gated._layouts, gated.log_alpha, strict=True):
                drawn |= layout.spread(gated._drawn(log_alpha))
        counts.append(sum(int((gates > 0).sum()) for gates in drawn.values()))
    counts = torch.tensor(counts, dtype=torch.float64)
    assert gated.expected_l0().item() == pytest.approx(float(counts.mean()), abs=4 * float(counts.std()) / 300**0.5 + 1)


def test_the_gradient_of_the_expected_count_is_that_of_finite_differences():
    gated = spread_gates(small_model().double(), pattern="channel")
    gated.expected_l0().backward()
    for log_alpha in gated.log_alpha:
        for place in range(len(log_alpha)):
            slope = 0.0
            for sign in (1, -1):
                with torch.no_grad():
                    log_alpha[place] += sign * 1e-5
                    slope += sign * gated.expected_l0().item() / 2e-5
                    log_alpha[place] -= sign * 1e-5
            assert float(log_alpha.grad[place]) == pytest.approx(slope, abs=1e-6)


def test_the_gradient_of_the_loss_reaches_weights_and_gates():
    gated = spread_gates(small_model().double(), pattern="channel")
    inputs = torch.randn(5, 1, 5, 5, dtype=torch.float64)

    def loss():
        torch.manual_seed(6)
        return gated(inputs).square().mean()

    loss().backward()
    for parameter in (gated.log_alpha[0], gated.log_alpha[1], gated.model[4].weight):
        flat = parameter.data.view(-1)
        for place in (1, len(flat) // 2):
            slope, value = 0.0, float(flat[place])
            for sign in (1, -1):
                flat[place] = value + sign * 1e-6
                slope += sign * loss().item() / 2e-6
            flat[place] = value
            assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("pattern", ["weight", "channel", "layer"])
def test_in_evaluation_the_model_runs_on_its_weights_times_the_gates_without_chance(pattern):
    model = small_model()
    gated = spread_gates(model, pattern=pattern).eval()
    inputs = torch.randn(5, 1, 5, 5)
    by_hand = copy.deepcopy(model)
    with torch.no_grad():
        for layer, log_alpha in zip((by_hand[0], by_hand[4]), gated.log_alpha, strict=True):
            gates = (log_alpha.sigmoid() * 1.2 - 0.1).clamp(0, 1)
            shape = layer.weight.shape if pattern == "weight" else (-1, *[1] * (layer.weight.dim() - 1))
            layer.weight.mul_(gates.reshape(shape))
    assert torch.allclose(gated(inputs), by_hand(inputs))
    masks = gated.prune()
    assert torch.allclose(model(inputs), by_hand(inputs))
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name) != 0, mask)
        assert not model.get_parameter(name)[~mask].signbit().any()
    assert 0 < masks.removed < masks.total or pattern == "layer"


@pytest.mark.parametrize(("pattern", "left"), [("weight", 1), ("channel", 9), ("layer", 0)])
def test_where_all_gates_are_closed_the_likeliest_can_be_protected(pattern, left):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(36, 2))
    before = copy.deepcopy(model)
    gated = GatedModel(model, pattern, include=["0"])
    with torch.no_grad():
        gated.log_alpha[0].fill_(-9)
        gated.log_alpha[0][-1] += 1
    assert gated.masks.kept == 0
    masks = gated.prune(protect=True)
    assert masks.kept == left
    assert torch.equal(model[0].weight[masks["0.weight"]], before[0].weight[masks["0.weight"]])
    assert masks["0.weight"].view(-1)[36 - left :].all()
    assert not model[0].weight[~masks["0.weight"]].any()


def test_protection_changes_nothing_where_a_gate_is_open():
    gated, other = spread_gates(small_model()), spread_gates(small_model())
    expected = gated.masks
    assert 0 < expected.removed < expected.total
    assert gated.prune(protect=True) == other.prune() == expected
    assert all(torch.equal(gated.model.state_dict()[name], other.model.state_dict()[name]) for name in expected)


def test_the_model_itself_stays_as_it_is():
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    parameters = dict(model.named_parameters())
    gated = GatedModel(model)
    gated(torch.randn(5, 1, 5, 5)).sum().backward()
    assert list(model.state_dict()) == list(before)
    assert all(model.get_parameter(name) is parameter for name, parameter in parameters.items())
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in parameters)
    assert model[1].num_batches_tracked == 1
    assert {name for name, _ in gated.named_parameters()} == {
        *(f"model.{name}" for name in parameters),
        "log_alpha.0",
        "log_alpha.1",
    }


def test_a_copy_has_weights_and_gates_of_its_own():
    gated = GatedModel(small_model()).eval()
    copied = copy.deepcopy(gated)
    inputs = torch.randn(5, 1, 5, 5)
    before = gated(inputs)
    with torch.no_grad():
        copied.model[4].weight.zero_()
        copied.log_alpha[0].fill_(-9)
    assert torch.equal(gated(inputs), before)
    assert not torch.equal(copied(inputs), before)


def test_a_tied_weight_has_one_gate():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

        def forward(self, inputs):
            return self.second(self.first(inputs))

    model = Tied()
    gated = spread_gates(model).eval()
    assert len(gated.log_alpha) == 1
    inputs = torch.randn(3, 4)
    weight = model.first.weight * (gated.log_alpha[0].sigmoid() * 1.2 - 0.1).clamp(0, 1).reshape(4, 4)
    assert torch.allclose(gated(inputs), inputs @ weight.T @ weight.T)


def test_first_gates_follow_the_drop_rate_and_the_seed():
    for drop_rate in (0.1, 0.5, 0.9):
        first = torch.cat(list(GatedModel(small_model(), drop_rate=drop_rate).log_alpha)).detach()
        assert float(first.mean()) == pytest.approx(math.log((1 - drop_rate) / drop_rate), abs=0.005)
        assert float(first.std()) == pytest.approx(0.01, abs=0.003)
    same, other = (GatedModel(small_model(), seed=seed).log_alpha[0] for seed in (0, 1))
    assert torch.equal(same, GatedModel(small_model()).log_alpha[0])
    assert not torch.equal(same, other)


def test_draws_come_from_torchs_random_state_as_dropout_does():
    gated = GatedModel(small_model())
    inputs = torch.randn(5, 1, 5, 5)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(gated(inputs))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_half_precision_keeps_its_type():
    gated = GatedModel(nn.Linear(6, 3).bfloat16())
    assert gated(torch.randn(2, 6).bfloat16()).dtype == torch.bfloat16
    assert gated.log_alpha[0].dtype == torch.float32


def test_training_with_the_penalty_prunes_inputs_that_tell_nothing():
    torch.manual_seed(3)
    inputs = torch.randn(128, 8)
    batches = TensorBatches(inputs, (inputs[:, 0] > 0).long(), 32)
    model = nn.Linear(8, 2)
    penalty = ExpectedL0(0.02, pattern="column")
    gated = penalty.gated(model)
    loss = Penalized(nn.functional.cross_entropy, penalty, gated)
    plan = Plan(epochs=60, batch_size=32, optimizer="adam", learning_rate=0.05)
    Trainer(batches, plan, loss).fit(gated, 0)
    masks = gated.prune()
    assert masks["weight"][:, 0].all()
    assert int((~masks["weight"]).all(0).sum()) >= 5
    assert ((model(inputs).argmax(1)) == (inputs[:, 0] > 0)).float().mean() > 0.9


def test_mistakes_are_refused():
    with pytest.raises(ArgumentError, match=r"beta must be above 0, gamma below 0 and zeta above 1, got 0.6, 0.1"):
        HardConcrete(0.6, 0.1)
    with pytest.raises(ArgumentError, match=r"drop_rate must lie in \(0, 1\), got 1"):
        GatedModel(small_model(), drop_rate=1)
    with pytest.raises(ArgumentError, match=r"no division into groups"):
        GatedModel(small_model(), "2:4")
    with pytest.raises(ScopeError):
        GatedModel(small_model(), include=["fc"])
    with pytest.raises(ArgumentError, match=r"strength must be a number that is not negative, got -1"):
        ExpectedL0(-1)
    with pytest.raises(ArgumentError, match=r"include is a list of names"):
        ExpectedL0(1.0, include="0")
    with pytest.raises(ArgumentError, match=r"got Sequential: train penalty.gated\(model\) in its place"):
        ExpectedL0(1.0)(small_model())
