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

from prunus.errors import ArgumentError, MaskError, ScopeError, TargetError, TrainingError
from prunus.masks.masks import Masks
from prunus.schedules import Cubic, OneShot
from prunus.training.movement import MovementPruner, ScoreThreshold, TopScores
from training.small import batch, small_model, train

HARD = TopScores(Cubic(0.7, begin=1, end=8))
SOFT = ScoreThreshold(penalty=0.01, threshold=0.47)


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.1)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), 0.05, weight_decay=0.1)


def momentum(model):
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01, nesterov=True)


class StraightThrough(torch.autograd.Function):
    """The paper's mask: a hard choice forwards, the identity backwards."""

    @staticmethod
    def forward(context, scores, mask):
        return mask.to(scores.dtype)

    @staticmethod
    def backward(context, gradient):
        return gradient, None


def chosen(rule, scores, step):
    """The paper's masks, tensor by tensor, by sorting."""
    if isinstance(rule, ScoreThreshold):
        return {name: score.sigmoid() > rule.threshold for name, score in scores.items()}
    found = {}
    for name, score in scores.items():
        count = score.numel() - round(rule.schedule.sparsity(step) * score.numel())
        order = score.flatten().sort(descending=True, stable=True).indices[:count]
        found[name] = torch.zeros(score.numel(), dtype=torch.bool).scatter(0, order, True).reshape(score.shape)
    return found


def masked_layers(make_optimizer, rule, steps, learning_rate):
    """Training as the paper has it: W and S are parameters of autograd, the network runs on W ⊙ M(S)."""
    model = small_model()
    weights = {name: weight for name, weight in model.named_parameters() if weight.dim() == 2}
    scores = {name: torch.zeros_like(weight).requires_grad_() for name, weight in weights.items()}
    optimizer, score_optimizer = make_optimizer(model), torch.optim.SGD(scores.values(), learning_rate)
    for step in range(steps):
        masks = chosen(rule, {name: score.detach() for name, score in scores.items()}, step)
        products = {name: weights[name] * StraightThrough.apply(scores[name], masks[name]) for name in weights}
        inputs, targets = batch(step)
        loss = cross_entropy(functional_call(model, products, (inputs,)), targets)
        if isinstance(rule, ScoreThreshold):
            loss = loss + rule.penalty * sum(score.sigmoid().sum() for score in scores.values())
        optimizer.zero_grad()
        score_optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        score_optimizer.step()
    return model, scores, chosen(rule, {name: score.detach() for name, score in scores.items()}, steps)


@pytest.mark.parametrize("rule", [HARD, SOFT])
@pytest.mark.parametrize("make_optimizer", [sgd, momentum, adamw])
def test_training_is_that_of_the_papers_masked_layers(rule, make_optimizer):
    reference, scores, masks = masked_layers(make_optimizer, rule, 12, 5.0)
    model = small_model()
    optimizer = make_optimizer(model)
    with MovementPruner(model, optimizer, rule, learning_rate=5.0, protect=False) as pruner:
        came_back = 0
        for number in range(12):
            before = pruner.masks
            train(model, optimizer, pruner, 1, number)
            came_back += (pruner.masks - before).kept
        state = pruner.state_dict()
        assert pruner.masks == Masks(masks)
        assert 0.1 < pruner.masks.sparsity < 0.95
        assert came_back > 0
    for name, weight in reference.named_parameters():
        if name in masks:
            torch.testing.assert_close(state["scores"][name], scores[name].detach(), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(state["weights"][name], weight.detach(), rtol=1e-6, atol=1e-7)
            assert torch.equal(model.get_parameter(name), state["weights"][name] * masks[name])
        else:
            torch.testing.assert_close(model.get_parameter(name), weight, rtol=1e-6, atol=1e-7)


@settings(max_examples=30)
@given(st.floats(0, 0.9), st.sampled_from(["layer", "global"]), st.integers(1, 6))
def test_top_scores_remove_the_exact_count(sparsity, scope, steps):
    model = small_model()
    optimizer = sgd(model)
    with MovementPruner(model, optimizer, TopScores(Cubic(sparsity, begin=1, end=4), scope)) as pruner:
        train(model, optimizer, pruner, steps)
        wanted = Cubic(sparsity, begin=1, end=4).sparsity(steps)
        if scope == "global":
            assert pruner.masks.removed == round(wanted * 100)
        else:
            removed = {name: int((~mask).sum()) for name, mask in pruner.masks.items()}
            assert removed == {"0.weight": round(wanted * 60), "2.weight": round(wanted * 40)}
        for name, mask in pruner.masks.items():
            assert (model.get_parameter(name)[~mask] == 0).all()


def test_several_backward_passes_learn_what_one_does():
    found = []
    for pieces in (1, 4):
        model = small_model()
        optimizer = sgd(model)
        with MovementPruner(model, optimizer, HARD, learning_rate=5.0) as pruner:
            for number in range(8):
                inputs, targets = batch(number)
                optimizer.zero_grad()
                for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
                    cross_entropy(model(x), y, reduction="sum").backward()
                optimizer.step()
                pruner.step()
            found.append(pruner.state_dict())
    whole, parts = found
    assert Masks(whole["masks"]) == Masks(parts["masks"])
    torch.testing.assert_close(whole["scores"], parts["scores"])


@pytest.mark.parametrize("fused", [True, False])
def test_a_scaled_loss_teaches_the_same_scores(fused):
    found = []
    for scaled in (True, False):
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters(), 0.05, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        with MovementPruner(model, optimizer, SOFT, learning_rate=5.0) as pruner:
            for number in range(6):
                inputs, targets = batch(number)
                optimizer.zero_grad()
                scaler.scale(cross_entropy(model(inputs), targets)).backward()
                scaler.step(optimizer)
                scaler.update()
                pruner.step()
            found.append(pruner.state_dict())
    torch.testing.assert_close(found[0]["scores"], found[1]["scores"])
    assert Masks(found[0]["masks"]) == Masks(found[1]["masks"])


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_that_the_scaler_skips_teaches_nothing(fused):
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters(), 0.05, fused=fused)
    scaler = torch.amp.GradScaler("cpu")
    with MovementPruner(model, optimizer, SOFT, learning_rate=5.0) as pruner:
        train(model, optimizer, pruner, 3)
        before = pruner.state_dict()
        inputs, targets = batch(3)
        optimizer.zero_grad()
        scaler.scale(math.inf * cross_entropy(model(inputs), targets)).backward()
        scaler.step(optimizer)
        scaler.update()
        pruner.step()
        after = pruner.state_dict()
    for part in ("scores", "weights", "masks"):
        assert all(torch.equal(before[part][name], after[part][name]) for name in before[part])


@pytest.mark.parametrize("rule", [HARD, SOFT])
@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_checkpoint_goes_on_bit_for_bit(rule, at):
    def made():
        model = small_model()
        optimizer = adamw(model)
        return model, optimizer, MovementPruner(model, optimizer, rule, learning_rate=5.0)

    whole, optimizer, pruner = made()
    train(whole, optimizer, pruner, 9)
    expected = pruner.masks
    first, optimizer, pruner = made()
    train(first, optimizer, pruner, at)
    file = io.BytesIO()
    torch.save([first.state_dict(), optimizer.state_dict(), pruner.state_dict()], file)
    file.seek(0)
    model_state, optimizer_state, pruner_state = torch.load(file, weights_only=True)
    second, optimizer, pruner = made()
    train(second, optimizer, pruner, 2)
    second.load_state_dict(model_state)
    optimizer.load_state_dict(optimizer_state)
    pruner.load_state_dict(pruner_state)
    train(second, optimizer, pruner, 9 - at, at)
    assert pruner.masks == expected
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("stepped", [True, False])
def test_weights_that_are_written_between_steps_are_trained_from_there(stepped):
    model = small_model()
    optimizer = sgd(model)
    with MovementPruner(model, optimizer, HARD) as pruner:
        train(model, optimizer, pruner, 6)
        kept = pruner.masks["0.weight"]
        aside = pruner.state_dict()["weights"]["0.weight"][~kept].clone()
        with torch.no_grad():
            model[0].weight[kept] = 7.0
        if stepped:
            pruner.step()
        optimizer.zero_grad()
        optimizer.step()
        state = pruner.state_dict()["weights"]["0.weight"]
        assert (state[kept] == 7.0).all()
        assert torch.equal(state[~kept], aside)


def test_the_penalty_alone_removes_everything_but_what_is_protected():
    for protect, left in ((True, 1), (False, 0)):
        model = small_model()
        optimizer = sgd(model)
        rule = ScoreThreshold(penalty=10.0, threshold=0.3)
        with MovementPruner(model, optimizer, rule, learning_rate=1.0, protect=protect) as pruner:
            train(model, optimizer, pruner, 3)
            assert {int(mask.sum()) for mask in pruner.masks.values()} == {left}


def test_half_precision_learns_scores_in_single():
    model = small_model().to(torch.bfloat16)
    optimizer = sgd(model)
    with MovementPruner(model, optimizer, HARD) as pruner:
        for number in range(8):
            inputs, targets = batch(number)
            optimizer.zero_grad()
            cross_entropy(model(inputs.bfloat16()), targets).backward()
            optimizer.step()
            pruner.step()
        assert pruner.masks.removed == 70
        assert {scores.dtype for scores in pruner.scores.values()} == {torch.float32}


def test_after_closing_the_model_stays_pruned_and_trains_as_any_other():
    model = small_model()
    optimizer = sgd(model)
    keys = list(model.state_dict())
    with MovementPruner(model, optimizer, HARD) as pruner:
        train(model, optimizer, pruner, 8)
    assert list(model.state_dict()) == keys
    assert Masks.of_nonzero(dict(pruner.masks.parameters_of(model))) == pruner.masks
    inputs, targets = batch(8)
    optimizer.zero_grad()
    cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    assert (model[0].weight[~pruner.masks["0.weight"]] != 0).any()


def test_mistakes_are_refused():
    model = small_model()
    optimizer = sgd(model)
    with pytest.raises(ArgumentError, match=r"before the first step all scores are 0"):
        TopScores(OneShot(0.5))
    with pytest.raises(ArgumentError, match=r"threshold must lie in \(0, 0.5\), got 0.5"):
        ScoreThreshold(1.0, threshold=0.5)
    with pytest.raises(ArgumentError, match=r"penalty must be a number that is not negative, got nan"):
        ScoreThreshold(math.nan)
    with pytest.raises(ArgumentError, match=r"a schedule is one of prunus.schedules, such as .* got 0.5$"):
        TopScores(0.5)
    with pytest.raises(ArgumentError, match=r"the rule is TopScores\(schedule\) or .* got Cubic\("):
        MovementPruner(model, optimizer, Cubic(0.5, begin=0, end=9))
    with pytest.raises(ArgumentError, match=r"learning_rate must be above 0, got 0"):
        MovementPruner(model, optimizer, SOFT, learning_rate=0)
    with pytest.raises(ScopeError, match=r"'0.weight' is not updated by the optimizer.*exclude it"):
        MovementPruner(model, torch.optim.SGD(model[2].parameters(), 0.1), SOFT)
    model[0].weight.requires_grad_(False)
    with pytest.raises(ScopeError, match=r"'0.weight' requires no gradient.*exclude it"):
        MovementPruner(model, optimizer, SOFT)
    assert not optimizer._optimizer_step_pre_hooks
    with MovementPruner(model, optimizer, SOFT, exclude=["0"]) as pruner:
        with pytest.raises(ArgumentError, match=r"not a MovementPruner's state"):
            pruner.load_state_dict({"steps": 1})
        state = pruner.state_dict()
        with pytest.raises(MaskError, match=r"the state's scores do not fit"):
            pruner.load_state_dict(state | {"scores": {"2.weight": torch.zeros(1)}})


def test_an_optimizer_that_evaluates_its_closure_several_times_is_refused():
    model = small_model()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.ones(5, 6)), torch.arange(5) % 4)
        loss.backward()
        return loss

    refused = pytest.raises(ArgumentError, match=r"one backward pass a step, and LBFGS evaluates its closure several")
    with MovementPruner(model, optimizer, SOFT), refused:
        optimizer.step(closure)


def test_sparse_gradients_are_refused_before_anything_is_changed():
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Flatten(), nn.Linear(6, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with MovementPruner(model, optimizer, HARD, include=["0.weight", "2"]) as pruner:
        before = pruner.state_dict()
        cross_entropy(model(torch.tensor([[0, 1], [2, 3]])), torch.tensor([0, 1])).backward()
        with pytest.raises(ArgumentError, match=r"the gradients of 0.weight are sparse tensors"):
            optimizer.step()
        assert all(torch.equal(scores, before["scores"][name]) for name, scores in pruner.scores.items())


def test_a_step_with_a_closure_is_the_same_step():
    weights = []
    for with_closure in (False, True):
        model = small_model()
        optimizer = sgd(model)
        with MovementPruner(model, optimizer, TopScores(Cubic(0.7, begin=1, end=5)), learning_rate=0.1) as pruner:
            for number in range(8):
                generator = torch.Generator().manual_seed(number)
                inputs, targets = torch.randn(5, 6, generator=generator), torch.randint(4, (5,), generator=generator)

                def closure(model=model, optimizer=optimizer, inputs=inputs, targets=targets):
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(model(inputs), targets)
                    loss.backward()
                    return loss

                if with_closure:
                    optimizer.step(closure)
                else:
                    closure()
                    optimizer.step()
                pruner.step()
        weights.append([parameter.detach().clone() for parameter in model.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


def test_errors_at_a_step_leave_the_masks_as_they_were():
    model = small_model()
    optimizer = sgd(model)
    with MovementPruner(model, optimizer, TopScores(OneShot(0.99, at=3), "global")) as pruner:
        train(model, optimizer, pruner, 2)
        before = pruner.masks
        with pytest.raises(TargetError):
            train(model, optimizer, pruner, 1, 2)
        pruner.scores["2.weight"][0, 0] = math.nan
        with pytest.raises(TrainingError, match=r"the scores of 2.weight are no longer finite: lower learning_rate"):
            pruner.step()
        assert pruner.masks == before
