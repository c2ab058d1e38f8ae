from __future__ import annotations

import copy
import io
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from prunus.errors import ArgumentError, MaskError, ScopeError, ScoreError, TargetError, UnknownNameError
from prunus.masks.masks import Masks
from prunus.training.rewiring import Rewirer
from prunus.training.updates import Updates
from training.small import batch, sgd, small_model, train

RIGL = {"grow": "gradient", "drop": "magnitude"}
SET = {"grow": "random", "drop": "signed"}
OFTEN = Updates(until=100, every=2, fraction=0.4)


def counts(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


def rewired(weight, mask, gradient, fraction):
    """Algorithm 1 of RigL for one tensor, on plain lists."""
    flat, kept, slopes = weight.flatten().tolist(), mask.flatten().tolist(), gradient.abs().flatten().tolist()
    places = sorted((place for place in range(len(flat)) if kept[place]), key=lambda place: -abs(flat[place]))
    number = math.floor(fraction * len(places))
    staying = set(places[: len(places) - number])
    free = sorted(set(range(len(flat))) - staying, key=lambda place: -slopes[place])
    chosen = staying | set(free[:number])
    return torch.tensor([place in chosen for place in range(len(flat))]).reshape(mask.shape)


def by_hand(model, masks, skip_where_rewired):
    """SGD with momentum on masked weights, with dense gradients and no hooks: ten steps of RigL."""
    masks = {name: mask.clone() for name, mask in masks.items()}
    momenta = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for step in range(1, 11):
        inputs, targets = batch(step - 1)
        loss = cross_entropy(model(inputs), targets)
        gradients = dict(
            zip(momenta, torch.autograd.grad(loss, [weight for _, weight in model.named_parameters()]), strict=True)
        )
        updates = OFTEN.due(step)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                mask = masks.get(name, torch.ones_like(weight, dtype=torch.bool))
                if not (updates and skip_where_rewired):
                    momenta[name] = 0.9 * momenta[name] + gradients[name] * mask
                    weight -= 0.1 * momenta[name]
                if updates and name in masks:
                    masks[name] = rewired(weight, mask, gradients[name], OFTEN.fraction_at(step))
                    weight *= masks[name]
                    momenta[name] *= masks[name]
    return masks


@pytest.mark.parametrize("skip", [True, False])
def test_rigl_is_its_published_algorithm(skip):
    model, reference = small_model(), small_model()
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, OFTEN, **RIGL) as rewirer:
        rewirer.masks.apply(reference)
        expected = by_hand(reference, rewirer.masks, skip)
        for number in range(10):
            inputs, targets = batch(number)
            optimizer.zero_grad()
            cross_entropy(model(inputs), targets).backward()
            if not (skip and rewirer.due):
                optimizer.step()
            assert (rewirer.step() is not None) == (number % 2 == 1)
        assert rewirer.masks == Masks(expected)
        assert rewirer.masks != rewirer.initial.masks
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@settings(max_examples=30)
@given(
    st.floats(0, 0.9),
    st.floats(0.05, 0.95),
    st.sampled_from([RIGL, SET]),
    st.sampled_from(["erk", "uniform"]),
    st.data(),
)
def test_the_number_of_connections_of_every_tensor_never_changes(sparsity, fraction, kind, budget, data):
    model = small_model()
    optimizer = sgd(model)
    updates = Updates(until=9, every=data.draw(st.integers(1, 3)), fraction=fraction)
    with Rewirer(model, optimizer, sparsity, updates, budget=budget, seed=data.draw(st.integers(0, 9)), **kind) as each:
        before = counts(each.masks)
        assert each.masks.removed == round(sparsity * 100)
        for start in range(8):
            train(model, optimizer, each, 1, start)
            assert counts(each.masks) == before
            for name, mask in each.masks.items():
                assert (model.get_parameter(name)[~mask] == 0).all()


def test_the_first_connections_follow_the_budget_and_the_seed():
    # density in proportion to (inputs + outputs) / (inputs · outputs): 16/60 and 14/40 of 0.5, by hand 16 : 14
    model = small_model()
    with Rewirer(model, sgd(model), 0.7, OFTEN, budget="erk") as rewirer:
        assert counts(rewirer.masks) == {"0.weight": 16, "2.weight": 14}
        first = rewirer.masks
    with Rewirer(model, sgd(model), 0.7, OFTEN, budget="uniform") as rewirer:
        assert counts(rewirer.masks) == {"0.weight": 18, "2.weight": 12}
    for seed, same in ((0, True), (1, False)):
        model = small_model()
        with Rewirer(model, sgd(model), 0.7, OFTEN, seed=seed) as rewirer:
            assert (rewirer.masks == first) == same


@pytest.mark.parametrize("kind", [RIGL, SET])
def test_what_is_grown_starts_from_zero_without_a_memory(kind):
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    with Rewirer(model, optimizer, 0.6, OFTEN, **kind) as rewirer:
        train(model, optimizer, rewirer, 3)
        before = rewirer.masks
        inputs, targets = batch(3)
        optimizer.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        grown = rewirer.step() - before
        assert grown.kept > 0
        for name, mask in grown.items():
            weight = model.get_parameter(name)
            for tensor in (weight, optimizer.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg_sq"]):
                assert (tensor[mask] == 0).all()
        train(model, optimizer, rewirer, 1, 4)
        assert all((model.get_parameter(name)[mask] != 0).any() for name, mask in grown.items())


def test_what_is_dropped_and_grown_at_once_stays_with_rigl_and_starts_anew_with_set():
    # without a removed weight, only what was dropped can grow
    for kind, cleared in ((RIGL, False), (SET, True)):
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), 0.0)
        with Rewirer(model, optimizer, 0.0, Updates(until=9, every=1, fraction=0.5, fading="constant"), **kind) as each:
            train(model, optimizer, each, 1)
            assert each.masks.removed == 0
            assert bool((model[0].weight == 0).any()) == cleared


@pytest.mark.parametrize("kind", [RIGL, SET])
@pytest.mark.parametrize("at", [0, 1, 4, 5])
def test_a_checkpoint_goes_on_bit_for_bit(kind, at):
    def made(seed):
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        return model, optimizer, Rewirer(model, optimizer, 0.6, OFTEN, seed=seed, **kind)

    whole, optimizer, rewirer = made(5)
    train(whole, optimizer, rewirer, 9)
    expected = rewirer.masks
    first, optimizer, rewirer = made(5)
    train(first, optimizer, rewirer, at)
    file = io.BytesIO()
    torch.save([first.state_dict(), optimizer.state_dict(), rewirer.state_dict()], file)
    file.seek(0)
    model_state, optimizer_state, rewirer_state = torch.load(file, weights_only=True)
    second, optimizer, rewirer = made(6)
    second.load_state_dict(model_state)
    optimizer.load_state_dict(optimizer_state)
    rewirer.load_state_dict(rewirer_state)
    assert rewirer.steps == at
    train(second, optimizer, rewirer, 9 - at, at)
    assert rewirer.masks == expected
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole.parameters(), second.parameters(), strict=True))


def test_the_generators_state_may_have_been_loaded_onto_another_device():
    model = small_model()
    with Rewirer(model, sgd(model), 0.6, OFTEN, **SET) as rewirer:
        state = rewirer.state_dict()
        expected = state["generator"].clone()
        rewirer.load_state_dict(state | {"generator": SimpleNamespace(cpu=lambda: expected)})
        assert torch.equal(rewirer.state_dict()["generator"], expected)


def test_a_saved_state_does_not_follow_the_rewirer_and_a_foreign_one_is_refused():
    model = small_model()
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, OFTEN, **SET) as rewirer:
        state = rewirer.state_dict()
        saved = copy.deepcopy(state)
        train(model, optimizer, rewirer, 4)
        assert state["steps"] == saved["steps"] == 0
        assert Masks(state["masks"]) == Masks(saved["masks"])
        assert torch.equal(state["generator"], saved["generator"])
        before = rewirer.masks
        with pytest.raises(ArgumentError, match=r"not a Rewirer's state: it has the keys"):
            rewirer.load_state_dict({"steps": 3})
        with pytest.raises(MaskError, match=r"the state's masks cover \['0.weight'\], in scope are"):
            rewirer.load_state_dict(state | {"masks": {"0.weight": before["0.weight"]}})
        with pytest.raises(MaskError, match=r"has shape"):
            rewirer.load_state_dict(state | {"masks": {name: mask.T for name, mask in before.items()}})
        assert rewirer.masks == before


def test_a_step_whose_gradient_is_not_finite_rewires_nothing():
    model = small_model()
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, OFTEN, **RIGL) as rewirer:
        train(model, optimizer, rewirer, 1)
        before = rewirer.masks
        inputs, targets = batch(1)
        optimizer.zero_grad()
        (math.inf * cross_entropy(model(inputs), targets)).backward()
        assert rewirer.step() is None
        assert rewirer.masks == before
        train(model, optimizer, rewirer, 2, 2)
        assert rewirer.masks != before


def test_without_any_gradient_there_is_nothing_to_grow_by():
    model = small_model()
    with Rewirer(model, sgd(model), 0.6, Updates(until=9, every=1), **RIGL) as rewirer:
        before = rewirer.masks
        with pytest.raises(ScoreError, match=r"no gradient came to any parameter since the last step\(\)"):
            rewirer.step()
        assert rewirer.masks == before


def test_weights_that_are_not_finite_are_refused():
    model = small_model()
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, Updates(until=9, every=1), **SET) as rewirer:
        with torch.no_grad():
            model[2].weight[rewirer.masks["2.weight"]] = math.nan
        with pytest.raises(ScoreError, match=r"'2.weight' has weights that are not finite"):
            rewirer.step()


@pytest.mark.parametrize("kind", [RIGL, SET])
def test_a_frozen_tensor_keeps_its_connections(kind):
    model = small_model()
    model[0].weight.requires_grad_(False)
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, OFTEN, **kind) as rewirer:
        before = rewirer.masks
        weight = model[0].weight.clone()
        train(model, optimizer, rewirer, 4)
        assert torch.equal(rewirer.masks["0.weight"], before["0.weight"])
        assert torch.equal(model[0].weight, weight)
        assert not torch.equal(rewirer.masks["2.weight"], before["2.weight"])
        assert not model[0].weight.requires_grad


def test_after_closing_nothing_is_held_or_watched():
    model = small_model()
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, OFTEN) as rewirer:
        removed = ~rewirer.masks["0.weight"]
    inputs, targets = batch(0)
    cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    assert (model[0].weight[removed] != 0).any()
    assert not model[0].weight._post_accumulate_grad_hooks


def test_mistakes_are_found_at_once_and_leave_nothing_behind():
    model = small_model()
    optimizer = sgd(model)
    with pytest.raises(ArgumentError, match=r"updates are Updates\(until=steps\), got 100$"):
        Rewirer(model, optimizer, 0.5, 100)
    with pytest.raises(UnknownNameError, match=r"no way to grow is named 'gradients'.*did you mean 'gradient'"):
        Rewirer(model, optimizer, 0.5, OFTEN, grow="gradients")
    with pytest.raises(UnknownNameError, match=r"no way to drop is named 'size'"):
        Rewirer(model, optimizer, 0.5, OFTEN, drop="size")
    with pytest.raises(UnknownNameError, match=r"no budget is named 'erk2'"):
        Rewirer(model, optimizer, 0.5, OFTEN, budget="erk2")
    with pytest.raises(ArgumentError, match=r"must lie in \[0, 1\), got 90"):
        Rewirer(model, optimizer, 90, OFTEN)
    with pytest.raises(ScopeError):
        Rewirer(model, optimizer, 0.5, OFTEN, include=["fc"])
    with pytest.raises(TargetError):
        Rewirer(model, optimizer, 0.99, OFTEN)
    with pytest.raises(MaskError, match=r"updates none of the masked parameters"):
        Rewirer(model, sgd(small_model()), 0.5, OFTEN)
    assert not model[0].weight._post_accumulate_grad_hooks
    assert not optimizer._optimizer_step_post_hooks
