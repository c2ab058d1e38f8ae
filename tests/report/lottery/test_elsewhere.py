from __future__ import annotations

import shutil

import pytest

import prunus
from prunus.report.evidence import gather
from prunus.report.lottery.elsewhere import elsewhere
from prunus.report.page import render
from prunus.tickets import consensus, gather_tickets, transfers

LOW, HIGH = [*"01234"], [*"56789"]
SEARCH = {"name": "tickets", "retrain": "rewind"}
RECIPE = {
    "seeds": [0, 1],
    "sparsities": [0.5, 0.8],
    "training": {"epochs": 1},
    "technique": [SEARCH],
}


def task(classes):
    return {"data": "digits", "model": "mlp", "classes": classes}


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    voted = {**SEARCH, "searches": 3, "each": {"vote": [1, 0.3], "ticket": ["found", "bespoke", "shuffled"]}}
    for classes, others, more in ((HIGH, LOW, []), (LOW, HIGH, [voted])):
        carried = {**SEARCH, "each": {"source": [{"classes": others}], "carry": ["mask", "initialisation"]}}
        recipe = {**RECIPE, "task": task(classes), "technique": [SEARCH, carried, *more]}
        history = prunus.run(recipe, history=folder, jobs=1)
    return history


def test_each_vote_has_its_row(taken):
    rows = elsewhere(gather(taken, None), taken).rows
    found = consensus(taken, gather_tickets(taken))
    assert [(row.technique, row.votes) for row in rows] == [
        ("tickets, vote 1", "3 of 3"), ("tickets, vote 1", "3 of 3"),
        ("tickets, vote 0.3", "1 of 3"), ("tickets, vote 0.3", "1 of 3"),
    ]  # fmt: skip
    for row, each in zip(rows, found, strict=True):
        assert row.searched == f"{100 * (1 - each.verdict.ticket.sparsity):.0f} %".replace(" ", row.searched[-2])
        assert float(row.left.rstrip(" %\u00a0")) == pytest.approx(100 * (1 - each.sparsity.mean), abs=0.06)
        assert float(row.by_chance.rstrip(" %\u00a0")) == pytest.approx(100 * (1 - each.by_chance.mean), abs=0.06)
        bespoke = each.verdict.to_controls["bespoke"]
        assert float(row.to_bespoke[0].replace("\u2212", "-")) == pytest.approx(100 * bespoke.mean, abs=0.06)
        assert row.to_bespoke[2] == bespoke.excludes_zero


def test_maps_are_of_all_tasks_that_the_history_has_tickets_for(taken):
    maps = elsewhere(gather(taken, None), taken).maps
    assert [each.carry for each in maps] == ["the mask alone", "mask and first weights"]
    names = {f"digits ({', '.join(classes)})" for classes in (LOW, HIGH)}
    found = {(each.source, each.target, each.carry): each for each in transfers(taken) if each.sparsity == 0.8}
    for each, carry in zip(maps, ("mask", "initialisation"), strict=True):
        assert each.sparsity == 0.8
        assert {head.name for head in each.map.rows} == {head.name for head in each.map.columns} == names
        for row, cells in zip(each.map.rows, each.map.cells, strict=True):
            for column, cell in zip(each.map.columns, cells, strict=True):
                own = row == column
                expected = found[row.name, column.name, "bespoke" if own else carry]
                assert cell.text == f"{100 * expected.accuracy.mean:.1f}"
                assert cell.framed == own
                assert bool(cell.beside) != own
                assert (cell.step == "none") == own


def test_the_page_of_an_older_experiment_has_its_own_map(taken, tmp_path):
    shutil.copytree(taken.folder, tmp_path / "history")
    older = taken.experiment()
    longer = {**older.recipe, "training": {"epochs": 2}}
    history = prunus.run(longer, history=tmp_path / "history", jobs=1)
    assert elsewhere(gather(history, None), history) != elsewhere(gather(taken, None), taken)
    whole = prunus.History(history.folder)
    before = whole.restricted_to(older.id)
    assert elsewhere(gather(before, None), before).maps == elsewhere(gather(taken, None), taken).maps


def test_the_page_has_both(taken):
    page = render(taken)
    assert 'id="elsewhere"' in page
    assert "What several searches agree on" in page
    assert "trained on →" in page


def test_an_experiment_that_takes_nothing_has_no_such_section(tmp_path):
    history = prunus.run({**RECIPE, "seeds": [0], "task": task(LOW)}, history=tmp_path, jobs=1)
    assert elsewhere(gather(history, None), history) is None
    assert 'id="elsewhere"' not in render(history)


def test_the_page_is_written_where_searches_have_gone(taken, tmp_path):
    shutil.copytree(taken.folder, tmp_path / "history")
    history = prunus.History(tmp_path / "history")
    shown = {*history.experiment().runs}
    for run in history.runs():
        if run.id not in shown:
            shutil.rmtree(history.folder / "runs" / run.id)
    page = render(prunus.History(tmp_path / "history"))
    assert "Some of it cannot be shown" in page
