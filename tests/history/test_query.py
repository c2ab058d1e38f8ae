from __future__ import annotations

import math
from dataclasses import replace

import pytest

from prunus.errors import ArgumentError, SelectionError, UnknownNameError
from prunus.selection.metrics import METRICS

LATER = "2026-05-01T00:00:00+00:00"


def found(candidates):
    return [(one.technique, one.requested_sparsity, [part.seed for part in one.replicates]) for one in candidates]


def test_seeds_of_one_technique_and_sparsity_are_one_candidate(history, make):
    for seed in (2, 0, 1):
        make.fill(history, seed)
    assert found(history.candidates()) == [
        ("dense", 0.0, [0, 1, 2]),
        ("magnitude", 0.5, [0, 1, 2]),
        ("magnitude", 0.9, [0, 1, 2]),
        ("random", 0.5, [0, 1, 2]),
        ("random", 0.9, [0, 1, 2]),
    ]


@pytest.mark.parametrize(("reached", "stands"), [(0.123456, 0.1235), (0.99997, 0.99997), (0.0, 0.0)])
def test_what_asked_for_no_sparsity_stands_where_it_came_to_and_never_at_1(history, make, reached, stands):
    dense, *_ = make.fill(history)
    own = make.run("own choice", sparsities=(), states_planned=1)
    history.begin(own)
    history.add(make.state(own, 0, history.states(dense.id)[0].id, pruning=make.pruning(0.0, reached)))
    assert ("own choice", stands, [0]) in found(history.candidates())


def test_metrics_come_from_their_own_split_and_drops_from_the_dense_model_of_the_seed(history, make):
    make.fill(history)
    replicate = next(one for one in history.candidates() if one.technique == "random").replicates[0]
    assert replicate.choosing.keys() == replicate.reporting.keys() == METRICS.keys()
    # Validation: dense (98, 96), pruned (98, 85). Test: dense (97, 97), pruned (98, 84).
    assert replicate.choosing == pytest.approx(
        {
            "accuracy": 0.915,
            "loss": 0.5,
            "worst_class_accuracy": 0.85,
            "accuracy_drop": 0.055,
            "worst_class_drop": 0.11,
            "sparsity": 0.4999,
            "parameters": 10_000,
            "nonzero_parameters": 1_000,
            "effective_parameters": 900,
            "flops": 20_000,
            "effective_flops": 2_000,
            "size_bytes": 1999,
            "compression": 40_000 / 1999,
        }
    )
    assert replicate.reporting["accuracy_drop"] == pytest.approx(0.97 - 0.91)
    assert replicate.reporting["worst_class_drop"] == pytest.approx(0.13)
    assert history.state(replicate.state).run_id == replicate.run


def test_a_drop_is_negative_only_where_every_class_improved(history, make):
    dense, magnitude, _ = make.fill(history)
    better = make.state(
        magnitude, 2, history.states(dense.id)[1].id, pruning=make.pruning(0.95), validation=make.outcome(99, 98)
    )
    history.add(better)
    replicate = next(one for one in history.candidates() if one.requested_sparsity == 0.95).replicates[0]
    assert replicate.choosing["worst_class_drop"] == pytest.approx(-0.01)


def test_the_dense_model_drops_nothing(history, make):
    make.fill(history)
    dense = history.candidates()[0].replicates[0].choosing
    assert (dense["accuracy_drop"], dense["worst_class_drop"], dense["sparsity"]) == (0.0, 0.0, 0.0)


def test_the_dense_model_is_found_through_the_parents(history, make):
    # Two dense runs of one seed: only the chain of parents tells them apart.
    _, magnitude, _ = make.fill(history)
    other = make.run("dense", 0, id="other", settings={"variant": 2}, created=LATER)
    history.begin(other)
    history.add(make.state(other, 9, kind="trained", validation=make.outcome(50, 50), created=LATER))
    replicate = next(one for one in history.candidates() if one.technique == "magnitude").replicates[0]
    assert replicate.run == magnitude.id
    assert replicate.choosing["accuracy_drop"] == pytest.approx(0.97 - 0.965)


def test_a_state_pruned_at_initialisation_is_compared_with_the_trained_dense_model(history, make):
    dense, *_ = make.fill(history, techniques=())
    before = make.run("snip")
    history.begin(before)
    history.add(make.state(before, 0, history.states(dense.id)[0].id, validation=make.outcome(90, 90)))
    assert history.candidates()[1].replicates[0].choosing["accuracy_drop"] == pytest.approx(0.07)


def test_without_a_dense_model_drops_are_unknown(history, make):
    run = make.run()
    history.blobs.put(make.weights)
    history.begin(run)
    history.add(make.state(run, cost=None))
    values = history.candidates()[0].replicates[0].choosing
    unknown = {name for name in values if math.isnan(values[name])}
    assert unknown == METRICS.keys() - {"accuracy", "loss", "worst_class_accuracy", "sparsity"}
    with pytest.raises(SelectionError, match="worst_class_drop is unknown"):
        history.best(worst_class_drop_at_most=0.1)


def test_another_seeds_dense_model_is_not_compared_with(history, make):
    make.fill(history, 0)
    run = make.run(seed=1)
    history.begin(run)
    history.add(make.state(run))
    replicates = next(one for one in history.candidates() if one.requested_sparsity == 0.9).replicates
    assert [math.isnan(replicate.choosing["accuracy_drop"]) for replicate in replicates] == [False, True]


def test_of_two_states_with_one_sparsity_the_later_counts(history, make):
    run = make.fill(history)[1]
    again = make.state(run, 2, history.states(run.id)[1].id)
    history.add(again)
    replicates = next(one for one in history.candidates() if one.requested_sparsity == 0.9).replicates
    assert [replicate.state for replicate in replicates] == [again.id]


def test_other_classes_than_the_dense_models_leave_the_worst_drop_unknown(history, make):
    dense, *_ = make.fill(history, techniques=())
    run = make.run()
    history.begin(run)
    history.add(make.state(run, 0, history.states(dense.id)[1].id, validation=make.outcome(9, 9, 9)))
    assert math.isnan(history.candidates()[1].replicates[0].choosing["worst_class_drop"])


def test_undefined_effective_parameters_are_unknown(history, make):
    run = make.run()
    history.blobs.put(make.weights)
    history.begin(run)
    history.add(make.state(run, cost=make.cost(effective=None)))
    assert math.isnan(history.candidates()[0].replicates[0].choosing["effective_parameters"])


def test_states_without_both_outcomes_are_no_candidates(history, make):
    run = make.run()
    history.blobs.put(make.weights)
    history.begin(run)
    history.add(make.state(run, 0, test=None))
    history.add(make.state(run, 1, validation=None))
    history.add(make.state(run, 2, kind="trained"))
    assert history.candidates() == []


def test_only_runs_with_the_same_task_and_training_are_compared(history, make):
    runs = make.fill(history, task={"data": "digits"})
    other = make.fill(history, task={"data": "mnist"}, techniques=("taylor",), created=LATER)
    make.fill(history, training={"epochs": 9}, techniques=("snip",), created="2020-01-01T00:00:00+00:00")
    assert {one.technique for one in history.candidates()} == {"dense", "taylor"}  # the newest run's
    history.record(make.experiment(*other))
    history.record(make.experiment(*runs, created=LATER))
    assert {one.technique for one in history.candidates()} == {"dense", "magnitude", "random"}  # the experiment's
    assert {one.technique for one in history.candidates(task={"data": "mnist"})} == {"dense", "taylor"}
    assert history.candidates(task={"data": "none"}) == []
    assert {one.technique for one in history.restricted_to(make.experiment(*other).id).candidates()} == {
        "dense",
        "taylor",
    }


def test_runs_of_other_settings_or_targets_are_other_candidates(history, make):
    make.fill(history, techniques=("magnitude",))
    for other in ({"settings": {"criterion": "magnitude", "norm": 2}}, {"sparsities": (0.9,)}):
        run = make.run(seed=1, **other)
        history.begin(run)
        history.add(make.state(run))
    pruned = [one for one in found(history.candidates()) if one[:2] == ("magnitude", 0.9)]
    assert sorted(pruned) == [("magnitude", 0.9, [0]), ("magnitude", 0.9, [1]), ("magnitude", 0.9, [1])]


def test_of_two_runs_with_one_seed_the_later_counts(history, make):
    make.fill(history)
    later = make.run(seeds={"init": 99}, created=LATER)
    history.begin(later)
    history.add(make.state(later, created=LATER))
    replicates = [
        one.replicates for one in history.candidates() if (one.technique, one.requested_sparsity) == ("magnitude", 0.9)
    ]
    assert [[replicate.run for replicate in seeds] for seeds in replicates] == [[later.id]]


def test_a_views_candidates_are_still_compared_with_a_dense_model_outside_it(history, make):
    _, magnitude, _ = make.fill(history)
    history.record(make.experiment(magnitude))
    view = history.restricted_to()
    assert {one.technique for one in view.candidates()} == {"magnitude"}
    assert view.candidates()[0].replicates[0].choosing["accuracy_drop"] == pytest.approx(0.97 - 0.965)


def test_the_best_under_constraints_is_found_in_the_history(history, make):
    for seed in (0, 1, 2):
        make.fill(history, seed)
    choice = history.best(sparsity_at_least=0.9, metric="accuracy", worst_class_drop_at_most=0.02)
    assert (choice.candidate.technique, choice.candidate.requested_sparsity) == ("magnitude", 0.9)
    assert choice.reported["accuracy"].mean == pytest.approx((98 + 93) / 200)
    assert choice.reported["accuracy"].count == 3
    assert history.best().candidate.technique == "dense"
    assert history.best("size_bytes").candidate.technique == "random"


def test_a_refusal_names_the_nearest_and_passes_on_what_is_malformed(history, make):
    with pytest.raises(SelectionError, match="run a recipe first"):
        history.best()
    make.fill(history)
    with pytest.raises(
        SelectionError, match=r"the nearest is magnitude at sparsity 0\.9.*worst_class_drop_at_most=0\.02"
    ):
        history.best(sparsity_at_least=0.9, worst_class_drop_at_most=0.001)
    with pytest.raises(ArgumentError, match="it is a fraction removed, not a percentage"):
        history.best(sparsity_at_least=90)
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        history.best("accurcy")


def test_the_pareto_front_runs_over_the_histories_candidates(history, make):
    make.fill(history)
    front = history.pareto("size_bytes", "accuracy")
    # Bytes and validation accuracy in %: random (1999, 91.5), (999, 91); magnitude (2000, 96.5), (1000, 96).
    assert [(one.technique, one.requested_sparsity) for one in front] == [
        ("random", 0.9),
        ("magnitude", 0.9),
        ("magnitude", 0.5),
        ("dense", 0.0),
    ]
    with pytest.raises(UnknownNameError):
        history.pareto("size", "accuracy")


def test_a_circle_of_parents_ends(history, make):
    run = make.fill(history)[1]
    first, second = (state.record for state in history.states(run.id))
    path = history.folder / f"runs/{run.id}/states/0000-{first.id}.json"
    path.write_text(path.read_text().replace(first.parent, second.id))
    magnitude = [one for one in history.candidates() if one.technique == "magnitude"]
    assert magnitude[0].replicates[0].choosing["accuracy_drop"] == pytest.approx(0.97 - 0.965)
    assert replace(first, parent=second.id) == history.state(first.id).record
