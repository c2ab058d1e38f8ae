from __future__ import annotations

import copy
import io
from types import SimpleNamespace

import pytest
import torch

from prunus.allocation.technique import Technique
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, MaskError, ScopeError, ScoreError, TargetError
from prunus.masks.masks import Masks
from prunus.schedules import Cubic, Iterative, Levels, OneShot
from prunus.training.pruner import Pruner
from training.small import sgd, small_model, train


def test_a_schedule_that_is_due_at_step_0_prunes_at_once():
    model = small_model()
    pruner = Pruner(model, sgd(model), OneShot(0.8))
    assert pruner.steps == 0
    assert pruner.masks.removed == 80
    assert pruner.last.requested_sparsity == 0.8
    assert int((model[0].weight == 0).sum() + (model[2].weight == 0).sum()) == 80
    pruner.close()


def test_nothing_is_pruned_before_the_schedule_begins():
    model = small_model()
    optimizer = sgd(model)
    with Pruner(model, optimizer, Cubic(0.9, begin=3, end=9)) as pruner:
        train(model, optimizer, pruner, 3)
        assert pruner.masks.removed == 0
        assert pruner.last is not None
        assert pruner.last.requested_sparsity == 0.0
        train(model, optimizer, pruner, 6, 3)
        assert pruner.masks.removed == 90
        assert pruner.step() is None


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("at", [0, 3, 4, 7])
def test_a_checkpoint_goes_on_to_the_same_masks_and_weights(criterion, at):
    schedule = Iterative(4, every=2, fraction=0.3)
    whole = small_model()
    optimizer = sgd(whole)
    with Pruner(whole, optimizer, schedule, criterion, seed=5) as pruner:
        train(whole, optimizer, pruner, 9)
        expected = pruner.masks

    first = small_model()
    optimizer = sgd(first)
    with Pruner(first, optimizer, schedule, criterion, seed=5) as pruner:
        train(first, optimizer, pruner, at)
        file = io.BytesIO()
        torch.save([first.state_dict(), optimizer.state_dict(), pruner.state_dict()], file)

    file.seek(0)
    model_state, optimizer_state, pruner_state = torch.load(file, weights_only=True)
    second = small_model()
    optimizer = sgd(second)
    with Pruner(second, optimizer, schedule, criterion, seed=6) as pruner:
        second.load_state_dict(model_state)
        optimizer.load_state_dict(optimizer_state)
        pruner.load_state_dict(pruner_state)
        assert pruner.steps == at
        train(second, optimizer, pruner, 9 - at, at)
        assert pruner.masks == expected
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole.parameters(), second.parameters(), strict=True))


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    model = small_model()
    with Pruner(model, sgd(model), OneShot(0.5)) as pruner:
        before, state = pruner.masks, pruner.state_dict()
        with pytest.raises(ArgumentError, match=r"not a Pruner's state: it has the keys"):
            pruner.load_state_dict({"steps": 3})
        with pytest.raises(MaskError, match=r"the state's masks cover \['0.weight'\], in scope are"):
            pruner.load_state_dict(state | {"masks": {"0.weight": before["0.weight"]}})
        with pytest.raises(MaskError, match=r"has shape"):
            pruner.load_state_dict(state | {"masks": {name: mask.T for name, mask in before.items()}})
        assert pruner.masks == before


def test_the_generators_state_may_have_been_loaded_onto_another_device():
    model = small_model()
    with Pruner(model, sgd(model), OneShot(0.5), "random") as pruner:
        state = pruner.state_dict()
        expected = state["generator"].clone()
        pruner.load_state_dict(state | {"generator": SimpleNamespace(cpu=lambda: expected)})
        assert torch.equal(pruner.state_dict()["generator"], expected)


def test_a_saved_state_does_not_follow_the_pruner():
    model = small_model()
    optimizer = sgd(model)
    with Pruner(model, optimizer, Levels((0.2, 0.5), every=2), "random") as pruner:
        state = pruner.state_dict()
        saved = copy.deepcopy(state)
        train(model, optimizer, pruner, 2)
        assert state["steps"] == saved["steps"] == 0
        assert Masks(state["masks"]) == Masks(saved["masks"])
        assert torch.equal(state["generator"], saved["generator"])


def test_after_closing_nothing_is_held():
    model = small_model()
    optimizer = sgd(model)
    pruner = Pruner(model, optimizer, OneShot(0.8))
    pruner.close()
    pruner.close()
    removed = ~pruner.masks["0.weight"]
    assert (model[0].weight[removed] == 0).all()
    train(model, optimizer, None, 2)
    assert (model[0].weight[removed] != 0).any()


def test_an_error_at_the_first_pruning_leaves_nothing_behind():
    model = small_model()
    optimizer = sgd(model)
    with pytest.raises(ArgumentError, match=r"pass batches="):
        Pruner(model, optimizer, OneShot(0.5), "gradient-weight")
    assert not model[0].weight._post_accumulate_grad_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_an_error_at_a_later_pruning_leaves_the_masks_as_they_were():
    def fails_later(subject):
        scale = float("nan") if (subject.model[0].weight == 0).any() else 1.0
        return {name: weight.abs() * scale for name, weight in subject.weights().items()}

    model = small_model()
    with Pruner(model, sgd(model), Levels((0.2, 0.5), every=1), fails_later) as pruner:
        before = pruner.masks
        with pytest.raises(ScoreError):
            pruner.step()
        assert pruner.masks == before
    with Pruner(model, sgd(model), OneShot(0.99, at=1)) as pruner, pytest.raises(TargetError):
        pruner.step()


def test_mistakes_are_found_when_the_pruner_is_made_not_when_it_prunes():
    model = small_model()
    optimizer = sgd(model)
    later = OneShot(0.5, at=1000)
    once = iter([(torch.randn(5, 6), torch.randint(4, (5,)))])
    for wrong in (
        {"batches": once},
        {"criterion": "taylor"},
        {"criterion": "large-initial"},
        {"criterion": "movement", "budget": "flops"},
        {"criterion": "magnitud"},
        {"scope": "globl"},
        {"pattern": "rows"},
        {"exclude": "0"},
    ):
        with pytest.raises(ArgumentError):
            Pruner(model, optimizer, later, **wrong)
    with pytest.raises(ArgumentError, match=r"a schedule is one of prunus.schedules, such as .* got 0.9$"):
        Pruner(model, optimizer, 0.9)
    with pytest.raises(ScopeError):
        Pruner(model, optimizer, later, include=["fc"])
    with pytest.raises(MaskError):
        Pruner(model, sgd(small_model()), later)
    assert not optimizer._optimizer_step_post_hooks


def test_scope_pattern_and_data_reach_the_technique():
    model = small_model()
    batches = [(torch.randn(5, 6), torch.randint(4, (5,)))]
    settings = {"scope": "layer", "pattern": "row", "include": ["0"], "batches": batches}
    with Pruner(model, sgd(model), OneShot(0.5), "gradient-weight", **settings) as pruner:
        assert list(pruner.masks) == ["0.weight"]
        assert pruner.masks["0.weight"].all(1).sum() == 5
        assert (~pruner.masks["0.weight"]).all(1).sum() == 5


def test_a_pruner_of_a_subject_and_a_technique_is_the_same():
    first, second = small_model(), small_model()
    technique = Technique("random", scope="layer")
    subject = Subject(second, technique.parameters(second))
    with (
        Pruner(first, sgd(first), OneShot(0.5), "random", scope="layer") as ours,
        Pruner.of(subject, sgd(second), OneShot(0.5), technique) as theirs,
    ):
        assert ours.masks == theirs.masks


def test_the_first_weights_are_those_of_the_beginning_however_they_are_given():
    model = small_model()
    optimizer = sgd(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with Pruner(model, optimizer, OneShot(0.5, at=3), "large-initial", initial=dict(model.named_parameters())) as given:
        train(model, optimizer, given, 3)
        masks = given.masks
    initial = torch.cat([before["0.weight"].flatten(), before["2.weight"].flatten()]).abs()
    kept = torch.cat([masks["0.weight"].flatten(), masks["2.weight"].flatten()])
    assert initial[kept].min() >= initial[~kept].max()
    with pytest.raises(ArgumentError, match=r"^the criterion 'large-initial' compares .* pass initial="):
        Pruner(model, optimizer, OneShot(0.5, at=3), "large-initial")


def test_a_criterion_that_observes_training_needs_no_other_data():
    model = small_model()
    optimizer = sgd(model)
    with Pruner(model, optimizer, OneShot(0.5, at=3), "movement") as pruner:
        train(model, optimizer, pruner, 3)
        assert pruner.masks.removed == 50
