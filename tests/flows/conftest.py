from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

import prunus

MODULES = Path(__file__).parent.parent / "experiments" / "modules"
RECIPE = """\
seeds = [0, 1]
sparsities = [0.3, 0.6, 0.9]
task = "tinytask:task"

[training]
epochs = 40
batch_size = 20
learning_rate = 0.01

[[technique]]
name = "rewound"
schedule = "levels"
retrain = "rewind"

[[technique]]
name = "random"
criterion = "random"
schedule = "one-shot"
epochs = 40
"""
STATES = 2 * (2 + 3 + 3)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A folder of its own with a recipe and, beside it, the user's module that it names."""
    shutil.copy(MODULES / "tinytask.py", tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("PRUNUS_HISTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(RECIPE, encoding="utf-8")
    yield
    sys.modules.pop("tinytask", None)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Several would wait for each other longer than these networks take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, one_thread):
    """What comes of the recipe when nothing interrupts it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "my.toml").write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODULES))
        history = prunus.run(folder / "my.toml", history=folder / "prunus-history", jobs=1)
    assert len(history.states()) == STATES
    return outcome(history)


def outcome(history):
    """What was found, without the times."""
    kept = {}
    for state in history.states():
        record = state.record
        kept[state.id] = (state.run_id, record.parent, record.weights, record.masks, record.validation, record.test)
    return kept


@pytest.fixture
def outcome_of():
    return outcome
