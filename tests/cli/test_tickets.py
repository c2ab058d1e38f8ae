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
    assert all(len(line) <= 82 for line in lines)
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


def test_techniques_are_compared_with_what_chance_would_give(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, ["tickets", "compare", "--history", str(folder), "--layers"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("What stays at 90 % sparsity")
    assert all(len(line) <= 82 for line in lines)
    assert "fc1.weight" in done.output
    found = json.loads(CliRunner().invoke(app, ["tickets", "compare", "--history", str(folder), "--json"]).output)
    pairs = {(each["first"], each["second"]): each for each in found["pairs"]}
    assert {*pairs} == {("tickets", "tickets"), ("tickets", "tuned"), ("tuned", "tuned")}
    # Both prune the same dense networks at once by magnitude; other seeds have nothing to do with one another.
    assert pairs["tickets", "tuned"]["jaccard"]["mean"] == 1
    assert pairs["tuned", "tuned"]["jaccard"]["mean"] < 0.15
    assert found["sparsity"] == 0.9


def test_a_sparsity_without_masks_is_refused_with_those_that_have_some(folder):
    done = CliRunner().invoke(app, ["tickets", "compare", "--history", str(folder), "--sparsity", "0.7"])
    assert "no masks at sparsity 0.7: it has some at 0.5, 0.9" in str(done.exception)


def test_structure_is_shown_for_every_technique_and_layer(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["tickets", "structure", "--history", str(folder), "--view", "column"]
    lines = CliRunner().invoke(app, arguments).output.splitlines()
    assert lines[0] == "The columns at 90 % sparsity, means over seeds (by chance)"
    assert sum(line.startswith(("tickets", "tuned")) for line in lines) == 6
    assert all(len(line) <= 82 for line in lines)
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert found["techniques"]["tuned"]["fc1.weight"]["groups"] == 64


def test_stability_is_shown_at_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    technique = {"name": "tickets", "retrain": "rewind", "each": {"ticket": ["found", "reordered"]}}
    prunus.run({**RECIPE, "seeds": [0, 1], "technique": [technique]}, history=tmp_path / "h", jobs=1)
    arguments = ["tickets", "stability", "--history", str(tmp_path / "h"), "--points", "3"]
    lines = CliRunner().invoke(app, arguments).output.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("tickets ")][1:] == [
        ["tickets", "50", "%"], ["tickets", "10", "%"],
    ]  # fmt: skip
    assert all(len(line) <= 84 for line in lines)
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [(each["ticket"], each["sparsity"], len(each["paths"][0]["errors"])) for each in found] == [
        ("tickets", 0.5, 3), ("tickets", 0.9, 3),
    ]  # fmt: skip
