from __future__ import annotations

import re
from dataclasses import replace

import pytest

import prunus
from prunus.cli.verdict import sentence
from prunus.report.words import sparsity_percent

RECIPE = """
seeds = [0, 1]
sparsities = [0.3, 0.6]
task = {data = "wine", model = "decision-tree"}

[[technique]]
method = "cost-complexity"

[[technique]]
method = "reduced-error"
choice = "own"
"""


@pytest.fixture
def rows(command, tmp_path, monkeypatch):
    """Technique → cells of its row in the table that a run of the recipe ends with; ``""`` is the row of headings."""
    monkeypatch.setenv("COLUMNS", "140")
    (tmp_path / "trees.toml").write_text(RECIPE, encoding="utf-8")

    def run(*changes):
        done = command("run", "trees.toml", "--jobs", "1", *changes)
        assert (done.status, done.err) == (0, "")
        cells = [re.split(r"\s{2,}", line.strip()) for line in done.out.splitlines()]
        return {each[0]: each[1:] for each in cells if len(each) > 1}

    return run


def test_an_own_choice_stands_beside_the_sparsity_that_it_reached(rows, tmp_path):
    found = rows()
    assert found["technique"] == ["30 %", "60 %", "own choice"]
    candidates = {
        each.technique: each for each in prunus.History(tmp_path / "prunus-history", create=False).candidates()
    }
    own = candidates["reduced-error by its own choice"]
    *targets, chosen = found["reduced-error by its own choice"]
    assert targets == ["–", "–"]
    accuracy, sparsity = f"{50 * sum(own.reporting('accuracy')):.1f} ±", sparsity_percent(own.requested_sparsity)
    assert chosen.startswith(accuracy)
    assert chosen.endswith(f" at {sparsity}")
    assert found["cost-complexity"][2] == "–"
    assert len({*found["dense"][:2]}) == 1


def test_without_sparsities_there_are_own_choices_alone(rows):
    found = rows("--set", "sparsities=[]", "--set", "technique.0.choice=own")
    assert found["technique"] == ["own choice"]
    techniques = ["cost-complexity by its own choice", "reduced-error by its own choice"]
    assert all("±" in found[technique][0] for technique in techniques)


def test_where_nothing_chooses_for_itself_there_is_no_such_column(rows):
    assert rows("--set", "technique.1.choice=sparsities")["technique"] == ["30 %", "60 %"]


@pytest.mark.parametrize(
    ("drop", "told"),
    [
        (0.031, "right, 3.1 points below the dense model."),
        (-0.031, "right, 3.1 points above the dense model."),
        (0.0004, "right, as many as the dense model."),
    ],
)
def test_the_sentence_says_how_far_from_dense_the_model_is(history, drop, told):
    assert told in sentence(_with(history.best(sparsity_at_least=0.5), accuracy_drop=drop))


@pytest.mark.parametrize(
    ("times", "told"),
    [(7.93, "7.9 times less than dense."), (1.01, "as much as dense."), (0.5, "2.0 times more than dense.")],
)
def test_the_sentence_says_how_much_smaller_the_file_is(history, times, told):
    assert sentence(_with(history.best(sparsity_at_least=0.5), compression=times)).endswith(f", {told}")


def test_the_dense_model_is_not_compared_with_itself(history):
    choice = history.best(sparsity_at_most=0.0)
    assert choice.candidate.technique == "dense"
    assert "below" not in sentence(choice)
    assert "the dense model" not in sentence(choice)


def _with(choice, **reporting):
    return replace(choice, replicate=replace(choice.replicate, reporting={**choice.replicate.reporting, **reporting}))
