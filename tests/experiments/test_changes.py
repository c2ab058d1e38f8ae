"""Code and data that change behind a name between two runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

import prunus
from prunus.errors import DataError

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


def test_data_that_change_behind_their_name_are_refused(perform, monkeypatch):
    perform({"schedule": "levels"})
    real = prunus.tasks.load_task

    def changed(settings, folder=None):
        task = real(settings, folder)
        task.data.train.inputs.add_(1.0)
        return task

    monkeypatch.setattr("prunus.experiments.workshop.load_task", changed)
    monkeypatch.setattr("prunus.experiments.workshop._task", uncached("_task"))
    monkeypatch.setattr("prunus.experiments.workshop._data_digest", uncached("_data_digest"))
    with pytest.raises(DataError, match="have changed since run"):
        perform({"schedule": "levels", "retrain": "none"})


def uncached(name):
    return getattr(sys.modules["prunus.experiments.workshop"], name).__wrapped__
