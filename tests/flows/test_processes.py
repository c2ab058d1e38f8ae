from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import prunus

PROGRAM = (sys.executable, "-c", "from prunus.cli.app import main; main()")
PROCESSES = Path("/proc")
STATES = 16
needs_proc = pytest.mark.skipif(not PROCESSES.is_dir(), reason="looks for processes in /proc")


def program(*arguments):
    """The program in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def alive(group):
    """Processes of the group that have not ended."""
    found = []
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(folder.name))
    return found


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def recorded():
    """Every record of a state, by name."""
    return {path.name: path.read_bytes() for path in Path("prunus-history").glob("runs/*/states/[0-9]*.json")}


@needs_proc
def test_killed_in_the_middle_it_leaves_no_process_and_goes_on_where_it_stopped(uninterrupted, outcome_of, monkeypatch):
    monkeypatch.setenv("SECONDS_TO_BUILD", "0.3")
    with program("run", "my.toml", "--jobs", "2") as process:
        wait_for(lambda: len(recorded()) >= 5)
        process.kill()
        process.wait(30)
        wait_for(lambda: not alive(process.pid), 20)
    before = recorded()
    assert process.returncode == -signal.SIGKILL
    assert 5 <= len(before) < STATES
    assert prunus.History("prunus-history").problems == []
    monkeypatch.delenv("SECONDS_TO_BUILD")
    history = prunus.run("my.toml", jobs=1)
    assert recorded().items() >= before.items()
    assert outcome_of(history) == uninterrupted


@needs_proc
def test_interrupted_by_a_person_it_ends_with_all_its_processes_and_says_how_to_go_on(
    uninterrupted, outcome_of, monkeypatch
):
    monkeypatch.setenv("SECONDS_TO_BUILD", "0.3")
    with program("run", "my.toml", "--jobs", "2") as process:
        wait_for(lambda: len(recorded()) >= 3)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        wait_for(lambda: not alive(process.pid), 20)
    assert (process.returncode, out) == (130, "")
    assert f"interrupted; what is done is recorded in {Path('prunus-history').absolute()}: the same command" in err
    assert "Traceback" not in err
    history = prunus.History("prunus-history")
    assert history.problems == []
    found = outcome_of(history)
    assert 3 <= len(found) < STATES
    assert found.items() <= uninterrupted.items()


def test_two_runs_at_once_make_every_state_once(uninterrupted, outcome_of):
    with program("run", "my.toml", "--jobs", "1") as one, program("run", "my.toml", "--jobs", "1") as other:
        ends = [process.communicate(timeout=120) for process in (one, other)]
    assert [(process.returncode, err) for process, (_, err) in zip((one, other), ends, strict=True)] == [(0, "")] * 2
    assert ends[0][0] == ends[1][0]
    assert len(recorded()) == STATES
    assert outcome_of(prunus.History("prunus-history")) == uninterrupted
