from __future__ import annotations

import hashlib
import os
import types

import pytest

from prunus.history.records import ExperimentRecord, Pruning, RunRecord, StateRecord, TensorCount
from prunus.history.store import History
from prunus.outcomes import ClassOutcome, Cost, SplitOutcome

WEIGHTS = b"weights"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def outcome(*correct, loss=0.5):
    """Of classes with 100 examples each."""
    classes = tuple(ClassOutcome(f"class {index}", 100, right) for index, right in enumerate(correct))
    return SplitOutcome(loss, sum(correct) / 100 / len(correct), classes)


def cost(size=1000, effective=900):
    return Cost(10_000, 1_000, effective, 20_000, 2_000, size, 40_000)


def run(technique="magnitude", seed=0, **other):
    fields = {
        "id": digest(f"{technique} {seed} {sorted(other.items())}"),
        "technique": technique,
        "settings": {"criterion": technique},
        "task": {"data": "digits"},
        "training": {"epochs": 3},
        "seed": seed,
        "seeds": {"init": seed, "order": seed, "pruning": seed},
        "sparsities": () if technique == "dense" else (0.5, 0.9),
        "states_planned": 2,
        "created": "2026-01-02T03:04:05+00:00",
        "environment": {"torch": "2.13", "threads": 1},
    }
    return RunRecord(**fields | other)


def pruning(requested=0.9, reached=None, position=1):
    tensors = {"fc1.weight": TensorCount((30, 10), 30, 300)}
    reached = requested if reached is None else reached
    return Pruning("magnitude", "weight", "global", "iterative", position, 2, requested, reached, tensors, (), 7)


def state(run, position=0, parent=None, **other):
    kind = other.get("kind", "pruned")
    fields = {
        "id": digest(f"{run.id} {position} {parent}"),
        "run": run.id,
        "parent": parent,
        "kind": kind,
        "position": position,
        "pruning": pruning(position=position) if kind == "pruned" else None,
        "retraining": "finetune",
        "validation": outcome(95, 90),
        "test": outcome(94, 91),
        "cost": cost(),
        "weights": hashlib.sha256(WEIGHTS).hexdigest(),
        "masks": None,
        "training_loss": (1.0, 0.5),
        "created": "2026-01-02T03:04:06+00:00",
        "seconds": 1.5,
    }
    return StateRecord(**fields | other)


def experiment(*runs, **other):
    fields = {
        "id": digest(f"experiment {[run.id for run in runs]}"),
        "title": "which?",
        "recipe": {"seeds": [0, 1]},
        "runs": tuple(run.id for run in runs),
        "created": "2026-01-02T03:04:05+00:00",
    }
    return ExperimentRecord(**fields | other)


def fill(history, seed=0, techniques=("magnitude", "random"), **other):
    """A dense run of two states, and for each technique a run of two pruned states, each one class worse."""
    history.blobs.put(WEIGHTS)
    dense = run("dense", seed, **other)
    history.begin(dense)
    start = state(dense, 0, kind="initial", validation=None, test=None, cost=None)
    trained = state(
        dense, 1, start.id, kind="trained", validation=outcome(98, 96), test=outcome(97, 97), cost=cost(40_000)
    )
    runs = [dense]
    for one in (start, trained):
        history.add(one)
    for index, technique in enumerate(techniques):
        runs.append(run(technique, seed, **other))
        history.begin(runs[-1])
        parent = trained.id
        for position, requested in enumerate((0.5, 0.9)):
            right = 95 - index * 10 - position
            pruned = state(
                runs[-1],
                position,
                parent,
                pruning=pruning(requested, requested - 1e-4, position),
                validation=outcome(98, right),
                test=outcome(98, right - 1),
                cost=cost(size=2000 - 1000 * position - index),
            )
            history.add(pruned)
            parent = pruned.id
    return runs


def contents(history):
    """Everything that can be asked."""
    runs = history.runs()
    return runs, [state.record for state in history.states()], history.experiments(), history.candidates()


@pytest.fixture(autouse=True)
def _disk_without_waiting(monkeypatch):
    # A power cut is not what these tests can cause, and waiting for the disk is most of their time.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "history")


@pytest.fixture(scope="session")
def make():
    """Makers of records that differ from the usual ones only where told so."""
    return types.SimpleNamespace(
        run=run,
        state=state,
        experiment=experiment,
        outcome=outcome,
        cost=cost,
        pruning=pruning,
        fill=fill,
        contents=contents,
        weights=WEIGHTS,
    )
