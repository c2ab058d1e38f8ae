from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from prunus.errors import ArgumentError, HistoryError, UnknownNameError
from prunus.history.store import History


def test_what_is_recorded_is_there_when_the_history_is_opened_again(history, make):
    runs = make.fill(history)
    experiment = make.experiment(*runs)
    history.record(experiment)
    again = History(history.folder, create=False)
    assert {run.id: run for run in again.runs()} == {run.id: run for run in runs}
    assert again.experiment() == experiment
    for run in runs:
        assert again.run(run.id) == run
        assert [state.record.position for state in again.states(run.id)] == [0, 1]
    assert len(again.states()) == 6
    assert again.problems == []


def test_the_default_folder_is_prunus_history_or_what_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRUNUS_HISTORY", raising=False)
    assert History().folder == tmp_path / "prunus-history"
    monkeypatch.setenv("PRUNUS_HISTORY", str(tmp_path / "other"))
    assert History().folder == tmp_path / "other"


def test_a_history_that_must_exist_is_not_made(tmp_path):
    with pytest.raises(HistoryError, match=r"there is no history at .*: run a recipe first"):
        History(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_beginning_a_run_again_keeps_its_first_record(history, make):
    first = make.run()
    history.begin(first)
    history.begin(replace(first, created="2027-01-01T00:00:00+00:00", environment={"torch": "3"}))
    assert history.run(first.id) == first


def test_an_id_stands_for_one_run(history, make):
    history.begin(make.run(id="abcd"))
    with pytest.raises(HistoryError, match="run 'abcd' is recorded already, with other settings"):
        history.begin(make.run(id="abcd", seed=3))
    assert history.run("abcd").seed == 0


def test_the_same_state_may_be_added_twice_and_another_may_not(history, make):
    run = make.fill(history)[1]
    state = history.states(run.id)[1].record
    history.add(state)
    for changed in (replace(state, seconds=9.0), replace(state, position=7)):
        with pytest.raises(HistoryError, match=f"{state.id}"):
            history.add(changed)
    assert history.state(state.id).record == state
    assert len(history.states(run.id)) == 2


def test_a_position_holds_one_state(history, make):
    run = make.fill(history)[1]
    with pytest.raises(HistoryError, match=f"cannot be at position 1 of run '{run.id}'"):
        history.add(make.state(run, 1, id="other"))


def test_a_state_may_not_refer_to_what_is_not_there(history, make):
    run = make.run()
    with pytest.raises(HistoryError, match="has not begun: begin it first"):
        history.add(make.state(run))
    history.begin(run)
    with pytest.raises(HistoryError, match=r"the weights of state '.*' are not stored: give their bytes"):
        history.add(make.state(run))
    history.blobs.put(make.weights)
    with pytest.raises(HistoryError, match="the masks of state"):
        history.add(make.state(run, masks="0" * 64))
    with pytest.raises(HistoryError, match="has the parent 'ffff', which is not recorded"):
        history.add(make.state(run, parent="ffff"))
    assert history.states(run.id) == []


def test_a_record_that_could_not_come_back_is_refused_before_anything_is_written(history, make):
    with pytest.raises(HistoryError, match="cannot be part of a file's name"):
        history.begin(make.run(id="../escape"))
    with pytest.raises(HistoryError, match="a run's id is made of"), history.lock("../escape"):
        pass
    assert not list(history.folder.parent.glob("escape*"))
    assert history.runs() == []


def test_ids_may_be_shortened_as_long_as_they_are_unique(history, make):
    for run_id in ("abc1", "abc2", "abc"):
        history.begin(make.run(id=run_id, seed=int(run_id[3:] or 0)))
    assert history.run("abc2").id == "abc2"
    assert history.run("abc").id == "abc"
    history.blobs.put(make.weights)
    for position, state_id in enumerate(("def", "def1", "gh.1-2_json")):
        history.add(make.state(make.run(id="abc"), position, id=state_id))
    assert history.state("def").id == "def"
    assert history.state("def1").id == "def1"
    assert [state.id for state in history.states("abc")] == ["def", "def1", "gh.1-2_json"]
    with pytest.raises(ArgumentError, match="2 states have"):
        history.state("de")
    with pytest.raises(ArgumentError, match="3 runs have an id that begins with 'ab': abc, abc1, abc2; give more"):
        history.run("ab")
    for find in (history.run, history.state, history.states):
        with pytest.raises(UnknownNameError, match=r"has an id that begins with 'x': `prunus history` lists them"):
            find("x")
    for find in (history.experiment, history.restricted_to):
        with pytest.raises(UnknownNameError, match=r"begins with 'x': `prunus history --experiments` lists them"):
            find("x")


def test_runs_and_experiments_are_listed_newest_first(history, make):
    runs = [make.run(seed=seed, created=f"2026-01-0{day}T00:00:00+00:00") for seed, day in ((0, 2), (1, 3), (2, 1))]
    for run in runs:
        history.begin(run)
        history.record(make.experiment(run, created=run.created))
    assert [run.seed for run in history.runs()] == [1, 0, 2]
    assert [experiment.created[9:10] for experiment in history.experiments()] == ["3", "2", "1"]
    assert history.experiment() == history.experiments()[0]


def test_the_experiment_last_asked_for_is_the_latest(history, make):
    first, second = (make.experiment(make.run(seed=seed)) for seed in (0, 1))
    history.record(first)
    history.record(replace(second, created="2026-02-01T00:00:00+00:00"))
    history.record(replace(first, created="2026-03-01T00:00:00+00:00"))
    assert history.experiment().id == first.id
    assert len(history.experiments()) == 2


def test_a_history_without_experiments_says_what_to_do(history):
    with pytest.raises(HistoryError, match="holds no experiment: run a recipe first"):
        history.experiment()


def test_a_run_is_complete_when_its_planned_states_are_there(history, make):
    run = make.run(states_planned=2)
    assert not history.complete(run.id)
    history.begin(run)
    history.blobs.put(make.weights)
    for position, complete in ((0, False), (1, True)):
        history.add(make.state(run, position))
        assert history.complete(run.id) is complete
    assert not history.complete(run.id[:8])


def test_a_view_shows_one_experiments_runs_only(history, make):
    own, other = make.fill(history, seed=0), make.fill(history, seed=1)
    history.record(make.experiment(*own, title="own"))
    history.record(make.experiment(*other, title="other", created="2026-02-01T00:00:00+00:00"))
    view = history.restricted_to(make.experiment(*own).id[:10])
    assert {run.id for run in view.runs()} == {run.id for run in own}
    assert {state.run_id for state in view.states()} == {run.id for run in own}
    assert [experiment.title for experiment in view.experiments()] == ["own"]
    assert view.experiment().title == "own"
    with pytest.raises(UnknownNameError):
        view.run(other[0].id)
    with pytest.raises(UnknownNameError):
        view.state(history.states(other[0].id)[0].id)
    assert len(history.runs()) == 6
    assert history.restricted_to().experiment().title == "other"


def test_a_state_knows_its_relatives_across_runs(history, make):
    dense, magnitude, random = make.fill(history)
    start, trained = history.states(dense.id)
    half, most = history.states(magnitude.id)
    assert most.lineage() == [start, trained, half, most]
    assert (half.parent(), start.parent()) == (trained, None)
    assert {state.run_id for state in trained.children()} == {magnitude.id, random.id}
    assert start.children() == [trained]
    assert most.children() == []
    assert most.weights() == make.weights
    assert len({most, history.state(most.id)}) == 1
    assert most != object()
    assert most.id in repr(most)


def test_a_vanished_ancestor_is_named(history, make):
    dense, magnitude, _ = make.fill(history)
    (history.folder / f"runs/{dense.id}/states").joinpath(f"0001-{history.states(dense.id)[1].id}.json").unlink()
    with pytest.raises(HistoryError, match=r"the parent '.*' of state '.*' has gone"):
        history.states(magnitude.id)[0].lineage()


def test_a_state_that_is_its_own_ancestor_is_refused(history, make):
    run = make.fill(history)[1]
    first, second = history.states(run.id)
    path = history.folder / f"runs/{run.id}/states/0000-{first.id}.json"
    path.write_text(path.read_text().replace(first.record.parent, second.id))
    with pytest.raises(HistoryError, match="is its own ancestor"):
        history.state(second.id).lineage()


def test_a_lock_keeps_another_process_out_until_its_holder_dies(history, make):
    script = (
        "import sys; from prunus.history.store import History\n"
        f"with History({str(history.folder)!r}).lock('run1') as held:\n"
        "    print(held, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"True\n"
        with history.lock("run1", blocking=False) as held:
            assert held is False
        with history.lock("run2", blocking=False) as held:
            assert held is True
        holder.kill()
    with history.lock("run1") as held:
        assert held is True
    with history.lock("run1", blocking=False) as held, history.lock("run1", blocking=False) as again:
        assert (held, again) == (True, False)


def test_an_error_inside_a_locked_block_passes_through_and_releases_the_lock(history):
    with pytest.raises(FileNotFoundError), history.lock("run1"):
        raise FileNotFoundError("of the caller")
    with history.lock("run1", blocking=False) as held:
        assert held is True


def test_a_history_travels_to_another_process(history, make):
    runs = make.fill(history)
    history.record(make.experiment(runs[1]))
    (history.folder / "index.sqlite").unlink()
    (history.folder / "index.sqlite").mkdir()  # so that the index is in memory, which stays behind
    assert len(history.runs()) == 3
    there = pickle.loads(pickle.dumps(history.restricted_to()))
    assert there.runs() == [runs[1]]
    assert there.states(runs[1].id)[0].record == history.states(runs[1].id)[0].record


def test_importing_the_history_imports_neither_torch_nor_scipy():
    script = "import sys, prunus.history.store; print([n for n in ('torch', 'scipy', 'numpy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"
