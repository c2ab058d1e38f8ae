from __future__ import annotations

import errno
import json
import os

import pytest
import torch

import prunus
from prunus.errors import ArgumentError, DataError, HistoryError, RecipeError, ScopeError, TargetError, TrainingError
from prunus.experiments.performing import perform_some
from prunus.experiments.recipe import Recipe
from prunus.experiments.runner import Progress

TECHNIQUES = (
    {"name": "levels", "schedule": "levels", "retrain": "rewind", "rewind_step": 4},
    {"name": "cubic", "schedule": "cubic"},
    {"name": "random", "criterion": "random", "schedule": "iterative", "fraction": 0.4},
)


def outcome(history):
    """What was found, without the times."""
    return {
        state.id: (
            state.run_id,
            state.position,
            state.record.parent,
            state.record.weights,
            state.record.masks,
            state.record.validation,
            state.record.test,
            state.record.cost,
            state.record.training_loss,
        )
        for state in history.states()
    }


def written(history):
    """Every record of a state with the time of its file."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in history.folder.glob("runs/*/states/*")}


@pytest.fixture
def whole(perform):
    """What comes of the techniques when nothing interrupts."""
    return perform(*TECHNIQUES, folder="whole")


def test_the_same_recipe_gives_the_same_weights_here_and_in_processes(perform, whole):
    assert outcome(perform(*TECHNIQUES, folder="again")) == outcome(whole)
    assert outcome(perform(*TECHNIQUES, folder="processes", jobs=2)) == outcome(whole)
    assert len(outcome(whole)) == 2 + 3 + 2 + 4


def test_the_number_of_threads_changes_no_result_and_is_left_as_it_was(perform):
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        history = perform(
            {"name": "a"},
            folder=str(threads),
            task={"data": "digits", "model": "lenet-300-100"},
            training={"epochs": 1, "batch_size": 400},
        )
        found.append(outcome(history))
        assert torch.get_num_threads() == threads
        assert {run.environment["threads"] for run in history.runs()} == {1}
    torch.set_num_threads(1)
    assert found[0] == found[1]


@pytest.mark.parametrize("count", [0, 1, 2, 4, 10])
def test_interrupted_after_any_state_it_goes_on_and_repeats_nothing(perform, whole, interrupted_after, count, tmp_path):
    with interrupted_after(count):
        perform(*TECHNIQUES)
    history = prunus.History(tmp_path / "history")
    before = written(history)
    assert len(before) == count
    assert history.problems == []
    again = perform(*TECHNIQUES)
    assert outcome(again) == outcome(whole)
    assert written(again).items() >= before.items()


def test_a_second_run_makes_nothing(perform, whole, fits):
    before = written(whole)
    again = perform(*TECHNIQUES, folder="whole")
    assert fits == []
    assert written(again) == before


def test_a_state_that_was_removed_is_made_again_and_the_later_ones_stay(perform, whole):
    before, expected = written(whole), outcome(whole)
    victims = [whole.states(whole.experiment().runs[index])[position].id for index, position in ((1, 1), (3, 0))]
    for victim in victims:
        (path,) = whole.folder.glob(f"runs/*/states/*-{victim}.json")
        path.unlink()
    again = perform(*TECHNIQUES, folder="whole")
    assert outcome(again) == expected
    after = written(again)
    assert {name for name in before if after[name] != before[name]} == {
        name for name in before if any(victim in name for victim in victims)
    }


def test_another_recipe_takes_over_the_work_that_it_shares(perform, fits):
    perform({"name": "a"}, {"name": "b", "criterion": "random"}, seeds=[0, 1])
    done = len(fits)
    history = perform({"name": "a"}, {"name": "c", "when": "before"}, seeds=[1, 2])
    # of seed 1 only "c" is new; of seed 2 all is: the dense training, and two states of each
    assert len(fits) - done == 2 + 1 + 2 + 2
    assert len(history.runs()) == 6
    assert len(prunus.History(history.folder).runs()) == 6 + 4


def test_the_view_that_is_returned_shows_this_experiment_alone(perform):
    perform({"name": "a"})
    history = perform({"name": "b"})
    assert {run.technique for run in history.runs()} == {"dense", "b"}
    assert {run.technique for run in prunus.History(history.folder).runs()} == {"dense", "a", "b"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_technique_that_fails_leaves_the_others_recorded(perform, tmp_path, jobs):
    techniques = [
        {"name": "impossible", "schedule": "levels"},
        {"name": "unprotected", "protect": False},
        {"name": "layerwise", "scope": "layer"},
    ]
    with pytest.raises(TargetError) as caught:
        perform(*techniques, jobs=jobs, sparsities=[0.5, 0.995])
    assert str(caught.value).startswith("'impossible' with seed 0: sparsity 0.995 leaves 1 for 2 tensors")
    assert "(3 of 4 runs are done; what is recorded stays)" in str(caught.value)
    history = prunus.History(tmp_path / "history")
    states = {run.technique: len(history.states(run.id)) for run in history.runs()}
    assert states == {"dense": 2, "impossible": 1, "unprotected": 2, "layerwise": 2}


def test_every_failure_is_told_and_the_first_gives_the_kind(perform):
    with pytest.raises(ScopeError) as caught:
        perform({"name": "a", "include": ["nowhere"]}, {"name": "b"}, sparsities=[0.5, 0.995], seeds=[0, 1])
    told = str(caught.value)
    assert told.startswith("'a' with seeds 0–1: no module or parameter is named 'nowhere'")
    assert "; 'b' with seeds 0–1: sparsity 0.995 leaves 1 for 2 tensors" in told
    assert told.endswith("(2 of 6 runs are done; what is recorded stays)")


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [([3], "seed 3"), ([0, 1], "seeds 0–1"), ([2, 0, 1, 3], "seeds 0–3"), ([7, 0, 1, 4], "seeds 0–1, 4, 7")],
)
def test_an_equal_failure_of_several_seeds_and_techniques_is_told_once(perform, seeds, expected):
    techniques = [{"name": "a", "include": ["nowhere"]}, {"name": "b"}, {"name": "c", "include": ["nowhere"]}]
    with pytest.raises(ScopeError) as caught:
        perform(*techniques, seeds=seeds)
    assert str(caught.value).startswith(f"'a' with {expected} and 'c' with {expected}: no module or parameter is na")
    assert str(caught.value).count("nowhere") == 1


def test_without_its_dense_network_a_technique_is_not_tried(perform, tmp_path):
    diverging = {"epochs": 2, "batch_size": 20, "learning_rate": 1e30, "optimizer": "sgd", "momentum": 0.9}
    with pytest.raises(TrainingError) as caught:
        perform({"name": "a"}, {"name": "b"}, training=diverging)
    assert str(caught.value).startswith("'dense' with seed 0: the training loss became")
    assert "'a'" not in str(caught.value)
    assert [run.technique for run in prunus.History(tmp_path / "history").runs()] == ["dense"]


def test_a_class_that_is_missing_from_the_test_split_is_said(perform):
    with pytest.raises(DataError, match="class 'c' is missing from the test split of 'tiny'"):
        perform(task="tinytask:a_class_is_missing")


def test_an_empty_scope_is_said(perform):
    with pytest.raises(ScopeError, match="'magnitude, global, levels, finetune' with seed 0: nothing to prune"):
        perform(task="tinytask:nothing_to_prune")


def test_a_data_set_that_is_not_there_is_said_with_both_ways_to_get_it(perform, monkeypatch):
    monkeypatch.delenv("PRUNUS_DATA", raising=False)
    monkeypatch.setattr("prunus.tasks.datasets.sources.hub_package", lambda: None)
    with pytest.raises(DataError, match=r"'mnist' was not found .*set PRUNUS_DATA .*pip install 'prunus\[hf\]'"):
        perform(task={"data": "mnist", "model": "lenet-300-100"})


def test_a_full_disk_stops_the_work_at_once_and_nothing_is_lost(perform, whole, fits, monkeypatch, tmp_path):
    write, left = os.replace, [9]

    def full(*paths):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(HistoryError, match=r"the disk is full: .*nothing recorded before is lost") as caught:
            perform(*TECHNIQUES)
    assert str(caught.value).count("the disk is full") == 1
    assert len(fits) < 4
    history = prunus.History(tmp_path / "history")
    assert history.problems == []
    before = written(history)
    assert before
    again = perform(*TECHNIQUES)
    assert outcome(again) == outcome(whole)
    assert written(again).items() >= before.items()


def test_the_progress_ends_with_all_that_was_planned(values, tmp_path):
    seen = []
    recipe = values(*TECHNIQUES, seeds=[0, {"init": 0, "order": 0, "pruning": 1}])
    prunus.run(recipe, history=tmp_path / "history", jobs=1, watch=seen.append)
    assert seen[0] == Progress(0, 20)
    assert seen[-1] == Progress(20, 20)
    assert [each.done for each in seen] == sorted(each.done for each in seen)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_below_one_are_refused(perform, jobs):
    with pytest.raises(ArgumentError, match=f"jobs must be at least 1, got {jobs}"):
        perform(jobs=jobs)


def test_a_recipe_may_be_a_value_a_file_a_name_or_a_mapping(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mapping = values()
    file = tmp_path / "my.toml"
    lines = [f"{key} = {json.dumps(mapping[key])}" for key in ("seeds", "sparsities", "task")]
    training = [f"{key} = {value}" for key, value in mapping["training"].items()]
    file.write_text("\n".join([*lines, "[training]", *training, "[[technique]]", "schedule = 'levels'"]))
    ids = {
        prunus.run(recipe, history="h", jobs=1).experiment().id
        for recipe in (mapping, Recipe.of(mapping), file, str(file), "my.toml")
    }
    assert ids == {Recipe.of(mapping).id}
    with pytest.raises(RecipeError, match="there is no file dmo"):
        prunus.run("dmo")


def test_the_recipe_that_was_run_can_be_run_again_from_the_history(perform, fits):
    history = perform(*TECHNIQUES)
    done = len(fits)
    again = prunus.run(history.experiment().recipe, history=history.folder, jobs=1)
    assert again.experiment().id == history.experiment().id
    assert len(fits) == done


def test_a_script_of_the_user_cannot_lie_in_main(perform):
    with pytest.raises(ArgumentError, match="lies in the script that runs"):
        perform(task="__main__:task")


def test_runs_that_are_put_back_after_every_state_end_as_those_that_are_not(perform, whole, monkeypatch):
    monkeypatch.setattr("prunus.experiments.runner.SLICE_SECONDS", 0.0)
    sliced = perform(*TECHNIQUES, jobs=2, folder="sliced")
    assert outcome(sliced) == outcome(whole)


def test_a_run_is_left_after_the_state_in_which_its_time_is_over(works, tmp_path):
    history = prunus.History(tmp_path / "history")
    dense, technique = works({"schedule": "levels"})
    assert perform_some([dense], history, 0.0).left == [dense]
    assert len(history.states(dense.id)) == 1
    assert perform_some([dense], history, 0.0).left == []
    assert perform_some([technique], history, 1e9) == ([], [], 1)
    assert len(history.states(technique.id)) == 2


@pytest.mark.parametrize(("model", "together"), [("mlp", 2), ("lenet-300-100", 1)])
def test_of_runs_whose_networks_are_not_trained_as_one_the_first_is_done(works, tmp_path, model, together):
    history = prunus.History(tmp_path / "history")
    task, plan = {"data": "digits", "model": model}, {"epochs": 1, "batch_size": 400}
    found = works(seeds=[0, 1], task=task | {"model": model}, training=plan)[:2]
    assert perform_some(found, history) == (found[together:], [], together)
    assert [history.complete(work.id) for work in found[:together]] == [True] * together
