"""Settings of a technique that do not go together."""

from __future__ import annotations

import re

import pytest

from prunus.errors import RecipeError
from prunus.experiments.recipe import Recipe

HARD, SOFT = {"movement": "hard"}, {"movement": "soft", "strength": 1e-3}
POPUP = {"edge_popup": "first"}
L0, L1 = {"penalty": "l0", "strength": 1e-5}, {"penalty": "l1", "strength": 1e-4}


def recipe(*techniques, **changes):
    plain = {"sparsities": [0.5], "task": {"data": "digits", "model": "mlp"}}
    return Recipe.of({**plain, "technique": [*techniques], **changes})


def labels(*techniques):
    return [each.label for each in recipe(*techniques).techniques]


@pytest.mark.parametrize(
    ("technique", "key", "complaint"),
    [
        ({"movement": "sft"}, "movement", "must be 'hard' or 'soft', got 'sft'; did you mean 'soft'?"),
        ({**L1, "penalty": "grup-lasso"}, "penalty", "no penalty is named 'grup-lasso': there are batch-norm-slimming, "
         "group-lasso, l0, l1; did you mean 'group-lasso'?"),
        ({**L1, "penalty": "my module:x"}, "penalty", "a thing of your own is written 'package.module:name', got"),
        ({**L1, "strength": -1}, "strength", "must be at least 0, got -1"),
        ({**L1, "strength": float("inf")}, "strength", "must be a number and not infinite, got inf"),
        ({**L1, "strength": True}, "strength", "must be a number, got True"),
        ({"edge_popup": "last"}, "edge_popup", "must be 'first', 'scaled', 'signed' or 'signed-scaled', got 'last'"),
        ({**SOFT, "threshold": 0.5}, "threshold", "must be below 0.5, got 0.5"),
        ({**SOFT, "mask_learning_rate": 0}, "mask_learning_rate", "must be above 0, got 0"),
        ({**L0, "drop_rate": 1}, "drop_rate", "must be below 1, got 1"),
        ({"penalty": "l1"}, "strength", "is missing: penalty = 'l1' needs to know how strong it is"),
        ({"penalty": "l0"}, "strength", "is missing: penalty = 'l0' needs to know how strong it is"),
        ({"movement": "soft"}, "strength", "is missing: movement = 'soft' needs to know how strong it is"),
        ({"strength": 0.1}, "strength", "strength goes with movement = 'soft' or a penalty"),
        ({"threshold": 0.2}, "threshold", "threshold goes with movement = 'soft'"),
        ({"drop_rate": 0.2}, "drop_rate", "drop_rate goes with penalty = 'l0'"),
        ({**L1, "drop_rate": 0.2}, "drop_rate", "drop_rate goes with penalty = 'l0'"),
        ({"mask_learning_rate": 1}, "mask_learning_rate",
         "mask_learning_rate goes with movement = 'soft' or edge_popup or penalty = 'l0'"),
        ({**POPUP, "mask_learning_rate": 0}, "mask_learning_rate", "must be above 0, got 0"),
        ({**POPUP, "scope": "global"}, "scope", "edge_popup learns by itself what goes: leave out scope; it has "
         "mask_learning_rate"),
        ({**POPUP, "retrain": "rewind"}, "retrain", "leave out retrain"),
        ({**POPUP, "ticket": "shuffled"}, "ticket", "leave out ticket"),
        ({**POPUP, "begin": 0.1}, "begin", "leave out begin"),
        ({**POPUP, "when": "before"}, "when", "edge_popup prunes during training, not before it"),
        ({**POPUP, **HARD}, "edge_popup", "movement = 'hard' learns by itself what goes: leave out edge_popup"),
        ({**HARD, "strength": 0.1}, "strength", "movement = 'hard' learns by itself what goes: leave out strength; it "
         "has scope, begin, end, every"),
        ({**HARD, "schedule": "cubic"}, "schedule", "movement = 'hard' learns by itself what goes: leave out schedule"),
        ({**HARD, "criterion": "magnitude"}, "criterion", "leave out criterion"),
        ({**HARD, "pattern": "channel"}, "pattern", "leave out pattern"),
        ({**HARD, "retrain": "rewind"}, "retrain", "leave out retrain"),
        ({**HARD, "epochs": 3}, "epochs", "leave out epochs"),
        ({**HARD, "budget": "erk"}, "budget", "leave out budget"),
        ({**HARD, "rewire": "set"}, "rewire", "leave out rewire"),
        ({**HARD, "distill": True}, "distill", "leave out distill"),
        ({**HARD, "sanity_checks": True}, "sanity_checks", "leave out sanity_checks"),
        ({**HARD, "begin": 0.8}, "end", "end must lie after begin, got 0.75 and 0.8"),
        ({**HARD, "when": "after"}, "when", "movement = 'hard' prunes during training, not after it"),
        ({**SOFT, "scope": "layer"}, "scope", "leave out scope; it has strength, threshold, mask_learning_rate"),
        ({**SOFT, "end": 0.5}, "end", "leave out end"),
        ({**SOFT, "penalty": "l1"}, "penalty", "leave out penalty"),
        ({**L0, "criterion": "magnitude"}, "criterion", "penalty = 'l0' learns by itself what goes: leave out "
         "criterion; it has strength, pattern, drop_rate, mask_learning_rate"),
        ({**L0, "schedule": "iterative"}, "schedule", "leave out schedule"),
        ({**L0, "when": "before"}, "when", "penalty = 'l0' prunes during training, not before it"),
        ({**L0, "pattern": "2:4"}, "pattern", "penalty = 'l0' needs groups that stand or fall together, and 2:4 "
         "has none"),
        ({**L1, "penalty": "group-lasso"}, "pattern", "penalty = 'group-lasso' draws groups of weights to zero: say "
         "which, such as pattern = 'channel', or write penalty = 'l1' for single weights"),
        ({**L1, "penalty": "group-lasso", "pattern": "2:4"}, "pattern", "penalty = 'group-lasso' needs groups"),
        ({**L1, "penalty": "batch-norm-slimming"}, "pattern", "penalty = 'batch-norm-slimming' draws channels to zero: "
         "write pattern = 'channel', not 'weight'"),
        ({**L1, "when": "before"}, "penalty", "penalty is a term of the loss of the training, and when = 'before' "),
        ({**L1, "retrain": "rewind", "rewind_step": 9}, "rewind_step", "rewind_step must be 0 beside a penalty"),
        ({**L1, "rewire": "rigl"}, "rewire", "leave out penalty"),
        ({"rewire": "rigl", "strength": 0.1}, "strength", "strength goes with movement = 'soft' or a penalty"),
        ({"rewire": "rigl", "budget": "flops"}, "budget", "rewire draws connections before there is anything to look "
         "at, and 'flops' looks at data"),
        ({"rewire": "rigl", "budget_settings": {"iterations": 3}}, "budget_settings", "leave out budget_settings"),
        ({"scope": "row", "pattern": "channel"}, "scope", "scope = 'row' compares single weights, not pattern = "
         "'channel': write 'layer'"),
        ({"budget": "erk", "pattern": "2:4"}, "budget", "the pattern 2:4 fixes every layer's sparsity: leave the "
         "budget out"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_its_key_and_what_does(technique, key, complaint):
    with pytest.raises(RecipeError) as caught:
        recipe(technique)
    told = [line.split(" in technique ")[0] for line in str(caught.value).split("\n")]
    assert f"recipe: technique.0.{key}" in told
    assert complaint in str(caught.value)


def test_all_that_does_not_go_together_is_told_at_once():
    with pytest.raises(RecipeError) as caught:
        recipe({"movement": "soft", "criterion": "random", "end": 0.5})
    assert [line.split(" in ")[0] for line in str(caught.value).split("\n")] == [
        "recipe: technique.0.criterion",
        "recipe: technique.0.end",
        "recipe: technique.0.strength",
    ]


def test_what_is_missing_may_come_from_each():
    assert labels({"penalty": "l0", "each": {"strength": [1e-6, 1e-5]}}) == ["l0 1e-06", "l0 1e-05"]
    assert labels({"strength": 1e-4, "each": {"penalty": ["l1", "l0"]}}) == [
        "l1 0.0001, magnitude, global, one-shot, finetune",
        "l0 0.0001",
    ]
    with pytest.raises(RecipeError, match=r"technique\.0\.pattern .*penalty = 'group-lasso' draws groups"):
        recipe({"strength": 1e-4, "each": {"penalty": ["l1", "group-lasso"]}})


def test_labels_say_what_is_learnt_and_how_strongly():
    assert labels(
        HARD,
        {**HARD, "scope": "layer"},
        SOFT,
        {**SOFT, "threshold": 0.2, "mask_learning_rate": 10},
        POPUP,
        {"edge_popup": "signed", "mask_learning_rate": 1},
        {**L0, "pattern": "channel", "drop_rate": 0.2},
        {**L1, "criterion": "random", "schedule": "levels"},
    ) == [
        "hard movement, global",
        "hard movement, layer",
        "soft movement 0.001",
        "soft movement 0.001, threshold 0.2, mask_learning_rate 10",
        "edge-popup, first",
        "edge-popup, signed, mask_learning_rate 1",
        "l0 1e-05, channel, drop_rate 0.2",
        "l1 0.0001, random, global, levels, finetune",
    ]


@pytest.mark.parametrize("technique", [HARD, SOFT, L0, POPUP])
def test_saying_that_it_prunes_during_training_makes_no_other_technique(technique):
    assert recipe({**technique, "when": "during"}).id == recipe(technique).id


def test_sanity_checks_go_with_a_penalty():
    assert len(labels({**L1, "sanity_checks": True})) == 4


@pytest.mark.parametrize(
    ("technique", "told"),
    [
        ({"fraction": 0.5}, "fraction goes with schedule = 'iterative', or rewire"),
        ({"begin": 0.1}, "begin goes with schedule = 'linear' or 'cubic', or movement = 'hard'"),
        (
            {"every": 5, "schedule": "levels"},
            "every goes with schedule = 'linear' or 'cubic', or movement = 'hard', or",
        ),
        ({"epochs": 3, "schedule": "cubic"}, "epochs goes with fine-tuning after pruning"),
        ({"epochs": 3, "rewire": "set"}, "epochs goes with fine-tuning after pruning"),
        ({"epochs": 3, "retrain": "rewind"}, "epochs goes with fine-tuning after pruning"),
        ({"learning_rate": 0.1, "when": "before"}, "learning_rate goes with fine-tuning after pruning"),
        ({"aggregate": "sum"}, "aggregate goes with a pattern of groups"),
        ({"aggregate": "sum", "pattern": "2:4"}, "aggregate goes with a pattern of groups"),
        ({"scope": "layer", "budget": "erk"}, "scope goes with patterns other than N:M, and no budget"),
        ({"scope": "layer", "pattern": "2:4"}, "scope goes with patterns other than N:M, and no budget"),
        ({"rounds": 3, "pattern": "1:4"}, "rounds goes with patterns other than N:M"),
        ({"protect": False, "pattern": "1:4"}, "protect goes with patterns other than N:M"),
        ({"calibration_examples": 9}, "calibration_examples goes with a criterion or a budget that looks at data"),
        ({"fraction": 0.5, "each": {"schedule": ["levels", "one-shot"]}}, "fraction goes with schedule = 'iterative'"),
    ],
)
def test_what_nothing_looks_at_is_refused(technique, told):
    with pytest.raises(RecipeError, match=re.escape(told)):
        recipe(technique)


def test_of_several_combinations_one_may_need_what_the_others_do_not():
    each = {"schedule": ["iterative", "levels", "cubic"]}
    assert len(recipe({"fraction": 0.5, "end": 0.6, "each": each}).techniques) == 3
    assert len(recipe({"epochs": 3, "sanity_checks": True}).techniques) == 4
    assert len(recipe({"calibration_examples": 9, "each": {"criterion": ["magnitude", "snip"]}}).techniques) == 2
    assert len(recipe({"calibration_examples": 9, "budget": "flops"}).techniques) == 1
    assert len(recipe({"calibration_examples": 9, "criterion": "tinytask:first_layer_only"}).techniques) == 1
    assert len(recipe({"epochs": 3, "each": {"retrain": ["finetune", "rewind"]}}).techniques) == 2
