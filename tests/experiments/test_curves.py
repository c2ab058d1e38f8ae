from __future__ import annotations

import json

import pytest

import prunus
from prunus.errors import RecipeError
from prunus.experiments.performing import perform as perform_work
from prunus.experiments.recipe import Recipe
from prunus.history.encoding import decode, encode
from prunus.history.records import StateRecord

TECHNIQUES = [
    {"name": "rewound", "retrain": "rewind", "rewind_step": 15},
    {"name": "tuned", "epochs": 1},
    {"name": "gradual", "schedule": "cubic"},
    {"name": "untrained", "retrain": "none"},
]
RECIPE = {  # 20 steps an epoch, so that the last of 60 is measured
    "seeds": [0, 1],
    "sparsities": [0.5],
    "task": {"data": "digits", "model": "mlp"},
    "training": {"epochs": 3, "evaluate_every": 10},
    "technique": TECHNIQUES,
}


def curves(history):
    return {(run.technique, run.seed): history.states(run.id)[-1].record for run in history.runs()}


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return prunus.run(RECIPE, history=tmp_path_factory.mktemp("history"), jobs=1)


def test_every_training_is_measured_as_often_as_the_plan_says(history):
    found = curves(history)
    steps = {name: [point.step for point in record.curve] for (name, seed), record in found.items() if seed == 0}
    assert steps == {
        "dense": [10, 20, 30, 40, 50, 60],
        "rewound": [20, 30, 40, 50, 60],
        "tuned": [10, 20],
        "gradual": [10, 20, 30, 40, 50, 60],
        "untrained": [],
    }


def test_the_last_point_is_what_is_measured_at_the_end(history):
    for (name, _), record in curves(history).items():
        if name != "untrained":
            last = record.curve[-1]
            assert (last.test_accuracy, last.test_loss) == (record.test.accuracy, record.test.loss)
            assert (last.validation_accuracy, last.validation_loss) == (
                record.validation.accuracy,
                record.validation.loss,
            )


def test_the_points_are_those_of_each_network_alone(history, tmp_path):
    alone = prunus.History(tmp_path / "alone")
    for work in Recipe.of(RECIPE).works():
        perform_work(work, alone)
    one_by_one = curves(alone)
    assert {key: record.curve for key, record in curves(history).items()} == {
        key: record.curve for key, record in one_by_one.items()
    }


def test_a_training_that_is_begun_anew_is_measured_once(tmp_path):
    """What two cannot be trained as one may show late, and then each is trained by itself."""
    recipe = {**RECIPE, "task": {"data": "digits", "model": "oddmodel:odd"}, "technique": [{"name": "tuned"}]}
    for record in curves(prunus.run(recipe, history=tmp_path, jobs=1)).values():
        assert [point.step for point in record.curve] == [10, 20, 30, 40, 50, 60]


def test_looking_changes_no_weight(history, tmp_path):
    unseen = prunus.run({**RECIPE, "training": {"epochs": 3}}, history=tmp_path, jobs=1)
    found = curves(unseen)
    assert not any(record.curve for record in found.values())
    assert {key: record.weights for key, record in found.items()} == {
        key: record.weights for key, record in curves(history).items()
    }


def test_a_record_from_before_there_were_curves_has_none(history):
    record = curves(history)["dense", 0]
    content = json.loads(encode(record))
    del content["record"]["curve"]
    content["schema"] = 1
    assert decode(StateRecord, json.dumps(content), "file").curve == ()


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_a_number_of_steps_that_is_none_is_refused(value):
    with pytest.raises(RecipeError, match="evaluate_every"):
        Recipe.of({**RECIPE, "training": {"evaluate_every": value}})
