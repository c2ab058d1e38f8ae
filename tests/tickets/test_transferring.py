from __future__ import annotations

import pytest

import prunus
from prunus.errors import SelectionError, UnknownNameError
from prunus.tickets import transfers

LOW, HIGH = [*"01234"], [*"56789"]
SEARCH = {"name": "tickets", "schedule": "levels", "retrain": "rewind"}


def recipe(classes, others, **changes):
    taken = {"source": [{"classes": each} for each in others], "carry": ["mask", "initialisation"]}
    return {
        "seeds": [0, 1],
        "sparsities": [0.5, 0.8],
        "task": {"data": "digits", "model": "mlp", "classes": classes},
        "training": {"epochs": 2},
        "technique": [SEARCH, {**SEARCH, "each": {**taken, "ticket": ["found", "shuffled"]}}],
        **changes,
    }


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    return [prunus.run(recipe(*tasks), history=folder, jobs=1) for tasks in ((LOW, [HIGH]), (HIGH, [LOW]))]


def name(classes):
    return f"digits ({', '.join(classes)})"


@pytest.fixture(scope="module")
def found(histories):
    return {(each.source, each.target, each.carry, each.sparsity): each for each in transfers(histories[0])}


def accuracies(history, technique, position):
    return [
        history.states(run.id)[position].record.test.accuracy
        for run in sorted(history.runs(), key=lambda run: run.seed)
        if run.technique == technique
    ]


def test_there_is_one_for_every_pair_of_tasks_way_of_carrying_and_sparsity(found):
    pairs = {(name(one), name(other)) for one in (LOW, HIGH) for other in (LOW, HIGH)}
    expected = {
        (*pair, carry, sparsity)
        for pair in pairs
        for carry in (["bespoke"] if pair[0] == pair[1] else ["mask", "initialisation"])
        for sparsity in (0.5, 0.8)
    }
    assert {*found} == expected


def test_each_is_compared_with_what_its_target_has_found_itself(histories, found):
    each = found[name(HIGH), name(LOW), "initialisation", 0.8]
    history = histories[0]
    taken = f"tickets, from classes {', '.join(HIGH)}, initialisation"
    own = accuracies(history, taken, 1)
    for field, others in (
        ("to_bespoke", accuracies(history, "tickets", 1)),
        ("to_random", accuracies(history, f"{taken}, shuffled", 1)),
        ("to_dense", accuracies(history, "dense", 1)),
    ):
        expected = sum(one - other for one, other in zip(own, others, strict=True)) / 2
        assert getattr(each, field).mean == pytest.approx(expected)
    assert each.accuracy.mean == pytest.approx(sum(own) / 2)
    bespoke = found[name(LOW), name(LOW), "bespoke", 0.8]
    assert bespoke.accuracy.mean == pytest.approx(sum(accuracies(history, "tickets", 1)) / 2)
    assert bespoke.to_bespoke is None


def test_one_experiment_has_one_target(histories):
    record = histories[1].experiment()
    assert {each.target for each in transfers(histories[0], [record.id])} == {name(HIGH)}
    with pytest.raises(UnknownNameError, match="no experiment"):
        transfers(histories[0], ["zzz"])


def test_another_training_is_not_mixed_in(histories):
    prunus.run(recipe(LOW, [HIGH], training={"epochs": 1}), history=histories[0].folder, jobs=1)
    assert {each.target for each in transfers(histories[0])} == {name(LOW)}


@pytest.mark.parametrize(
    "changes", [{"training": {"epochs": 1}}, {"task": {"data": "digits", "model": "lenet-300-100"}}]
)
def test_experiments_that_train_otherwise_are_no_matrix(histories, changes):
    other = recipe(HIGH, [LOW])
    other["task"] |= changes.get("task", {})
    other["training"] |= changes.get("training", {})
    other["technique"] = [{**SEARCH, "name": "other"}]
    record = prunus.run(other, history=histories[0].folder, jobs=1).experiment()
    with pytest.raises(SelectionError, match="train other networks, or train otherwise"):
        transfers(histories[0], [histories[0].experiment().id, record.id])


def test_an_older_experiment_is_shown_by_its_own_training_and_its_own_numbers(histories):
    older = histories[0].experiment()
    prunus.run(recipe(LOW, [HIGH], training={"epochs": 1}), history=histories[0].folder, jobs=1)
    prunus.run(recipe(LOW, [HIGH], seeds=[2]), history=histories[0].folder, jobs=1)
    found = {each.source: each for each in transfers(histories[0], beside=older.id) if each.target == name(LOW)}
    expected = {each.source: each for each in transfers(histories[0], [older.id])}
    assert {*found} == {name(LOW), name(HIGH)}
    assert found == expected
    assert {each.target for each in transfers(histories[0], beside=older.id)} == {name(LOW), name(HIGH)}


def test_without_another_task_there_is_no_transfer(tmp_path):
    history = prunus.run(recipe(LOW, [HIGH], technique=[SEARCH]), history=tmp_path, jobs=1)
    with pytest.raises(SelectionError, match="no ticket was taken to another task"):
        transfers(history)
