"""``prunus tickets consensus`` and ``prunus tickets transfer``."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

import prunus
from prunus.cli.app import app

SEARCH = {"name": "tickets", "retrain": "rewind"}
TECHNIQUES = [
    SEARCH,
    {**SEARCH, "searches": 3, "each": {"ticket": ["found", "shuffled", "bespoke"], "vote": [1, 0.3]}},
    {**SEARCH, "each": {"source": [{"classes": [*"56789"]}]}},
]
RECIPE = {
    "seeds": [0, 1],
    "sparsities": [0.5, 0.8],
    "task": {"data": "digits", "model": "mlp", "classes": [*"01234"]},
    "training": {"epochs": 1},
    "technique": TECHNIQUES,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    prunus.run(RECIPE, history=folder, jobs=1)
    return folder


@pytest.fixture
def asked(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        done = CliRunner().invoke(app, ["tickets", *arguments, "--history", str(folder)])
        assert done.exit_code == 0, done.output
        assert all(len(line) <= 82 for line in done.output.splitlines())
        return done.output

    return run


def test_the_consensus_is_told_beside_chance_with_its_time(asked):
    text = asked("consensus")
    assert "votes" in text
    assert "3 of 3" in text
    assert "1 of 3" in text
    assert "side by side" in text
    rows = json.loads(asked("consensus", "--json"))
    assert [(row["searched"], row["votes"]) for row in rows] == [(0.5, 3), (0.8, 3), (0.5, 1), (0.8, 1)]
    intersections = [row for row in rows if row["votes"] == 3]
    assert all(row["sparsity"]["mean"] >= row["searched"] for row in intersections)
    assert all(row["by_chance"]["mean"] > row["sparsity"]["mean"] for row in intersections)
    assert {*rows[0]["to_controls"]} == {"shuffled", "bespoke"}


def test_transfers_are_a_matrix_of_source_by_target(asked):
    lines = asked("transfer").splitlines()
    assert "0, 1, 2, 3, 4" in lines[2]
    sources = [line for line in lines if line.startswith("digits (")]
    assert len(sources) == 2
    assert "80 %" in lines[0]
    assert "50 %" in asked("transfer", "--sparsity", "0.5") == asked("transfer", "--sparsity", "0.50002")
    found = json.loads(asked("transfer", "--json"))
    assert {row["carry"] for row in found} == {"bespoke", "initialisation"}


@pytest.mark.parametrize(
    ("option", "complaint"),
    [(("--sparsity", "0.7"), "some were at 0.5, 0.8"), (("--to", "best"), "there are bespoke, dense, random")],
)
def test_what_cannot_be_shown_is_refused(folder, option, complaint):
    done = CliRunner().invoke(app, ["tickets", "transfer", *option, "--history", str(folder)])
    assert complaint in str(done.exception)


def test_experiments_that_train_otherwise_are_named_below_the_matrix(folder, asked, tmp_path, monkeypatch):
    assert "train otherwise" not in asked("transfer")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    other = {**RECIPE, "seeds": [0], "sparsities": [0.5], "training": {"epochs": 2}, "technique": TECHNIQUES[::2]}
    prunus.run(other, history=copy, jobs=1)
    earlier = prunus.History(folder).experiment().id
    done = CliRunner().invoke(app, ["tickets", "transfer", "--history", str(copy)])
    assert done.output.splitlines()[-2:] == [
        "left out, for they train otherwise, and shown where they are named:", earlier[:10],
    ]  # fmt: skip
    named = CliRunner().invoke(app, ["tickets", "transfer", earlier, "--history", str(copy)])
    assert named.output == asked("transfer")


def test_what_was_put_to_a_vote_is_not_ranked_without_a_word(asked):
    assert "`prunus tickets consensus`" in asked("rank")
    assert ", or of searches at it" in asked("compare").splitlines()[0]
