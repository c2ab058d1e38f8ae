from __future__ import annotations

import time

import pytest

import prunus
from prunus.errors import UserCodeError
from prunus.experiments.performing import perform as perform_work
from prunus.experiments.recipe import Recipe
from prunus.training.together import advance

RECIPE = {
    "seeds": [0, 1, 2],
    "sparsities": [0.5, 0.8],
    "task": {"data": "digits", "model": "mlp"},
    "training": {"epochs": 2},
    "technique": [
        {"name": "rewound", "schedule": "levels", "retrain": "rewind"},
        {"name": "tuned", "criterion": "random"},
        {"name": "late", "schedule": "levels", "retrain": "rewind", "rewind_step": 5},
        {"name": "taught", "distill": True},
        {"name": "gradual", "schedule": "cubic"},
    ],
}
FAILING = """
calls = []

def score(subject):
    calls.append(1)
    if len(calls) == 2:
        raise ValueError("the second")
    return {name: weight.abs() for name, weight in subject.weights().items()}
"""


@pytest.fixture
def stacks(monkeypatch):
    sizes = []
    train = advance.fit_stacked

    def noted(fits):
        outcomes = train(fits)
        sizes.append(outcomes and len(outcomes))
        return outcomes

    monkeypatch.setattr(advance, "fit_stacked", noted)
    return sizes


def found(history):
    return {
        state.id: (state.record.weights, state.record.masks, state.record.test, state.record.training_loss)
        for state in history.states()
    }


def test_side_by_side_runs_give_bit_for_bit_what_they_give_one_by_one(tmp_path, stacks):
    together = prunus.run(RECIPE, history=tmp_path / "together", jobs=1)
    # Three seeds of a technique, or of two that train by the same plan at a time; the others are alone.
    assert set(stacks) == {3, 6}
    one_by_one = prunus.History(tmp_path / "one by one")
    for work in Recipe.of(RECIPE).works():
        perform_work(work, one_by_one)
    assert found(together) == found(one_by_one)
    assert all(state.record.seconds > 0 for state in together.states())


def test_one_that_fails_leaves_those_beside_it_to_end(tmp_path, monkeypatch, stacks):
    (tmp_path / "failingscore.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = {**RECIPE, "technique": [{"name": "failing", "criterion": "failingscore:score", "schedule": "levels"}]}
    with pytest.raises(UserCodeError, match=r"'failing' with seed \d: .*the second.* \(5 of 6 runs are done"):
        prunus.run(recipe, history=tmp_path / "history", jobs=1)
    assert stacks == [3, 2, 2]
    history = prunus.run(recipe, history=tmp_path / "history", jobs=1)
    assert len(history.states()) == 3 * 2 + 3 * 2


def test_the_time_that_runs_share_is_counted_once(tmp_path, stacks):
    started = time.perf_counter()
    history = prunus.run(RECIPE, history=tmp_path, jobs=1)
    assert sum(state.record.seconds for state in history.states()) <= time.perf_counter() - started
    assert 3 in stacks
