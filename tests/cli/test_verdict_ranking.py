"""The outcome in the terminal: in order of merit, and of many techniques as a ranking."""

from __future__ import annotations

import re

import pytest

import prunus
from prunus.report.evidence import gather

CROWDED = """\
title = "Which of many?"
seeds = [0, 1]
sparsities = [0.5, 0.8]
task = "tinytask:task"

[training]
epochs = 2
batch_size = 20

[[technique]]
schedule = "one-shot"
epochs = 1

[technique.each]
criterion = ["magnitude", "random", "large-initial-large-final"]
scope = ["global", "layer"]
control = ["shuffle", "invert"]

[choose]
by = "accuracy"
sparsity_at_least = 0.5
"""
COMMON = "Every technique is: one-shot, finetune"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A folder with the history of many techniques, done; it is only read."""
    from .conftest import MODULES

    folder = tmp_path_factory.mktemp("crowded")
    (folder / "many.toml").write_text(CROWDED, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODULES))
        prunus.run(folder / "many.toml", history=folder / "prunus-history", jobs=1)
    return folder / "prunus-history"


def means(history, sparsity):
    """The mean test accuracy of every technique at that sparsity."""
    candidates = [one for one in history.candidates() if one.requested_sparsity == sparsity]
    return {one.technique: sum(one.reporting("accuracy")) / len(one.replicates) for one in candidates}


def test_an_experiment_is_shown_where_no_run_is_named(command, history):
    done = command("show")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"Which is best?: {history.experiment().id[:10]}\n")
    assert command("show", history.experiment().id).out == done.out
    assert re.search("\n\n.* has the highest validation accuracy", done.out)


def test_techniques_stand_in_order_of_merit_the_dense_model_first(command, history):
    rows = re.findall(r"^(dense|chained|branched)  ", command("show").out, re.MULTILINE)
    found = means(history, gather(history, None).level)
    assert rows == ["dense", *sorted(("chained", "branched"), key=lambda name: -found[name])]


def test_many_techniques_are_ranked_in_eighty_columns_with_a_line_each(command, crowded, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = command("show", "--history", crowded)
    assert done.status == 0
    ranking, explained = done.out.split("\nto the best:")
    assert all(len(line) <= 80 for line in [*ranking.splitlines(), *explained.splitlines()[:-1]])
    assert COMMON in ranking
    evidence = gather(prunus.History(crowded), None)
    found = means(prunus.History(crowded), evidence.level)
    names = "|".join(re.escape(evidence.short[name]) for name in evidence.techniques)
    rows = re.findall(rf"^ *(\d+) +({names}) +(\d+\.\d) ±.*?(\d+(?:–\d+)?)$", ranking, re.MULTILINE)
    assert len(rows) == len(evidence.techniques) == 12
    assert {name for _, name, _, _ in rows} == {evidence.short[name] for name in evidence.techniques}
    assert [accuracy for _, _, accuracy, _ in rows] == [f"{100 * one:.1f}" for one in sorted(found.values())[::-1]]
    assert [int(rank) for rank, _, _, _ in rows] == sorted(int(rank) for rank, _, _, _ in rows)


def test_run_ends_with_the_same_ranking(command, crowded, monkeypatch, tmp_path):
    (tmp_path / "many.toml").write_text(CROWDED, encoding="utf-8")
    done = command("run", "many.toml", "--history", crowded)
    assert done.status == 0
    shown = command("show", "--history", crowded).out.split("\n", 1)[1]
    assert done.out.startswith(shown)


def test_as_json_the_ranking_holds_every_target_in_numbers(as_json, crowded):
    found = as_json("show", "--history", crowded)
    assert found["experiment"] == prunus.History(crowded).experiment().id
    assert len(found["ranking"]) == 2 * 12
    first = found["ranking"][0]
    assert (first["rank"], first["sparsity"], first["kind"], first["to_best"]) == (1, 0.5, "single weights", None)
    assert first["first"] == first["sure_first"] == 1
    assert first["value"]["count"] == 2


def test_one_seed_is_ranked_without_intervals(command, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "many.toml").write_text(CROWDED.replace("[0, 1]", "[0]"), encoding="utf-8")
    done = command("run", "many.toml", "--jobs", "1", "--set", "sparsities=[0.5]", "--set", "training.epochs=1")
    assert done.status == 0
    assert "at 50\u00a0% sparsity, one seed" in done.out
    assert len(re.findall(r"  1–12$", done.out, re.MULTILINE)) == 12
    assert "±" not in done.out
    assert "one seed: no interval, so every technique may have any rank" in done.out


TREES = """\
title = "Which tree?"
seeds = [0, 1]
sparsities = [0.5]
task = {data = "wine", model = "decision-tree"}
"""


def test_techniques_that_choose_their_sparsity_stand_below_the_ranking(command, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    methods = ["cost-complexity", "reduced-error", "minimum-error", "pessimistic-error", "random"]
    techniques = [f'[[technique]]\nmethod = "{method}"\nchoice = "sparsities"\n' for method in methods]
    techniques += [f'[[technique]]\nmethod = "{method}"\nchoice = "own"\n' for method in methods[:4]]
    (tmp_path / "trees.toml").write_text("\n".join([TREES, *techniques]), encoding="utf-8")
    done = command("run", "trees.toml", "--jobs", "1")
    assert (done.status, done.err) == (0, "")
    ranking, below = done.out.split("without a model at that sparsity\n")
    assert "nodes, 5 techniques" in ranking
    assert "nodes in scope" in ranking
    assert len(re.findall(r"^ *\d+ +\S+ +\d+\.\d ±", ranking, re.MULTILINE)) == 5
    for method in methods[:4]:
        assert re.search(rf"^{method} by its own choice +\d+\.\d ±\S+ +\d", below, re.MULTILINE)
