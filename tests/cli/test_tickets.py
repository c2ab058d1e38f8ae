from __future__ import annotations

import json
import re
import shutil

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
    assert re.fullmatch(r"dense: \d\d\.\d ±\d+\.\d, stops at \d+ ±\d+ of 80 steps, measured every 10", lines[0])
    assert lines[1] == "tickets: test accuracy in %, mean of 3 seeds ± half the 95 % interval"
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
    assert any(line.startswith("No groups: fewer than 3 techniques") for line in lines)
    assert "fc1.weight" in done.output
    found = json.loads(CliRunner().invoke(app, ["tickets", "compare", "--history", str(folder), "--json"]).output)
    pairs = {(each["first"], each["second"]): each for each in found["pairs"]}
    assert {*pairs} == {("tickets", "tickets"), ("tickets", "tuned"), ("tuned", "tuned")}
    # Both prune the same dense networks at once by magnitude; other seeds have nothing to do with one another.
    assert pairs["tickets", "tuned"]["jaccard"]["mean"] == 1
    assert pairs["tuned", "tuned"]["jaccard"]["mean"] < 0.15
    assert pairs["tickets", "tuned"]["hamming"]["mean"] == 0
    assert pairs["tickets", "tuned"]["by_chance"]["low"] > 0.04
    assert found["sparsity"] == 0.9
    assert found["groups"] is None
    for technique in ("tickets", "tuned"):
        reached = found["reached"][technique]
        assert reached["effective"]["mean"] >= reached["sparsity"]["mean"] == pytest.approx(0.9, abs=1e-3)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounds")
    going = {"schedule": "iterative", "fraction": 0.6}
    techniques = [
        {"name": "tickets", "retrain": "rewind", **going},
        {"name": "tuned", **going},
        {"name": "whole", "pattern": "channel", "retrain": "rewind"},
        {"name": "random", "criterion": "random", "retrain": "rewind", "schedule": "levels"},
    ]
    plan = {"epochs": 1, "learning_rate": 0.01}
    prunus.run({**RECIPE, "training": plan, "technique": techniques}, history=folder, jobs=1)
    return folder


@pytest.fixture
def asked(rounds, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        done = CliRunner().invoke(app, ["tickets", *arguments, "--history", str(rounds)])
        assert done.exit_code == 0, done.output
        assert all(len(line) <= 82 for line in done.output.splitlines())
        return done.output

    return run


def test_techniques_are_compared_over_the_rounds_that_they_share(asked):
    lines = asked("compare", "--rounds").splitlines()
    start = lines.index("tickets / tuned")
    assert [line.split()[0] for line in lines[start + 3 : start + 6]] == ["50", "77.64", "90"]
    start = lines.index("tickets / random")
    assert [line.split()[0] for line in lines[start + 3 : start + 5]] == ["50", "90"]
    found = json.loads(asked("compare", "--rounds", "--json"))["rounds"]
    assert [round(each["sparsity"], 4) for each in found] == [0.5, 0.7764, 0.9]
    similar = [
        pair["jaccard"]["mean"]
        for each in found
        for pair in each["pairs"]
        if (pair["first"], pair["second"]) == ("tickets", "tuned")
    ]
    assert similar[0] == 1  # both prune the same dense networks first
    assert similar[0] > similar[1] > similar[2]
    assert {*found[1]["reached"]} == {"tickets", "tuned"}
    assert json.loads(asked("compare", "--sparsity", "0.7764", "--json"))["pairs"] == found[1]["pairs"]


def test_techniques_that_agree_stand_in_one_group(asked):
    lines = asked("compare", "--sparsity", "0.5").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("Groups: "))
    tree = lines[start + 2 : lines.index("", start)]
    [joined] = [index for index, line in enumerate(tree) if line.endswith("0.00")]
    assert {line.strip("│├└─ ") for line in tree[joined + 1 : joined + 3]} == {"tickets", "tuned"}
    assert sorted(line.split()[-1] for line in tree if not line[-1].isdigit()) == [
        "random", "tickets", "tuned", "whole",
    ]  # fmt: skip
    found = json.loads(asked("compare", "--sparsity", "0.5", "--json"))
    assert found["groups"]["height"] > 0.5
    assert {*found["order"]} == {"tickets", "tuned", "whole", "random"}


def test_all_rounds_and_one_sparsity_are_not_both(rounds):
    done = CliRunner().invoke(app, ["tickets", "compare", "--history", str(rounds), "--rounds", "--sparsity", "0.5"])
    assert "leave out --sparsity" in str(done.exception)


def test_structure_is_shown_over_rounds_with_techniques_below_one_another(asked):
    lines = asked("structure", "--rounds").splitlines()
    start = lines.index("fc1.weight: its 100 rows, means over seeds (by chance)")
    assert [tuple(line.split()[:3:2]) for line in lines[start + 3 : start + 13]] == [
        *(("50", each) for each in ("tickets", "tuned", "whole", "random")),
        *(("77.64", each) for each in ("tickets", "tuned")),
        *(("90", each) for each in ("tickets", "tuned", "whole", "random")),
    ]
    found = json.loads(asked("structure", "--json"))
    assert found["techniques"]["whole"]["fc1.weight"]["in_wholes"] == 1
    pairs = {(each["first"], each["second"]) for each in found["structured"]}
    assert pairs == {(one, other) for one in ("tickets", "tuned", "random") for other in ("rows by norm", "whole")}
    assert sum("rows by norm" in line for line in asked("structure").splitlines()) == 4


def test_the_best_ticket_is_named_only_where_it_is_shown_to_be(asked, monkeypatch):
    lines = asked("rank", "--sparsity", "0.9").splitlines()
    assert lines[0] == "Tickets at 90 % sparsity: accuracy in %, 3 seeds ± half the 95 % interval"
    places = {line.split()[1]: line.split()[0] for line in lines[3:6]}
    assert {*places} == {"tickets", "whole", "random"}
    assert places["tickets"] == "1"
    found = json.loads(asked("rank", "--sparsity", "0.9", "--json"))
    best = found["rows"][0]
    word = "is shown" if best["sure_last"] == 1 else "is not shown"
    assert f"tickets {word} to be better than all others." in lines
    assert best["to_best"] is None
    assert found["rows"][-1]["to_best"]["mean"] < 0


def test_a_sparsity_without_masks_is_refused_with_those_that_have_some(folder):
    done = CliRunner().invoke(app, ["tickets", "compare", "--history", str(folder), "--sparsity", "0.7"])
    assert "no masks at sparsity 0.7: it has some at 0.5, 0.9" in str(done.exception)


def test_structure_is_shown_for_every_technique_and_layer(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["tickets", "structure", "--history", str(folder), "--view", "column"]
    lines = CliRunner().invoke(app, arguments).output.splitlines()
    assert lines[0] == "fc1.weight: its 64 columns at 90 % sparsity, means over seeds (by chance)"
    assert sum(line.startswith(("tickets", "tuned")) for line in lines) == 6 + 2
    assert sum("columns by norm" in line for line in lines) == 3
    assert all(len(line) <= 82 for line in lines)
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert found["techniques"]["tuned"]["fc1.weight"]["groups"] == 64


def test_stability_is_shown_at_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    technique = {"name": "tickets", "retrain": "rewind", "each": {"ticket": ["found", "reordered"]}}
    prunus.run({**RECIPE, "seeds": [0, 1], "technique": [technique]}, history=tmp_path / "h", jobs=1)
    arguments = ["tickets", "stability", "--history", str(tmp_path / "h"), "--points", "3"]
    lines = CliRunner().invoke(app, arguments).output.splitlines()
    assert lines[0] == "tickets: beside siblings with the data in another order, 2 seeds"
    assert [line.split()[:3] for line in lines[3:5]] == [["50", "%", "0"], ["10", "%", "0"]]
    assert all(len(line) <= 82 for line in lines)
    assert any("'unpruned'" in line for line in lines)
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [(each["ticket"], each["sparsity"], len(each["paths"][0]["errors"])) for each in found] == [
        ("tickets", 0.5, 3), ("tickets", 0.9, 3),
    ]  # fmt: skip


def test_stability_from_several_steps_is_one_table(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    each = {"rewind_step": [0, 10, 100], "ticket": ["found", "reordered", "unpruned"]}
    technique = {"name": "tickets", "retrain": "rewind", "each": each}
    recipe = {**RECIPE, "seeds": [0, 1], "sparsities": [0.5], "technique": [technique]}
    prunus.run({**recipe, "training": {"epochs": 6}}, history=tmp_path / "h", jobs=1)
    arguments = ["tickets", "stability", "--history", str(tmp_path / "h"), "--points", "2"]
    lines = CliRunner().invoke(app, arguments).output.splitlines()
    assert lines[0] == "tickets: beside siblings with the data in another order, 2 seeds"
    assert [line.split()[:2] for line in lines[3:6]] == [["dense", "0"], ["dense", "10"], ["dense", "100"]]
    assert [line.split()[:3] for line in lines[6:9]] == [["50", "%", "0"], ["50", "%", "10"], ["50", "%", "100"]]
    assert not any("'unpruned'" in line for line in lines)
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [(each["rewind_step"], each["sparsity"]) for each in found[:3]] == [(0, 0.0), (10, 0.0), (100, 0.0)]


def test_siblings_of_the_dense_network_alone_are_shown_and_are_no_tickets(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    technique = {"retrain": "rewind", "each": {"rewind_step": [0, 10], "ticket": ["unpruned"]}}
    prunus.run({**RECIPE, "seeds": [0, 1], "technique": [technique]}, history=tmp_path / "h", jobs=1)
    asked = ["--history", str(tmp_path / "h")]
    lines = CliRunner().invoke(app, ["tickets", "stability", *asked]).output.splitlines()
    assert [line.split()[:2] for line in lines[3:5]] == [["dense", "0"], ["dense", "10"]]
    for command, complaint in (("verdict", "no tickets to judge"), ("rank", "no tickets"), ("compare", "no masks")):
        done = CliRunner().invoke(app, ["tickets", command, *asked])
        assert complaint in str(done.exception), command


def test_what_has_nothing_to_show_is_refused(rounds, tmp_path):
    done = CliRunner().invoke(app, ["tickets", "structure", "--view", "kernel", "--history", str(rounds)])
    assert "no layer that was pruned has kernels" in str(done.exception)
    prunus.run({**RECIPE, "seeds": [0], "technique": [{"retrain": "rewind"}]}, history=tmp_path / "one", jobs=1)
    done = CliRunner().invoke(app, ["tickets", "compare", "--history", str(tmp_path / "one")])
    assert "one technique with one seed" in str(done.exception)


def test_an_unfinished_experiment_is_said_to_be_so(folder, told, tmp_path):
    assert "unfinished" not in told()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    run = next(run.id for run in prunus.History(folder).runs() if run.technique == "tickets")
    sorted(copy.glob(f"runs/{run}/states/*.json"))[-1].unlink()
    done = CliRunner().invoke(app, ["tickets", "verdict", "--json", "--history", str(copy)])
    assert re.fullmatch(
        "warning: the experiment [0-9a-f]{10} is unfinished: 1 run of 12 not complete; run the recipe again to go on\n",
        done.stderr,
    )
    assert json.loads(done.stdout)[1]["accuracy"]["count"] == 2


@pytest.mark.parametrize("command", ["verdict", "rank", "compare"])
def test_tickets_that_are_still_to_come_are_not_said_to_be_missing(command, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in copy.glob("runs/*/states/*.json"):
        path.unlink()
    done = CliRunner().invoke(app, ["tickets", command, "--history", str(copy)])
    assert "nothing to show yet: 12 of its 12 runs are not complete; run the recipe again" in str(done.exception)
