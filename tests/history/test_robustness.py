from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prunus.errors import HistoryError
from prunus.history.index import Index
from prunus.history.store import History

# Adds seeds to a history one after the other, as fast as it can, and says so.
WRITER = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from prunus.history.store import History
history = History({folder!r})
for seed in range({first}, {last}):
    conftest.fill(history, seed)
    history.record(conftest.experiment(conftest.run(seed=seed)))
    print(seed, flush=True)
"""


def writer(history, first, last):
    script = WRITER.format(tests=str(Path(__file__).parent), folder=str(history.folder), first=first, last=last)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def folder_contents(history):
    return {path.stem.partition("-")[2] for path in history.folder.glob("runs/*/states/*.json")}


@pytest.mark.parametrize("attempt", range(4))
def test_a_writer_killed_at_any_moment_loses_nothing_that_was_recorded(history, make, attempt):
    with writer(history, 0, 1000) as process:
        done = int(process.stdout.readline())
        time.sleep(random.Random(attempt).random() * 0.15)
        process.kill()
        done = max([done, *map(int, process.stdout.read().split("\n")[:-1])])
    again = History(history.folder, create=False)
    runs, states, experiments, candidates = make.contents(again)
    assert again.problems == []
    assert {state.id for state in states} == folder_contents(again)
    assert {run.seed for run in runs} >= set(range(done + 1))
    assert len(experiments) >= done + 1
    assert all(again.complete(run.id) for run in runs if run.seed <= done)
    assert all(again.blobs.get(state.weights) for state in states)
    assert len(candidates[0].replicates) >= done + 1
    (again.folder / "index.sqlite").unlink()
    assert make.contents(History(again.folder)) == (runs, states, experiments, candidates)


def test_two_writers_at_once_lose_nothing(history, make):
    with writer(history, 0, 6) as one, writer(history, 3, 9) as other:
        assert (one.wait(60), other.wait(60)) == (0, 0)
    runs, states, experiments, candidates = make.contents(history)
    assert {(run.technique, run.seed) for run in runs} == {
        (name, seed) for name in ("dense", "magnitude", "random") for seed in range(9)
    }
    assert (len(states), len(experiments), len(candidates[0].replicates)) == (54, 9, 9)
    assert all(history.complete(run.id) for run in runs)
    with sqlite3.connect(history.folder / "index.sqlite") as index:
        assert index.execute("SELECT count(*) FROM records").fetchone() == (27 + 54 + 9,)
    index.close()


def test_what_a_killed_writer_left_is_ignored_and_removed_once_it_is_old(history, make):
    runs = make.fill(history)
    before = make.contents(history)
    states = history.folder / "runs" / runs[0].id / "states"
    old, new = states / ".prunus-0.part", history.folder / "blobs" / ".prunus-1.part"
    kept = states / "notes.txt"
    for path in (old, new, kept):
        path.write_bytes(b"half a rec")
    os.utime(old, (time.time() - 7200,) * 2)
    assert make.contents(history) == before
    assert history.problems == []
    history.begin(make.run(seed=9))
    assert (old.exists(), new.exists(), kept.exists()) == (False, True, True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_is_said_and_nothing_recorded_is_lost(history, make, monkeypatch, failing, code):
    run = make.fill(history)[1]
    before = make.contents(history)

    def full(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        for write in (
            lambda: history.add(make.state(run, 5)),
            lambda: history.begin(make.run(seed=7)),
            lambda: history.record(make.experiment(run)),
            lambda: history.blobs.put(b"new weights"),
        ):
            with pytest.raises(
                HistoryError, match=r"the disk is full: .*nothing recorded before is lost; free some space"
            ):
                write()
    again = History(history.folder, create=False)
    assert make.contents(again) == before
    assert not list(history.folder.rglob("*.part"))
    again.add(make.state(run, 5))
    assert len(again.states(run.id)) == 3


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_history_can_be_read_and_says_why_it_is_not_written(history, make, monkeypatch, code):
    run = make.fill(history)[1]
    before = make.contents(history)
    shutil.rmtree(history.folder / "locks")
    for path in history.folder.glob("index.sqlite*"):
        path.unlink()
    unchecked = os.open, os.mkdir

    def opened(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(code, os.strerror(code), path)
        return unchecked[0](path, flags, *rest, **named)

    def made(path, *_, **__):
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "mkdir", made)
    again = History(history.folder, create=False)
    assert make.contents(again) == before
    assert not (history.folder / "index.sqlite").exists()
    state = again.states(run.id)[0]
    assert state.weights() == make.weights
    for write in (lambda: again.add(state.record), lambda: again.begin(run), lambda: again.blobs.put(b"new")):
        with pytest.raises(HistoryError, match=r"no permission for .*nothing recorded before is lost"):
            write()
    with pytest.raises(HistoryError, match="no permission"), again.lock(run.id):
        pass
    with pytest.raises(HistoryError, match="no permission for"):
        History(history.folder.parent / "new")


def test_an_index_in_memory_takes_in_what_is_new(history, make):
    (history.folder / "index.sqlite").mkdir()
    for seed in (0, 1):
        make.fill(history, seed)
        assert len(history.runs()) == 3 * (seed + 1)


def test_an_index_of_another_version_is_made_anew(history, make):
    make.fill(history)
    before = make.contents(history)
    with sqlite3.connect(history.folder / "index.sqlite") as index:
        index.execute("PRAGMA user_version = 77")
        index.execute("DROP TABLE records")
        index.execute("CREATE TABLE records (other)")
    index.close()
    assert make.contents(history) == before


def test_an_index_behind_or_ahead_of_the_folder_catches_up(history, make, tmp_path):
    make.fill(history, 0)
    assert len(history.runs()) == 3
    shutil.copy(history.folder / "index.sqlite", tmp_path / "old.sqlite")
    runs = make.fill(history, 1)
    assert len(history.runs()) == 6
    shutil.copy(tmp_path / "old.sqlite", history.folder / "index.sqlite")
    assert len(History(history.folder).runs()) == 6
    shutil.rmtree(history.folder / "runs" / runs[0].id)
    assert len(history.runs()) == 5
    assert len(history.states()) == 10


def test_only_new_and_changed_files_are_read_again(history, make, monkeypatch):
    import prunus.history.index as module

    make.fill(history, 0)
    history.runs()
    read, seen = module.read, []
    monkeypatch.setattr(
        module, "read", lambda folder, place, signature: (seen.append(place.path), read(folder, place, signature))[1]
    )
    history.states()
    assert seen == []
    make.fill(history, 1, techniques=())
    seen.clear()
    next(history.folder.glob("runs/*/run.json")).touch()
    history.states()
    assert len(seen) <= 2  # the touched one, and the last that was added
    seen.clear()
    History(history.folder).states()
    assert seen == []


def test_the_index_answers_in_memory_as_on_disk(history, make):
    make.fill(history)
    on_disk, in_memory = Index(history.folder), Index(history.folder)
    in_memory._path = history.folder / "none" / "index.sqlite"
    for question in (("TRUE ORDER BY path", ()), ("kind = ?", ("state",))):
        assert in_memory.select(*question) == on_disk.select(*question)
    run = history.runs()[0].id
    assert in_memory.select("TRUE", run=run) == on_disk.select("TRUE", run=run)
