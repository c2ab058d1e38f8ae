"""Movement pruning from a recipe, on real digits."""

from __future__ import annotations

import pytest
import torch

from prunus.errors import TargetError
from prunus.experiments.recipe import Recipe
from prunus.experiments.workshop import Workshop
from prunus.schedules import Cubic
from prunus.training.movement import MovementPruner, ScoreThreshold, TopScores

HARD = {"name": "hard", "movement": "hard"}
SOFT = {"name": "soft", "movement": "soft", "strength": 3e-3}
STEPS = 48  # 2 epochs of 1,197 digits in batches of 50
BY_HAND = {  # technique → the rule that it stands for, and the scores' learning rate
    "hard": (HARD, TopScores(Cubic(0.8, begin=0, end=36, every=10), "global"), 1.0),
    "sooner": (
        {"movement": "hard", "scope": "layer", "begin": 0.25, "end": 0.5, "every": 1},
        TopScores(Cubic(0.8, begin=12, end=24), "layer"),
        1.0,
    ),
    "soft": (SOFT, ScoreThreshold(3e-3, 0.1), 100.0),
    "own rates": (
        {"movement": "soft", "strength": 0.01, "threshold": 0.4, "mask_learning_rate": 20.0},
        ScoreThreshold(0.01, 0.4),
        20.0,
    ),
}


def work(technique, **changes):
    plain = {"seeds": [0], "sparsities": [0.8], "task": {"data": "digits", "model": "mlp"}}
    return Recipe.of(
        {**plain, "training": {"epochs": 2, "batch_size": 50}, "technique": [technique], **changes}
    ).works()


@pytest.mark.parametrize("name", BY_HAND)
def test_a_recipe_does_what_a_movement_pruner_does_by_hand(on_digits, digits, name):
    technique, rule, rate = BY_HAND[name]
    states = on_digits({**technique, "name": "a"}, sparsities=[0.8])
    model, _ = digits(states["dense"][0])
    made = work(technique)[-1]
    trainer = Workshop.of(made).trainer()
    assert trainer.total_steps == STEPS
    optimizer = trainer.make_optimizer(model)
    with MovementPruner(model, optimizer, rule, learning_rate=rate) as pruner:
        trainer.fit(model, made.order_seed(), optimizer=optimizer, watch=lambda *_: pruner.step())
    found, masks = digits(states["a"][0])
    assert masks == pruner.masks
    assert 0 < masks.sparsity < 1
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


@pytest.mark.parametrize("technique", [HARD, SOFT], ids=["hard", "soft"])
def test_what_movement_removes_is_exactly_zero(on_digits, digits, technique):
    for state in on_digits(technique)[technique["name"]]:
        model, masks = digits(state)
        assert 0 < state.record.pruning.sparsity == masks.sparsity
        for name, mask in masks.items():
            removed = model.get_parameter(name)[~mask]
            assert not removed.any()
            assert not removed.signbit().any()


def test_hard_movement_reaches_every_sparsity_and_chooses_by_its_scores(on_digits, digits):
    found = on_digits(
        HARD, {"name": "by layer", "movement": "hard", "scope": "layer"}, {"name": "cubic", "schedule": "cubic"}
    )
    for name in ("hard", "by layer", "cubic"):
        assert [state.record.pruning.sparsity for state in found[name]] == [0.5, 0.8]
        assert [state.record.pruning.requested_sparsity for state in found[name]] == [0.5, 0.8]
    assert {*digits(found["by layer"][1])[1].sparsities.values()} == {0.8}
    assert digits(found["hard"][1])[1] != digits(found["cubic"][1])[1]
    pruning = found["hard"][0].record.pruning
    assert (pruning.criterion, pruning.schedule, pruning.pattern) == ("movement", "cubic", "weight")


def test_soft_movement_is_sparser_where_it_is_stronger_and_asks_for_no_sparsity(on_digits):
    strengths = [0.0, 1e-3, 1e-2]
    found = on_digits({"movement": "soft", "each": {"strength": strengths}})
    states = [found[f"soft movement {strength:g}"] for strength in strengths]
    assert [len(each) for each in states] == [1, 1, 1]
    reached = [each[0].record.pruning.sparsity for each in states]
    assert reached == sorted(reached)
    assert reached[0] < reached[1] < reached[2] < 1
    assert {each[0].record.pruning.requested_sparsity for each in states} == {0.0}
    assert {each[0].record.pruning.schedule for each in states} == {"own choice"}
    history = states[0][0].history
    stands = {each.technique: each.requested_sparsity for each in history.candidates()}
    assert stands["soft movement 0.001"] == round(reached[1], 4)


def test_a_technique_with_a_choice_of_its_own_is_the_same_run_at_any_sparsities():
    assert work(SOFT)[-1].id == work(SOFT, sparsities=[0.1, 0.2])[-1].id
    assert work(SOFT)[-1].sparsities == ()
    assert work(HARD)[-1].id != work(HARD, sparsities=[0.1, 0.2])[-1].id


def test_a_layer_that_scores_alone_would_empty_is_protected_and_recorded(on_digits, digits):
    [state] = on_digits({**SOFT, "strength": 1.0})["soft"]
    _, masks = digits(state)
    assert state.record.pruning.protected == tuple(masks) == ("fc1.weight", "fc2.weight", "fc3.weight")
    assert [int(mask.sum()) for mask in masks.values()] == [1, 1, 1]
    with pytest.raises(TargetError, match="training has removed every weight: lower strength"):
        on_digits({**SOFT, "strength": 1.0, "protect": False})


def test_movement_that_is_stopped_and_resumed_gives_what_it_would_have_given(on_digits, interrupted_after):
    whole = on_digits(HARD, folder="whole")["hard"]
    with interrupted_after(3):  # both states of the dense network, and the first of the technique
        on_digits(HARD, folder="halved")
    resumed = on_digits(HARD, folder="halved")["hard"]
    assert [state.id for state in resumed] == [state.id for state in whole]
    assert [state.record.weights for state in resumed] == [state.record.weights for state in whole]
    assert [state.record.masks for state in resumed] == [state.record.masks for state in whole]


def test_what_is_in_scope_is_the_recipes_to_say(on_digits, digits):
    for technique in (HARD, SOFT):
        assert [*digits(on_digits({**technique, "exclude": ["fc3"]})[technique["name"]][0])[1]] == [
            "fc1.weight",
            "fc2.weight",
        ]
