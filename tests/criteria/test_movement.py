from __future__ import annotations

import io
import sys
import types

import pytest
import torch
from torch import nn

from prunus.allocation.allocate import allocate
from prunus.criteria.movement import Movement
from prunus.criteria.scoring import score
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, MaskError, ScoreError, UserCodeError
from prunus.masks.scope import Scope
from prunus.schedules import Levels, OneShot
from prunus.training.pruner import Pruner


def network(dtype=torch.float32):
    generator = torch.Generator().manual_seed(9)
    model = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4)).to(dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return model


def batch(number, dtype=torch.float32):
    generator = torch.Generator().manual_seed(number)
    return torch.randn(5, 6, generator=generator).to(dtype), torch.randint(4, (5,), generator=generator)


def loss_of(model, number):
    inputs, targets = batch(number, next(model.parameters()).dtype)
    return nn.functional.cross_entropy(model(inputs), targets)


def train(model, optimizer, pruner, steps, start=0):
    for number in range(start, start + steps):
        optimizer.zero_grad()
        loss_of(model, number).backward()
        optimizer.step()
        if pruner is not None:
            pruner.step()


def terms(model):
    return {name: -weight.detach() * weight.grad for name, weight in Scope().parameters(model).items()}


def test_it_sums_up_weight_times_gradient_over_all_steps_before_each():
    model, twin = network(), network()
    optimizer, others = (torch.optim.SGD(each.parameters(), 0.1, momentum=0.9) for each in (model, twin))
    sums = {name: torch.zeros_like(weight) for name, weight in Scope().parameters(twin).items()}
    for number in range(5):
        others.zero_grad()
        loss_of(twin, number).backward()
        sums = {name: total + terms(twin)[name] for name, total in sums.items()}
        others.step()
    with Pruner(model, optimizer, OneShot(0.6, at=5), "movement") as pruner:
        train(model, optimizer, pruner, 5)
        assert pruner.masks == allocate(sums, 0.6).masks


def test_it_is_how_far_gradient_descent_moved_the_square_away_from_zero():
    model = network(torch.float64)
    rate = 1e-4
    before = {name: weight.detach().clone() for name, weight in Scope().parameters(model).items()}
    optimizer = torch.optim.SGD(model.parameters(), rate)
    with Pruner(model, optimizer, OneShot(0.5, at=10_000), "movement") as pruner:
        train(model, optimizer, pruner, 50)
        state = pruner.state_dict()["criterion"]
    for name, weight in Scope().parameters(model).items():
        moved = (weight.detach().square() - before[name].square()) / (2 * rate)
        torch.testing.assert_close(state[name], moved, rtol=2e-2, atol=2e-4)


def test_accumulated_backward_passes_are_one_step():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Pruner(model, optimizer, OneShot(0.5, at=9), "movement") as pruner:
        for number in range(3):
            (loss_of(model, number) / 3).backward()
        expected = terms(model)
        optimizer.step()
        state = pruner.state_dict()["criterion"]
    for name, term in expected.items():
        torch.testing.assert_close(state[name], term)


def test_after_training_it_is_one_step_at_fixed_weights():
    model = network()
    subject = Subject(model, Scope().parameters(model), [batch(0)])
    loss_of(model, 0).backward()
    scores = score(subject, "movement")
    for name, term in terms(model).items():
        torch.testing.assert_close(scores[name], term)
    assert any(bool((values < 0).any()) for values in scores.values())


def test_what_is_removed_scores_no_more_and_stays_removed():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    with Pruner(model, optimizer, Levels((0.3, 0.6), every=3, begin=3), "movement") as pruner:
        train(model, optimizer, pruner, 3)
        masks, state = pruner.masks, pruner.state_dict()["criterion"]
        train(model, optimizer, pruner, 2, start=3)
        later = pruner.state_dict()["criterion"]
        train(model, optimizer, pruner, 1, start=5)
        assert pruner.masks.removed == 60
        assert pruner.masks & masks == pruner.masks
    for name, mask in masks.items():
        assert torch.equal(state[name][~mask], later[name][~mask])
        assert not torch.equal(state[name][mask], later[name][mask])


@pytest.mark.parametrize("at", [0, 2, 4, 5])
def test_a_checkpoint_goes_on_to_the_same_masks_and_weights(at):
    schedule = Levels((0.3, 0.5, 0.7), every=2, begin=2)

    def make():
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        return model, optimizer, Pruner(model, optimizer, schedule, "movement")

    whole, optimizer, pruner = make()
    with pruner:
        train(whole, optimizer, pruner, 7)
        expected = pruner.masks
    first, optimizer, pruner = make()
    with pruner:
        train(first, optimizer, pruner, at)
        file = io.BytesIO()
        torch.save([first.state_dict(), optimizer.state_dict(), pruner.state_dict()], file)
        train(first, optimizer, pruner, 7 - at, at)  # a saved state does not follow the pruner
    file.seek(0)
    model_state, optimizer_state, pruner_state = torch.load(file, weights_only=True)
    second, optimizer, pruner = make()
    with pruner:
        second.load_state_dict(model_state)
        optimizer.load_state_dict(optimizer_state)
        pruner.load_state_dict(pruner_state)
        train(second, optimizer, pruner, 7 - at, at)
        assert pruner.masks == expected
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole.parameters(), second.parameters(), strict=True))


def test_sums_of_a_checkpoint_go_where_the_weights_are():
    criterion, weight = Movement(), nn.Parameter(torch.ones(3, device="meta"))
    criterion.load_state_dict({"weight": torch.ones(3)})
    weight.grad = torch.ones_like(weight)
    criterion.observe(Subject(nn.Module(), {"weight": weight}))
    assert criterion.state_dict()["weight"].is_meta


def test_a_state_of_another_criterion_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Pruner(model, optimizer, OneShot(0.5, at=3)) as pruner:
        state = pruner.state_dict()
    with (
        Pruner(model, optimizer, OneShot(0.5, at=3), "movement") as pruner,
        pytest.raises(ArgumentError, match=r"not a Pruner's state: it has the keys .*, this one's \['criterion'"),
    ):
        pruner.load_state_dict(state)


def test_two_pruners_of_one_technique_see_their_own_steps():
    model, other = network(), network()
    optimizer, still = (torch.optim.SGD(each.parameters(), 0.1) for each in (model, other))
    with (
        Pruner(model, optimizer, OneShot(0.5, at=9), "movement") as first,
        Pruner(other, still, OneShot(0.5, at=9), "movement") as second,
    ):
        train(model, optimizer, first, 2)
        assert first.state_dict()["criterion"]
        assert second.state_dict()["criterion"] == {}


def test_without_steps_and_batches_there_is_nothing_to_go_by():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ArgumentError, match=r"no training step was seen.*begin the schedule later, or pass batches="):
        Pruner(model, optimizer, OneShot(0.5), "movement")
    assert not optimizer._optimizer_step_pre_hooks
    with pytest.raises(MaskError):
        Pruner(model, torch.optim.SGD(network().parameters(), 0.1), OneShot(0.5, at=1), "movement")


def test_steps_of_other_parameters_are_refused():
    model, other = network(), nn.Linear(6, 10)
    criterion = Movement()
    loss_of(model, 0).backward()
    criterion.observe(Subject(model, Scope().parameters(model)))
    with pytest.raises(ArgumentError, match=r"training steps of .* were seen, the parameters are \['weight'\]"):
        score(Subject(other, Scope().parameters(other)), criterion)


def test_steps_without_gradients_are_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Pruner(model, optimizer, OneShot(0.5, at=1), "movement") as pruner:
        optimizer.step()
        with pytest.raises(ScoreError, match=r"over all training steps, is zero for every weight"):
            pruner.step()


def test_half_precision_is_summed_in_single():
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    with torch.no_grad():
        model.weight.fill_(1.0)
    subject, criterion = Subject(model, Scope().parameters(model)), Movement()
    for _ in range(1000):
        model.weight.grad = torch.full_like(model.weight, -0.5)
        criterion.observe(subject)
    assert score(subject, criterion)["weight"].tolist() == [[500.0]]


def test_after_closing_nothing_is_observed():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pruner = Pruner(model, optimizer, OneShot(0.5, at=9), "movement")
    train(model, optimizer, pruner, 1)
    pruner.close()
    state = pruner.state_dict()["criterion"]
    train(model, optimizer, None, 1, start=1)
    assert not optimizer._optimizer_step_pre_hooks
    for name, total in pruner.state_dict()["criterion"].items():
        assert torch.equal(total, state[name])


class Wrapped(torch.optim.Optimizer):
    """As Accelerate does it: a subclass that runs no hooks and lets another one step."""

    def __init__(self, optimizer):
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups

    def zero_grad(self):
        self.optimizer.zero_grad()

    def step(self):
        self.optimizer.step()


def test_the_optimizer_that_really_steps_is_observed():
    model = network()
    optimizer = Wrapped(torch.optim.SGD(model.parameters(), 0.1))
    with Pruner(model, optimizer, OneShot(0.5, at=2), "movement") as pruner:
        train(model, optimizer, pruner, 2)
        assert pruner.masks.removed == 50


def test_a_step_that_a_scaler_calls_off_is_not_observed():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=True)
    with Pruner(model, optimizer, OneShot(0.5, at=9), "movement") as pruner:
        optimizer.found_inf = torch.ones(())
        train(model, optimizer, pruner, 1)
        assert pruner.state_dict()["criterion"] == {}


class Watching:
    """A criterion of a user's own that observes but keeps no state for checkpoints."""

    def __init__(self):
        self.steps = 0

    def observe(self, subject):
        self.steps += 1
        if self.steps > 2:
            raise ValueError("three is too many")

    def __call__(self, subject):
        return {name: weight.abs() * self.steps for name, weight in subject.weights().items()}


def test_a_users_own_criterion_may_observe_too(monkeypatch):
    module = types.ModuleType("watchers_of_mine")
    module.Watching = Watching
    monkeypatch.setitem(sys.modules, "watchers_of_mine", module)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Pruner(model, optimizer, OneShot(0.5, at=2), "watchers_of_mine:Watching") as pruner:
        train(model, optimizer, pruner, 2)
        assert pruner.masks.removed == 50
        assert "criterion" not in pruner.state_dict()
        with pytest.raises(UserCodeError, match=r"'watchers_of_mine:Watching' raised ValueError: three is too many"):
            train(model, optimizer, pruner, 1)


@pytest.mark.parametrize("fused", [True, False])
def test_the_scale_of_the_loss_counts_for_nothing_though_it_grows(fused):
    states = []
    for scaled in (True, False):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2, enabled=scaled)
        with Pruner(model, optimizer, OneShot(0.5, at=6), "movement") as pruner:
            for number in range(6):
                optimizer.zero_grad()
                scaler.scale(loss_of(model, number)).backward()
                gradient = model[0].weight.grad
                scaler.step(optimizer)
                assert model[0].weight.grad is gradient
                scaler.update()
                pruner.step()
            states.append((pruner.masks, pruner.state_dict()["criterion"]))
    (masks, sums), (expected, plain) = states
    assert masks == expected
    torch.testing.assert_close(sums, plain)
