from __future__ import annotations

import json
import random
import re
import sqlite3

import pytest

from prunus.errors import HistoryError
from prunus.history.records import SCHEMA
from prunus.history.store import History


def only(history, name):
    (path,) = history.folder.glob(name)
    return path


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.write_bytes(b""), "is damaged: it is not JSON"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "is damaged: it is not JSON"),
        (lambda path: path.write_bytes(b"\xff" * 20), "is damaged: it is not JSON"),
        (lambda path: path.write_text('{"kind": "run", "schema": 1, "record": {"\\ud800": 1}}'), "unknown field"),
        (lambda path: path.write_text(path.read_text().replace('"init":0', '"\\ud800":"x"')), "must be a whole number"),
        (lambda path: path.write_text(path.read_text().replace(f'"schema":{SCHEMA}', '"schema":99')), "update prunus"),
        (lambda path: path.write_text(re.sub('"id":"..', '"id":"zz', path.read_text())), "is misplaced, for it holds"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    ],
)
def test_a_damaged_record_is_named_and_the_others_stay_readable(history, make, damage, problem):
    runs = make.fill(history)
    bad = history.folder / f"runs/{runs[1].id}/run.json"
    assert len(history.runs()) == 3
    damage(bad)
    for opened in (history, History(history.folder, create=False)):
        name = f"runs/{runs[1].id}/run.json"
        assert [text.startswith(name) and problem in text for text in opened.problems] == [True]
        assert {run.id for run in opened.runs()} == {runs[0].id, runs[2].id}
        assert {one.technique for one in opened.candidates()} == {"dense", "random"}
        assert not opened.complete(runs[1].id)
        for ask in (opened.run, opened.states):
            with pytest.raises(HistoryError, match=f"{name} .*{problem}"):
                ask(runs[1].id)
        with pytest.raises(HistoryError, match=problem):
            opened.begin(runs[1])


def test_a_damaged_state_is_named_and_the_others_stay_readable(history, make):
    runs = make.fill(history)
    first, second = history.states(runs[1].id)
    bad = only(history, f"runs/{runs[1].id}/states/0001-*")
    record = second.record
    bad.write_bytes(bad.read_bytes()[:-1] + b"}")
    assert [problem.partition(" ")[0] for problem in history.problems] == [str(bad.relative_to(history.folder))]
    assert [state.id for state in history.states(runs[1].id)] == [first.id]
    assert not history.complete(runs[1].id)
    with pytest.raises(HistoryError, match=bad.name):
        history.state(second.id)
    with pytest.raises(HistoryError, match=bad.name):
        history.add(record)  # what is damaged is not replaced unasked
    bad.unlink()
    history.add(record)
    assert history.problems == []
    assert history.complete(runs[1].id)


def test_a_record_damaged_or_gone_since_it_was_found_is_named(history, make):
    runs = make.fill(history)
    first, second = history.states(runs[1].id)
    only(history, f"runs/{runs[1].id}/states/0000-*").unlink()
    only(history, f"runs/{runs[1].id}/states/0001-*").write_bytes(b"{")
    with pytest.raises(HistoryError, match=f"{first.id}.json has gone"):
        _ = first.record
    with pytest.raises(HistoryError, match=f"{second.id}.json is damaged"):
        _ = second.record


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_index_is_made_anew(history, make, seed):
    make.fill(history)
    before = make.contents(history)
    index = history.folder / "index.sqlite"
    data = bytearray(index.read_bytes())
    chance = random.Random(seed)
    if seed == 0:
        data = bytearray(b"not a database" * 100)
    elif seed == 1:
        data = data[: len(data) // 2]
    else:
        for _ in range(2000):
            data[chance.randrange(len(data))] = chance.randrange(256)
    index.write_bytes(data)
    assert make.contents(history) == before
    assert make.contents(History(history.folder, create=False)) == before
    with sqlite3.connect(index) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_what_is_no_record_is_left_alone(history, make):
    run = make.fill(history)[0]
    before = make.contents(history)
    for name in ("runs/my notes/run.json", f"runs/{run.id}/states/notes.txt", f"runs/{run.id}/states/0001-.json"):
        (history.folder / name).parent.mkdir(exist_ok=True)
        (history.folder / name).write_text("mine")
    (history.folder / "runs" / "stray").write_text("mine")
    assert make.contents(history) == before
    assert history.problems == []


def test_a_damaged_or_missing_blob_is_named_when_its_state_is_asked_for(history, make):
    run = make.fill(history)[0]
    state = history.states(run.id)[0]
    path = history.blobs.path(state.record.weights)
    path.write_bytes(b"Weights")
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        state.weights()
    path.unlink()
    with pytest.raises(HistoryError, match=f"lacks .*{path.name}"):
        state.weights()


def test_a_history_of_a_later_version_is_not_touched(history):
    marker = history.folder / "FORMAT.json"
    assert json.loads(marker.read_text()) == {"format": "prunus-history", "schema": 1}
    marker.write_text('{"format": "prunus-history", "schema": 2}')
    with pytest.raises(HistoryError, match=r"schema version 2, this prunus reads up to 1: update prunus"):
        History(history.folder)
    assert marker.read_text() == '{"format": "prunus-history", "schema": 2}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": "prunus-history"}', "is damaged"),
        ('{"format": "other", "schema": 1}', "is not a prunus history: its FORMAT.json names the format 'other'"),
        ('{"format": "prunus-history", "schema": "1"}', "is not a prunus history"),
    ],
)
def test_an_unreadable_marker_is_an_error_of_its_own(history, content, message):
    (history.folder / "FORMAT.json").write_text(content)
    with pytest.raises(HistoryError, match=message):
        History(history.folder)


@pytest.mark.parametrize("create", [True, False])
def test_a_folder_that_is_no_history_is_left_alone(tmp_path, create):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(HistoryError, match=r"is not a prunus history: it has no FORMAT.json but other files"):
        History(tmp_path, create=create)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_becomes_a_history_and_a_file_does_not(tmp_path, make):
    (tmp_path / "empty").mkdir()
    make.fill(History(tmp_path / "empty"))
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        for create in (True, False):
            with pytest.raises(HistoryError, match="a file stands where the history needs a folder"):
                History(place, create=create)
