"""Code and data that change behind a name between two runs."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import torch

import prunus
from prunus.errors import DataError, UserCodeError
from prunus.experiments.performing import check_data
from prunus.experiments.performing import perform as perform_work
from prunus.experiments.recipe import Recipe
from prunus.experiments.workshop import forget_tasks

UPSIDE_DOWN = "def score(subject):\n    return {n: SIGNw.abs() for n, w in subject.weights().items()}\n"


def write(path: Path, text: str) -> None:
    """Write a module so that Python notices: its cache goes by second and size."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (path.stat().st_atime, write.time))
    write.time += 10


write.time = 1_000_000_000


@pytest.fixture
def criterion(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda sign: write(tmp_path / "changingscore.py", UPSIDE_DOWN.replace("SIGN", sign))
    sys.modules.pop("changingscore", None)


def kept_weights(history):
    """Mean absolute value of what the last pruning kept."""
    run = next(run for run in history.runs() if run.technique != "dense")
    state = history.states(run.id)[-1]
    tensors = prunus.tasks.load_task({"target": "tinytask:task"}).build()
    masks = state.restore(tensors)
    weights = dict(tensors.named_parameters())
    return torch.cat([weights[name][mask].detach().abs() for name, mask in masks.items()]).mean()


def test_a_criterion_that_is_edited_in_one_session_runs_as_edited(perform, criterion):
    technique = {"criterion": "changingscore:score", "schedule": "levels", "retrain": "none"}
    criterion("")
    large = perform(technique)
    criterion("-")
    small = perform(technique)
    assert {run.id for run in large.runs()} != {run.id for run in small.runs()}
    assert kept_weights(small) < kept_weights(large)


def test_runs_of_edited_code_are_not_taken_for_replicates(perform, criterion, tmp_path):
    technique = {"criterion": "changingscore:score", "schedule": "levels", "retrain": "none"}
    criterion("")
    perform(technique, seeds=[0, 1])
    criterion("-")
    perform(technique, seeds=[0])
    candidates = prunus.History(tmp_path / "history").candidates()
    assert sorted(len(each.replicates) for each in candidates if each.requested_sparsity == 0.8) == [1, 2]


DATA = """
import json, os
from pathlib import Path
import torch
from prunus.tasks import Data, Examples

def load(folder=None):
    print("loaded on", torch.get_num_threads())
    values = json.loads((Path(os.environ["PRUNUS_DATA"]) / "values.json").read_text())
    split = Examples(torch.tensor(values["inputs"]), torch.tensor(values["targets"]))
    return Data("mine", split, split, split, ("a", "b"))
"""


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Writes the file behind the user's data set "filedata:load"."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path / "data"))
    (tmp_path / "filedata.py").write_text(DATA, encoding="utf-8")
    (tmp_path / "data").mkdir()

    def write(shift=0.0, folder="data"):
        inputs = [[[[shift + index % 2, index / 20]]] for index in range(20)]
        values = {"inputs": inputs, "targets": [index % 2 for index in range(20)]}
        (tmp_path / folder / "values.json").write_text(json.dumps(values))

    write()
    yield write
    sys.modules.pop("filedata", None)


TASK = {"data": "filedata:load", "model": "mlp"}
ON_FILE = {"task": TASK, "training": {"epochs": 1}, "sparsities": [0.5]}
REFUSED = (
    r"the data of 'filedata:load' have changed since run \w{16} was recorded: their digest was (\w{16}) and now is "
    r"(\w{16})\. .* give back the data of then, or use another history with --history or \$PRUNUS_HISTORY"
)


def refused(run, **settings):
    with pytest.raises(DataError, match=REFUSED) as caught:
        run({"name": "a"}, **{**ON_FILE, **settings})
    return re.search(REFUSED, str(caught.value)).groups()


def test_a_complete_experiment_does_not_answer_for_other_data(perform, data, tmp_path):
    first = perform({"name": "a"}, **ON_FILE)
    recorded = {path: path.read_bytes() for path in first.folder.rglob("*.json")}
    data(shift=0.5)
    before, now = refused(perform)
    assert before == first.runs()[0].environment["data"] != now
    assert {path: path.read_bytes() for path in first.folder.rglob("*.json")} == recorded
    other = perform({"name": "a"}, folder="other", **ON_FILE)
    assert {run.environment["data"] for run in other.runs()} == {now}
    data()
    assert [run.id for run in perform({"name": "a"}, **ON_FILE).runs()] == [run.id for run in first.runs()]


def test_another_folder_behind_the_variable_is_noticed_in_one_session(perform, data, tmp_path, monkeypatch):
    perform({"name": "a"}, **ON_FILE)
    (tmp_path / "elsewhere").mkdir()
    data(shift=1.0, folder="elsewhere")
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path / "elsewhere"))
    refused(perform)


def test_new_work_on_other_data_is_refused_and_can_be_done_once_they_are_given_back(perform, data):
    perform({"name": "a"}, **ON_FILE)
    data(shift=0.5)
    with pytest.raises(DataError, match=REFUSED):
        perform({"name": "b"}, **ON_FILE)
    data()
    history = perform({"name": "b"}, **ON_FILE)
    assert all(history.complete(run.id) for run in history.runs())


def test_a_run_that_stopped_half_way_is_not_finished_on_other_data(perform, data, interrupted_after):
    with interrupted_after(1):
        perform({"name": "a"}, **ON_FILE)
    data(shift=0.5)
    refused(perform)
    data()
    history = perform({"name": "a"}, **ON_FILE)
    assert all(history.complete(run.id) for run in history.runs())


def test_only_the_content_of_the_data_counts(perform, data, tmp_path):
    perform({"name": "a"}, **ON_FILE)
    data()
    os.utime(tmp_path / "data" / "values.json", (1, 1))
    assert perform({"name": "a"}, **ON_FILE).runs()


def test_data_are_read_once_to_work_and_once_to_compare(perform, data, capsys):
    for _ in range(3):
        perform({"name": "a"}, {"name": "b"}, seeds=[0, 1], **ON_FILE)
        assert capsys.readouterr().out == "loaded on 1\n"


def test_data_are_compared_on_as_many_threads_as_they_were_made_with(perform, data, capsys):
    for _ in range(2):
        torch.set_num_threads(2)
        perform({"name": "a"}, **ON_FILE)
        assert (capsys.readouterr().out, torch.get_num_threads()) == ("loaded on 1\n", 2)
    torch.set_num_threads(1)


def test_where_nothing_is_recorded_no_data_are_read_to_compare(values, data, tmp_path, capsys):
    forget_tasks()
    check_data(Recipe.of(values({"name": "a"}, **ON_FILE)).works(), prunus.History(tmp_path / "history"))
    assert capsys.readouterr().out == ""


def test_data_that_change_while_an_experiment_runs_are_noticed_before_anything_is_recorded(values, data, tmp_path):
    dense, technique = Recipe.of(values({"name": "a"}, **ON_FILE)).works()
    history = prunus.History(tmp_path / "history")
    perform_work(dense, history)
    data(shift=0.5)
    forget_tasks()
    with pytest.raises(DataError, match=REFUSED):
        perform_work(technique, history)
    assert [run.id for run in history.runs()] == [dense.id]
    data()
    forget_tasks()
    perform_work(technique, history)
    assert history.complete(technique.id)


def test_data_that_are_gone_are_said_with_what_can_be_done_without_them(perform, data, tmp_path):
    perform({"name": "a"}, task={"data": "digits", "model": "mlp"}, training={"epochs": 1}, sparsities=[0.5])

    def gone(*_):
        raise DataError("the data are not there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prunus.tasks.datasets.digits.load", gone)
        with pytest.raises(DataError, match=r"the data are not there; what is recorded can .* by `prunus show` and"):
            perform({"name": "a"}, task={"data": "digits", "model": "mlp"}, training={"epochs": 1}, sparsities=[0.5])
    perform({"name": "a"}, **ON_FILE)
    (tmp_path / "data" / "values.json").unlink()
    with pytest.raises(UserCodeError, match=r"'filedata:load' raised FileNotFoundError"):
        perform({"name": "a"}, **ON_FILE)


def test_the_history_that_a_run_returns_serves_for_the_next(values, tmp_path):
    history = prunus.run(values({"name": "a"}), history=tmp_path / "history", jobs=1)
    again = prunus.run(values({"name": "b"}), history=history, jobs=1)
    assert {run.technique for run in again.runs()} == {"dense", "b"}
    assert again.folder == history.folder


def test_a_helper_of_a_criterion_that_is_edited_runs_as_edited(perform, criterion, tmp_path):
    technique = {"criterion": "changingscore:score", "schedule": "levels", "retrain": "none"}
    text = "from signs import sign\n" + UPSIDE_DOWN.replace("SIGN", "sign * ")
    write(tmp_path / "changingscore.py", text)
    found = []
    for sign in ("1", "-1"):
        write(tmp_path / "signs.py", f"sign = {sign}")
        found.append(perform(technique))
    large, small = found
    assert {run.id for run in large.runs()} != {run.id for run in small.runs()}
    assert kept_weights(small) < kept_weights(large)
    sys.modules.pop("signs")
