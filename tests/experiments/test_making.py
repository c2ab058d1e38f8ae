from __future__ import annotations

import itertools

import pytest
import torch

from prunus.allocation.technique import Technique
from prunus.errors import ArgumentError
from prunus.experiments.recipe import Recipe
from prunus.experiments.workshop import Workshop

STEPS = 12  # of the small recipe: 2 epochs of 120 examples in batches of 20


def pruned(history, technique=0):
    """The pruned states of a technique's run, in order."""
    run = history.experiment().runs[1 + technique]
    return [state for state in history.states(run) if state.record.kind == "pruned"]


def dense(history):
    """The initial and the trained state of the dense network."""
    return history.states(history.experiment().runs[0])


def masked(weights, masks):
    return {name: value * masks[name] if name in masks else value for name, value in weights.items()}


def identical(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    return True


def retrainings(fits):
    """Trainings that held masks."""
    return [fit for fit in fits if fit.masks]


@pytest.mark.parametrize("schedule", ["levels", "iterative", "one-shot"])
def test_rewound_weights_are_the_initial_ones_bit_by_bit_in_every_round(perform, fits, restored, schedule):
    rounds = {"fraction": 0.4} if schedule == "iterative" else {}
    history = perform({"schedule": schedule, "retrain": "rewind", **rounds})
    initial, _ = restored(dense(history)[0])
    states = pruned(history)
    assert len(states) == len(retrainings(fits)) == {"levels": 2, "iterative": 4, "one-shot": 2}[schedule]
    for fit, state in zip(retrainings(fits), states, strict=True):
        masks = restored(state)[1]
        assert fit.masks == masks
        assert identical(fit.begun_with, masked(initial, masks))
        assert fit.stretch.start == 0
        assert len(fit.steps) == STEPS
        assert not identical_to_any(fit.steps[-1], [fit.begun_with])


def identical_to_any(weights, others):
    return any(all(torch.equal(weights[name], other[name]) for name in weights) for other in others)


@pytest.mark.parametrize("step", [1, 6, 7])
def test_late_rewinding_goes_back_to_the_dense_training_at_that_step(perform, fits, restored, step):
    history = perform({"schedule": "levels", "retrain": "rewind", "rewind_step": step})
    during_dense = fits[0].steps[step - 1]
    checkpoint, *_ = history.states(history.experiment().runs[1])
    assert (checkpoint.record.kind, checkpoint.record.parent) == ("trained", dense(history)[0].id)
    assert identical(restored(checkpoint)[0], during_dense)
    for fit, state in zip(retrainings(fits), pruned(history), strict=True):
        assert identical(fit.begun_with, masked(during_dense, restored(state)[1]))
        assert (fit.stretch.start, len(fit.steps)) == (step, STEPS - step)
        assert fit.seed == fits[0].seed


def test_learning_rate_rewinding_keeps_the_weights(perform, fits, restored):
    history = perform({"schedule": "levels", "retrain": "rewind-lr", "rewind_step": 5})
    assert len(history.states(history.experiment().runs[1])) == 2
    for fit, state in zip(retrainings(fits), pruned(history), strict=True):
        assert identical(fit.begun_with, masked(restored(state.parent())[0], restored(state)[1]))
        assert (fit.stretch.start, len(fit.steps)) == (5, STEPS - 5)
        assert fit.plan == fits[0].plan


def test_new_weights_are_neither_the_initial_nor_the_trained_ones(perform, fits, restored):
    history = perform({"schedule": "levels", "retrain": "reinit"})
    known = [restored(state)[0] for state in dense(history)]
    begun = []
    for fit, state in zip(retrainings(fits), pruned(history), strict=True):
        masks = restored(state)[1]
        for name, mask in masks.items():
            kept = fit.begun_with[name][mask]
            assert not fit.begun_with[name][~mask].any()
            assert all((kept != other[name][mask]).all() for other in [*known, *begun])
            assert len(fit.steps) == STEPS
        begun.append(fit.begun_with)


@pytest.mark.parametrize(
    ("training", "technique", "rate", "epochs"),
    [
        ({}, {}, 0.01, 2),
        ({"decay": "steps", "factor": 0.5}, {}, 0.0025, 2),
        ({"decay": "steps", "factor": 0.5}, {"learning_rate": 0.125}, 0.125, 2),
        ({"decay": "cosine", "warmup_steps": 3}, {"learning_rate": 0.125, "epochs": 3}, 0.125, 3),
        ({"warmup_steps": 3}, {"epochs": 1}, 0.01, 1),
    ],
)
def test_fine_tuning_goes_on_at_the_last_learning_rate_unless_told_otherwise(
    perform, fits, restored, training, technique, rate, epochs
):
    usual = {"epochs": 2, "batch_size": 20, "learning_rate": 0.01}
    history = perform({"schedule": "levels", **technique}, training=usual | training)
    for fit, state in zip(retrainings(fits), pruned(history), strict=True):
        assert identical(fit.begun_with, masked(restored(state.parent())[0], restored(state)[1]))
        total = len(fit.steps)
        assert total == 6 * epochs
        assert [fit.plan.rate(step, total) for step in range(total)] == pytest.approx([rate] * total)
        assert state.record.retraining == "finetune"
        assert len(state.record.training_loss) == epochs


def test_without_retraining_the_weights_stay(perform, fits, restored):
    history = perform({"schedule": "levels", "retrain": "none"})
    assert len(fits) == 1
    trained, _ = restored(dense(history)[1])
    for state in pruned(history):
        weights, masks = restored(state)
        assert identical(weights, masked(trained, masks))
        assert state.record.training_loss == ()


@pytest.mark.parametrize("schedule", ["one-shot", "levels", "iterative"])
@pytest.mark.parametrize("criterion", ["magnitude", "gradient-weight", "random"])
def test_pruning_before_training_never_sees_trained_weights(perform, fits, restored, criterion, schedule):
    history = perform({"criterion": criterion, "schedule": schedule, "when": "before"})
    begun = dense(history)[0]
    initial, _ = restored(begun)
    for fit, state in zip(retrainings(fits), pruned(history), strict=True):
        masks = restored(state)[1]
        assert state.parent() == begun
        assert identical(fit.begun_with, masked(initial, masks))
        assert len(fit.steps) == STEPS
        assert masks.removed == round(state.record.requested_sparsity * masks.total)


def test_iterative_pruning_before_training_goes_through_rounds(perform, monkeypatch):
    asked, allocate = [], Technique.allocate

    def recording(self, subject, sparsity, current=None):
        asked.append((round(sparsity, 4), 0.0 if current is None else round(current.sparsity, 2)))
        return allocate(self, subject, sparsity, current)

    monkeypatch.setattr(Technique, "allocate", recording)
    perform({"schedule": "iterative", "when": "before", "fraction": 0.3}, sparsities=[0.2, 0.5])
    assert asked == [(0.2, 0.0), (0.2929, 0.0), (0.5, 0.29)]


def test_criteria_with_data_see_examples_that_the_seed_of_pruning_draws(perform, restored):
    technique = {"criterion": "gradient-weight", "calibration_examples": 10}
    seeds = [{"init": 1, "order": 1, "pruning": pruning} for pruning in (1, 2)]
    found = []
    for folder in ("one", "other"):
        torch.manual_seed(len(found))
        history = perform(technique, seeds=seeds, folder=folder, sparsities=[0.5])
        found += [restored(history.states(run)[0])[1] for run in history.experiment().runs[1:]]
    first, second, first_again, second_again = found
    assert (first, second) == (first_again, second_again)
    assert first != second


@pytest.mark.parametrize("schedule", ["linear", "cubic"])
@pytest.mark.parametrize(
    "span", [{}, {"begin": 0.3, "end": 0.5, "every": 1}, {"begin": 0.95, "end": 1.0}, {"end": 0.01}]
)
def test_pruning_during_training_reaches_the_target_exactly(perform, fits, restored, schedule, span):
    history = perform({"schedule": schedule, "every": 2, **span})
    for fit, state in zip(fits[1:], pruned(history), strict=True):
        weights, masks = restored(state)
        assert masks.removed == round(state.record.requested_sparsity * masks.total)
        assert state.record.sparsity == masks.sparsity == state.record.pruning.sparsity
        assert identical(fit.begun_with, restored(dense(history)[0])[0])
        assert state.parent() == dense(history)[0]
        assert (len(fit.steps), fit.seed, fit.plan) == (STEPS, fits[0].seed, fits[0].plan)
        assert identical(weights, masked(weights, masks))
        begin = round(span.get("begin", 0) * STEPS)
        assert all((before["0.weight"] != 0).all() for before in fit.steps[: max(0, begin - 1)])


ROUNDS = {"schedule": "iterative", "fraction": 0.3}


@pytest.mark.parametrize("technique", [{"schedule": "levels"}, {**ROUNDS, "retrain": "rewind"},
                                       {**ROUNDS, "retrain": "reinit", "criterion": "random"},
                                       {"schedule": "levels", "pattern": "row", "scope": "layer"}])  # fmt: skip
def test_what_is_removed_in_one_round_stays_removed_in_the_next(perform, restored, technique):
    history = perform(technique, sparsities=[0.3, 0.6, 0.8])
    masks = [restored(state)[1] for state in pruned(history)]
    assert len(masks) >= 3
    for earlier, later in itertools.pairwise(masks):
        assert (later - earlier).kept == 0
        assert later.kept < earlier.kept


def test_one_shot_pruning_reaches_every_target_from_the_dense_network(perform, restored):
    history = perform({"schedule": "one-shot", "retrain": "none"})
    assert [state.parent() for state in pruned(history)] == [dense(history)[1]] * 2


def test_every_state_restores_to_the_outcome_and_the_masks_that_were_recorded(perform, values):
    techniques = [
        {"schedule": "levels", "retrain": "rewind", "rewind_step": 3},
        {"schedule": "cubic"},
        {"criterion": "random", "when": "before"},
        {"criterion": "gradient-weight", "scope": "layer"},
    ]
    history = perform(*techniques)
    shop = Workshop.of(Recipe.of(values(*techniques)).works()[0])
    states = history.states()
    assert len(states) == 2 + 3 + 2 + 2 + 2
    for state in states:
        model = shop.task.build()
        masks = state.restore(model)
        assert shop.outcomes(model) == (state.record.validation, state.record.test)
        assert shop.cost(model, masks or None) == state.record.cost
        tensors = state.record.pruning.tensors if state.record.pruning else {}
        assert {name: int(mask.sum()) for name, mask in masks.items()} == {
            name: count.kept for name, count in tensors.items()
        }


def test_every_technique_begins_with_the_weights_of_its_seed(perform, restored):
    history = perform({"name": "a", "when": "before"}, {"name": "b", "schedule": "cubic"}, seeds=[0, 1])
    initial = [state for state in history.states() if state.record.kind == "initial"]
    assert len(initial) == 2
    assert not torch.equal(*(restored(state)[0]["0.weight"] for state in initial))


def test_another_order_of_the_data_begins_with_the_same_weights_and_ends_with_others(perform, restored):
    seeds = [{"init": 1, "order": order, "pruning": 1} for order in (1, 2)]
    history = perform(seeds=seeds)
    starts, ends = zip(*(history.states(run) for run in history.experiment().runs[:2]), strict=True)
    assert identical(*(restored(state)[0] for state in starts))
    assert not torch.equal(*(restored(state)[0]["0.weight"] for state in ends))


def test_the_seed_of_pruning_changes_nothing_where_the_criterion_draws_nothing(perform, restored):
    seeds = [{"init": 1, "order": 1, "pruning": pruning} for pruning in (1, 2)]
    history = perform({"name": "a"}, {"name": "b", "criterion": "random"}, seeds=seeds)
    one, other, random_one, random_other = (history.states(run) for run in history.experiment().runs[1:])
    for first, second in zip(one, other, strict=True):
        assert identical(restored(first)[0], restored(second)[0])
    for first, second in zip(random_one, random_other, strict=True):
        assert restored(first)[1] != restored(second)[1]


def test_a_step_to_rewind_to_that_the_training_does_not_have_is_refused(perform):
    for retrain in ("rewind", "rewind-lr"):
        with pytest.raises(
            ArgumentError, match=r"rewind_step must be below the 12 steps that the training takes, got 12"
        ):
            perform({"retrain": retrain, "rewind_step": 12}, folder=retrain)


def test_a_protected_layer_is_recorded_when_the_protection_acts(perform, restored):
    history = perform({"criterion": "tinytask:first_layer_only"}, sparsities=[0.2, 0.8])
    gentle, harsh = pruned(history)
    assert gentle.record.pruning.protected == ()
    assert harsh.record.pruning.protected == ("3.weight",)
    assert restored(harsh)[1]["3.weight"].sum() == 1
    history = perform({"criterion": "tinytask:first_layer_only", "protect": False}, sparsities=[0.2, 0.8])
    assert pruned(history)[1].record.pruning.protected == ()
    assert not restored(pruned(history)[1])[1]["3.weight"].any()


def test_a_step_is_recorded_as_it_was_asked_for(perform):
    history = perform(
        {"name": "mine", "criterion": "random", "scope": "layer", "schedule": "iterative", "fraction": 0.3,
         "retrain": "rewind", "include": ["0"]}
    )  # fmt: skip
    state = pruned(history)[2]
    step, run = state.record.pruning, history.run(state.run_id)
    assert (step.criterion, step.pattern, step.scope, step.schedule) == ("random", "weight", "layer", "iterative")
    assert (step.position, step.of, round(step.requested_sparsity, 4)) == (3, 5, 0.6316)
    assert {name: (count.shape, count.total) for name, count in step.tensors.items()} == {"0.weight": ((20, 6), 120)}
    assert step.sparsity == step.tensors["0.weight"].sparsity == round(0.6316 * 120) / 120
    assert state.record.retraining == "rewind"
    assert (run.technique, run.seed, run.seeds) == ("mine", 0, {"init": 0, "order": 0, "pruning": 0})
    assert run.settings == {
        "name": "mine",
        "criterion": "random",
        "scope": "layer",
        "schedule": "iterative",
        "fraction": 0.3,
        "retrain": "rewind",
        "include": ["0"],
    }  # what is stated alone, so that a new setting does not make recorded runs others
    assert {"torch", "numpy", "python", "prunus", "threads", "processor"} <= run.environment.keys()
    assert state.record.seconds > 0
    assert state.record.cost.nonzero_parameters < dense(history)[1].record.cost.nonzero_parameters


def test_test_examples_take_no_part_in_choosing(perform, monkeypatch, modules_of_a_user):
    import tinytask

    from prunus.experiments import workshop
    from prunus.tasks import Data, Examples, Task

    def with_wrong_test_labels():
        data = honest().data
        wrong = Examples(data.test.inputs, data.test.targets.roll(1))
        return Task("tiny", Data("tiny", data.train, data.validation, wrong, data.class_names), tinytask.build)

    honest = tinytask.task
    found = []
    for folder, task in (("honest", honest), ("wrong", with_wrong_test_labels)):
        workshop._task.cache_clear()
        monkeypatch.setattr(tinytask, "task", task)
        history = perform({"schedule": "levels"}, {"criterion": "random"}, folder=folder, seeds=[0, 1])
        found.append([replicate for each in history.candidates() for replicate in each.replicates])
    workshop._task.cache_clear()
    assert len(found[0]) == 10
    assert [each.choosing for each in found[0]] == [each.choosing for each in found[1]]
    assert all(one.reporting["loss"] != other.reporting["loss"] for one, other in zip(*found, strict=True))
    assert all(each.choosing["loss"] != each.reporting["loss"] for each in found[0])
