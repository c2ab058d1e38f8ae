from __future__ import annotations

import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from prunus.errors import ArgumentError, MaskError, ScopeError, TrainingError, UnknownNameError
from prunus.masks.masks import Masks
from prunus.training.edge_popup import EdgePopup
from prunus.training.tables import EDGE_POPUPS
from training.small import batch, small_model, train

SIZES = {"0.weight": 60, "2.weight": 40}


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), 0.05, weight_decay=0.1)


def fused(model):
    return torch.optim.Adam(model.parameters(), 0.05, weight_decay=0.1, fused=True)


class DecaysAll(torch.optim.Optimizer):
    """Somebody's own, which asks for no gradient."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.mul_(0.9)


class TopScores(torch.autograd.Function):
    """The paper's h: 1 for so many of the highest scores, by sorting; the identity backwards."""

    @staticmethod
    def forward(context, scores, count):
        kept = scores.flatten().sort(descending=True, stable=True).indices[:count]
        return torch.zeros(scores.numel()).scatter(0, kept, 1.0).reshape(scores.shape)

    @staticmethod
    def backward(context, gradient):
        return gradient, None


def masked_layers(first_scores, sparsity, steps, rate):
    """Edge-popup as the paper has it: S are parameters of autograd, the network runs on W ⊙ h(|S|)."""
    model = small_model().requires_grad_(False)
    scores = {name: score.clone().requires_grad_() for name, score in first_scores.items()}
    optimizer = torch.optim.SGD(scores.values(), rate, momentum=0.9, weight_decay=1e-4)

    def masks():
        counts = {name: size - round(sparsity * size) for name, size in SIZES.items()}
        return {name: TopScores.apply(score.abs(), counts[name]) for name, score in scores.items()}

    for step in range(steps):
        products = {name: model.get_parameter(name) * mask for name, mask in masks().items()}
        inputs, targets = batch(step)
        optimizer.zero_grad()
        cross_entropy(functional_call(model, products, (inputs,)), targets).backward()
        optimizer.step()
    return {name: score.detach() for name, score in scores.items()}, {name: mask > 0 for name, mask in masks().items()}


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("make_optimizer", [sgd, adamw, fused])
def test_scores_are_learnt_as_by_the_papers_straight_through_layers(sparsity, make_optimizer):
    model = small_model()
    optimizer = make_optimizer(model)
    with EdgePopup(model, optimizer, sparsity, learning_rate=1.0, seed=3) as pruner:
        scores, masks = masked_layers(pruner.state_dict()["scores"], sparsity, 12, 1.0)
        popped_up = 0
        for number in range(12):
            before = pruner.masks
            train(model, optimizer, pruner, 1, number)
            popped_up += (pruner.masks - before).kept
        assert popped_up > 10
        assert pruner.masks == Masks(masks)
        for name, score in scores.items():
            assert torch.equal(pruner.scores[name], score)


@pytest.mark.parametrize("make_optimizer", [sgd, adamw, fused])
def test_no_weight_is_ever_trained(make_optimizer):
    first, model = dict(small_model().named_parameters()), small_model()
    optimizer = make_optimizer(model)
    keys = list(model.state_dict())
    with EdgePopup(model, optimizer, 0.5, learning_rate=1.0) as pruner:
        for number in range(8):
            train(model, optimizer, pruner, 1, number)
            for name, weight in model.named_parameters():
                expected = first[name].masked_fill(~pruner.masks[name], 0.0) if name in SIZES else first[name]
                assert torch.equal(weight, expected)
                assert not weight[weight == 0].signbit().any()
    assert list(model.state_dict()) == keys
    assert not optimizer.state


def test_an_optimizer_that_asks_for_no_gradient_trains_no_weight_in_scope_either():
    model = small_model()
    optimizer = DecaysAll(model.parameters())
    with EdgePopup(model, optimizer, 0.5, learning_rate=1.0) as pruner:
        train(model, optimizer, pruner, 3)
        for name, mask in pruner.masks.items():
            assert torch.equal(model.get_parameter(name), small_model().get_parameter(name).masked_fill(~mask, 0.0))


def test_what_is_out_of_scope_is_trained_where_told_so():
    models = []
    for popping_up in (True, False):
        model = small_model()
        optimizer = sgd(model)
        if popping_up:
            with EdgePopup(model, optimizer, 0.0, train_others=True, exclude=["2"]) as pruner:
                train(model, optimizer, pruner, 6)
        else:
            model[0].weight.requires_grad_(False)
            train(model, optimizer, None, 6)
        models.append(model)
    assert torch.equal(models[0][0].weight, small_model()[0].weight)
    assert not torch.equal(models[0][2].weight, small_model()[2].weight)
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(ours, theirs)


@settings(max_examples=30)
@given(st.floats(0, 0.97), st.integers(0, 4))
def test_every_tensor_has_its_exact_count_at_every_step(sparsity, steps):
    model = small_model()
    optimizer = sgd(model)
    with EdgePopup(model, optimizer, sparsity, learning_rate=1.0) as pruner:
        train(model, optimizer, pruner, steps)
        assert {name: int((~mask).sum()) for name, mask in pruner.masks.items()} == {
            name: round(sparsity * size) for name, size in SIZES.items()
        }


def test_first_scores_are_kaiming_uniform_and_drawn_from_the_seed_alone():
    def scores(seed):
        model = nn.Sequential(nn.Conv2d(4, 30, 3), nn.Flatten(), nn.Linear(30, 50))
        with EdgePopup(model, torch.optim.SGD(model.parameters(), 0.1), 0.5, seed=seed) as pruner:
            return pruner.scores

    once, again, other = scores(1), scores(1), scores(2)
    for name, fan_in in (("0.weight", 36), ("2.weight", 30)):
        assert torch.equal(once[name], again[name])
        assert not torch.equal(once[name], other[name])
        assert float(once[name].abs().max()) == pytest.approx(1 / math.sqrt(fan_in), rel=0.02)
        assert float(once[name].std()) == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.1)


@pytest.mark.parametrize("weights", EDGE_POPUPS)
def test_weights_are_what_their_name_says(weights):
    first, model = small_model(), small_model()
    with EdgePopup(model, sgd(model), 0.75, weights) as pruner:
        pass
    constants = {"0.weight": math.sqrt(2 / 6), "2.weight": math.sqrt(2 / 10)}
    for name, mask in pruner.masks.items():
        weight, kept = first.get_parameter(name), model.get_parameter(name)[mask]
        expected = weight.sign() * constants[name] if "signed" in weights else weight
        torch.testing.assert_close(kept, (expected * (2 if "scaled" in weights else 1))[mask], rtol=1e-6, atol=0)
    assert torch.equal(model[0].bias, first[0].bias)


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("loaded", ["when made", "after"])
def test_a_checkpoint_goes_on_bit_for_bit(at, loaded):
    def made(state=None, model_state=None):
        model = small_model()
        if model_state:
            model.load_state_dict(model_state)
        optimizer = sgd(model)
        pruner = EdgePopup(model, optimizer, 0.6, "signed", learning_rate=1.0, state=state)
        return model, optimizer, pruner, torch.optim.lr_scheduler.CosineAnnealingLR(pruner.learner, 9)

    def go_on(model, optimizer, pruner, scheduler, start, stop):
        for number in range(start, stop):
            train(model, optimizer, pruner, 1, number)
            scheduler.step()

    whole, optimizer, expected, scheduler = made()
    go_on(whole, optimizer, expected, scheduler, 0, 9)
    first, optimizer, pruner, scheduler = made()
    go_on(first, optimizer, pruner, scheduler, 0, at)
    file = io.BytesIO()
    torch.save([first.state_dict(), pruner.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    model_state, state, schedule = torch.load(file, weights_only=True)
    if loaded == "when made":
        second, optimizer, pruner, scheduler = made(state, model_state)
    else:
        second, optimizer, pruner, scheduler = made()
        train(second, optimizer, pruner, 2)
        second.load_state_dict(model_state)
        pruner.load_state_dict(state)
    scheduler.load_state_dict(schedule)
    assert all(torch.equal(value, model_state[key]) for key, value in second.state_dict().items())
    go_on(second, optimizer, pruner, scheduler, at, 9)
    assert pruner.steps == 9
    assert pruner.masks == expected.masks
    assert pruner.learner.param_groups[0]["lr"] == expected.learner.param_groups[0]["lr"] < 1e-6
    assert all(torch.equal(pruner.scores[name], scores) for name, scores in expected.scores.items())
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in second.state_dict().items())


@pytest.mark.parametrize("make_optimizer", [adamw, fused])
def test_a_scaled_loss_teaches_the_same_scores_and_a_skipped_step_none(make_optimizer):
    found = []
    for scaled in (True, False):
        model = small_model()
        optimizer = make_optimizer(model)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        with EdgePopup(model, optimizer, 0.5, learning_rate=1.0) as pruner:
            for number in range(7 if scaled else 6):
                inputs, targets = batch(number)
                optimizer.zero_grad()
                loss = cross_entropy(model(inputs), targets) * (math.inf if number == 6 else 1)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                pruner.step()
            found.append(pruner.state_dict())
    torch.testing.assert_close(found[0]["scores"], found[1]["scores"])
    assert Masks(found[0]["masks"]) == Masks(found[1]["masks"])


def test_several_backward_passes_learn_what_one_does():
    found = []
    for pieces in (1, 4):
        model = small_model()
        optimizer = sgd(model)
        with EdgePopup(model, optimizer, 0.5, learning_rate=1.0) as pruner:
            for number in range(6):
                inputs, targets = batch(number)
                optimizer.zero_grad()
                for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
                    cross_entropy(model(x), y, reduction="sum").backward()
                optimizer.step()
                pruner.step()
            found.append(pruner.state_dict()["scores"])
    torch.testing.assert_close(*found)


def test_half_precision_learns_scores_in_single_and_keeps_its_weights():
    model = small_model().to(torch.bfloat16)
    optimizer = sgd(model)
    with EdgePopup(model, optimizer, 0.7, learning_rate=1.0) as pruner:
        for number in range(5):
            inputs, targets = batch(number)
            optimizer.zero_grad()
            cross_entropy(model(inputs.bfloat16()), targets).backward()
            optimizer.step()
            pruner.step()
        assert {scores.dtype for scores in pruner.scores.values()} == {torch.float32}
        for name, mask in pruner.masks.items():
            assert torch.equal(model.get_parameter(name), small_model().bfloat16().get_parameter(name) * mask)


def test_after_closing_the_model_trains_as_any_other():
    model = small_model()
    optimizer = sgd(model)
    with EdgePopup(model, optimizer, 0.5) as pruner:
        train(model, optimizer, pruner, 2)
    train(model, optimizer, None, 1)
    assert (model[0].weight[~pruner.masks["0.weight"]] != 0).any()
    assert not torch.equal(model[0].bias, small_model()[0].bias)


def test_a_tensor_that_would_be_emptied_keeps_its_best_weight_and_is_named():
    for protect, left, named in ((True, {1}, ("0.weight", "2.weight")), (False, {0}, ())):
        model = small_model()
        with EdgePopup(model, sgd(model), 0.995, protect=protect) as pruner:
            assert {int(mask.sum()) for mask in pruner.masks.values()} == left
            assert pruner.last.protected == named


def test_mistakes_are_refused_and_leave_the_optimizer_alone():
    model = small_model()
    optimizer = sgd(model)
    with pytest.raises(ArgumentError, match=r"sparsity must lie in \[0, 1\), got 50"):
        EdgePopup(model, optimizer, 50)
    with pytest.raises(ArgumentError, match=r"learning_rate must be above 0, got nan"):
        EdgePopup(model, optimizer, 0.5, learning_rate=math.nan)
    with pytest.raises(UnknownNameError, match=r"no kind of weights is named 'sgined'.* did you mean 'signed'"):
        EdgePopup(model, optimizer, 0.5, "sgined")
    with pytest.raises(ScopeError, match=r"'0.bias' has the shape \(10,\), and edge-popup chooses .*exclude it"):
        EdgePopup(model, optimizer, 0.5, include=["0.bias"])
    with pytest.raises(ScopeError, match=r"'0.weight' is not updated by the optimizer.*exclude it"):
        EdgePopup(model, torch.optim.SGD(model[2].parameters(), 0.1), 0.5)
    model[0].weight.requires_grad_(False)
    with pytest.raises(ScopeError, match=r"'0.weight' requires no gradient.*exclude it"):
        EdgePopup(model, optimizer, 0.5)
    assert not optimizer._optimizer_step_pre_hooks
    first = small_model().state_dict()
    assert all(torch.equal(value, first[key]) for key, value in model.state_dict().items())
    with EdgePopup(model, optimizer, 0.5, exclude=["0"]) as pruner:
        with pytest.raises(ArgumentError, match=r"not a EdgePopup's state"):
            pruner.load_state_dict({"steps": 1})
        state = pruner.state_dict()
        with pytest.raises(MaskError, match=r"the state's scores do not fit"):
            pruner.load_state_dict(state | {"scores": {"2.weight": torch.zeros(1)}})


def test_an_optimizer_that_evaluates_its_closure_several_times_is_refused():
    model = small_model()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(batch(0)[0]), batch(0)[1])
        loss.backward()
        return loss

    refused = pytest.raises(ArgumentError, match=r"one backward pass a step, and LBFGS evaluates its closure several")
    with EdgePopup(model, optimizer, 0.5, train_others=True, exclude=["0"]), refused:
        optimizer.step(closure)


def test_scores_that_are_no_longer_numbers_leave_the_masks_as_they_were():
    model = small_model()
    optimizer = sgd(model)
    with EdgePopup(model, optimizer, 0.5) as pruner:
        train(model, optimizer, pruner, 2)
        before = pruner.masks
        pruner.scores["2.weight"][0, 0] = math.nan
        with pytest.raises(TrainingError, match=r"the scores of 2.weight are no longer finite: lower learning_rate"):
            pruner.step()
        assert pruner.masks == before
