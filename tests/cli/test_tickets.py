from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import prunus
from prunus.cli.app import app

RECIPE = {
    "seeds": [0, 1, 2],
    "sparsities": [0.5, 0.9],
    "task": {"data": "digits", "model": "mlp"},
    "training": {"epochs": 4, "learning_rate": 0.01, "evaluate_every": 10},
    "technique": [
        {"name": "tickets", "retrain": "rewind", "each": {"ticket": ["found", "reinitialised"]}},
        {"name": "tuned"},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    prunus.run(RECIPE, history=folder, jobs=1)
    return folder


@pytest.fixture
def told(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        done = CliRunner().invoke(app, ["tickets", "verdict", "--history", str(folder), *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_every_ticket_is_judged_at_80_columns(told):
    lines = told().splitlines()
    assert lines[0] == "tickets: test accuracy in %, mean of 3 seeds ± half the 95 % interval"
    assert all(len(line) <= 88 for line in lines)
    assert [line.split()[0] for line in lines if line.lstrip()[:1].isdigit()] == ["50", "10"]
    assert not any("tuned" in line for line in lines)
    assert "at most 0.5 points less accurate" in "\n".join(lines)


def test_the_numbers_are_those_of_the_learning_curves(told, folder):
    found = json.loads(told("--json", "--margin", "100", "--later", "1000"))
    assert [(each["technique"], each["sparsity"], each["verdict"]) for each in found] == [
        ("tickets", 0.5, "winning"), ("tickets", 0.9, "winning"),
    ]  # fmt: skip
    history = prunus.History(folder)
    runs = {(run.technique, run.seed): history.states(run.id) for run in history.runs()}
    lowest = {
        key: min(states[-1].record.curve, key=lambda point: point.validation_loss) for key, states in runs.items()
    }
    steps = [lowest["tickets", seed].step for seed in range(3)]
    differences = [lowest["tickets", seed].test_accuracy - lowest["dense", seed].test_accuracy for seed in range(3)]
    controls = [
        lowest["tickets", seed].test_accuracy - lowest["tickets, reinitialised", seed].test_accuracy
        for seed in range(3)
    ]
    assert found[1]["step"]["mean"] == pytest.approx(sum(steps) / 3)
    assert found[1]["to_dense"]["mean"] == pytest.approx(sum(differences) / 3)
    assert found[1]["to_controls"]["reinitialised"]["mean"] == pytest.approx(sum(controls) / 3)


def test_an_experiment_without_tickets_is_refused_with_what_would_make_some(tmp_path):
    prunus.run({**RECIPE, "seeds": [0], "technique": [{"name": "tuned"}]}, history=tmp_path / "h", jobs=1)
    done = CliRunner().invoke(app, ["tickets", "verdict", "--history", str(tmp_path / "h")])
    assert "has no tickets" in str(done.exception)
    assert "retrain = 'rewind'" in str(done.exception)
