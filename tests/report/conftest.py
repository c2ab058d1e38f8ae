from __future__ import annotations

import hashlib
import math
import types

import pytest

import prunus
from prunus.history.records import ExperimentRecord, Pruning, RunRecord, StateRecord, TensorCount
from prunus.history.store import History
from prunus.outcomes import ClassOutcome, Cost, SplitOutcome
from prunus.report.page import render

CREATED = "2026-01-02T03:04:05+00:00"
LAYERS = {"fc1.weight": (300, 784), "fc2.weight": (100, 300), "fc3.weight": (10, 100)}
USUAL = ("magnitude", "weight", tuple(LAYERS))  # criterion, pattern and scope
EXAMPLES = 100  # of each class


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def outcome(rights, names, loss=0.3):
    classes = tuple(ClassOutcome(name, EXAMPLES, right) for name, right in zip(names, rights, strict=True))
    return SplitOutcome(loss, sum(rights) / EXAMPLES / len(rights), classes)


def rights(technique, seed, sparsity, count):
    """Right answers of each class: the later a technique comes, the sooner it falls; a seed wobbles by a few."""
    fall = (technique + 1) * 2.2 * -(math.log10(1 - sparsity) ** 3)
    return [max(0, min(EXAMPLES, round(95 - fall - one % 3 + (seed * (one + 2)) % 3))) for one in range(count)]


def pruning(sparsity, position, of, protected=(), kind=USUAL):
    criterion, pattern, scope = kind
    tensors = {}
    for name, shape in LAYERS.items():
        if name not in scope:
            continue
        total = math.prod(shape)
        tensors[name] = TensorCount(shape, max(1, round(total * (1 - sparsity))), total)
    return Pruning(criterion, pattern, "global", "levels", position, of, sparsity, sparsity, tensors, protected, 7)


def cost(sparsity):
    kept = round(266_610 * (1 - sparsity))
    return Cost(266_610, kept, round(0.98 * kept), 532_400, 2 * kept, 4_000 + 5 * kept, 1_066_896)


def run_record(technique, seed, sparsities=(), planned=2):
    return RunRecord(
        id=digest("run", technique, seed),
        technique=technique,
        settings={"criterion": "magnitude"},
        task={"data": "mnist5k", "model": "lenet-300-100"},
        training={"epochs": 12},
        seed=seed,
        seeds={"init": seed, "order": seed, "pruning": seed},
        sparsities=tuple(sparsities),
        states_planned=planned,
        created=CREATED,
        environment={"prunus": "0.1.0", "torch": "2.13.0", "threads": 1},
    )


def state_record(history, run, position, parent, kind, **other):
    fields = {
        "id": digest("state", run.id, position),
        "run": run.id,
        "parent": parent,
        "kind": kind,
        "position": position,
        "pruning": None,
        "retraining": None,
        "validation": None,
        "test": None,
        "cost": None,
        "weights": history.blobs.put(b"weights"),
        "masks": None,
        "training_loss": (),
        "created": CREATED,
        "seconds": 1.5,
    }
    return StateRecord(**fields | other)


def experiment_record(runs, **other):
    fields = {
        "id": digest("experiment", [run.id for run in runs]),
        "title": "Which technique finds the smaller network?",
        "recipe": {
            "title": "Which technique finds the smaller network?",
            "seeds": sorted({run.seed for run in runs}),
            "sparsities": sorted({sparsity for run in runs for sparsity in run.sparsities}),
            "technique": [{"name": name} for name in dict.fromkeys(run.technique for run in runs) if name != "dense"],
            "task": {"data": "mnist5k", "model": "lenet-300-100", "target": None},
            "training": {"epochs": 12, "batch_size": 60, "optimizer": "adam"},
            "choose": {"by": "accuracy", "sparsity_at_least": 0.9, "worst_class_drop_at_most": 0.2},
        },
        "runs": tuple(run.id for run in runs),
        "created": CREATED,
    }
    fields["recipe"] = fields["recipe"] | other.pop("recipe", {})
    return ExperimentRecord(**fields | other)


def dense_run(history, seed, names):
    run = run_record("dense", seed)
    history.begin(run)
    start = state_record(history, run, 0, None, "initial")
    right = rights(-1, seed, 0.0, len(names))
    trained = state_record(
        history,
        run,
        1,
        start.id,
        "trained",
        validation=outcome(right, names),
        test=outcome(right, names),
        cost=cost(0.0),
        training_loss=(1.0, 0.4),
    )
    history.add(start)
    history.add(trained)
    return run, trained.id


def fill(
    folder,
    techniques=("magnitude", "random"),
    seeds=(0, 1, 2),
    sparsities=(0.5, 0.9, 0.98),
    names=tuple("0123456789"),
    **other,
):
    """A history with one experiment.

    ``stop`` is the number of states after which its process was killed; ``rounds`` says through which sparsities a
    technique goes, where these are not the targets; ``kinds`` what it prunes: criterion, pattern and names of tensors.
    """
    history = History(folder)
    stop, protected = other.pop("stop", math.inf), other.pop("protected", ())
    rounds, kinds = other.pop("rounds", {}), other.pop("kinds", {})
    runs, parents = [], {}
    for seed in seeds:
        run, parents[seed] = dense_run(history, seed, names)
        runs.append(run)
    done = 0
    for index, technique in enumerate(techniques):
        levels = rounds.get(technique, sparsities)
        for seed in seeds:
            run = run_record(technique, seed, sparsities, len(levels))
            runs.append(run)
            if done >= stop:
                continue
            history.begin(run)
            parent = parents[seed]
            for position, sparsity in enumerate(levels):
                if done >= stop:
                    break
                done += 1
                right = rights(index, seed, sparsity, len(names))
                state = state_record(
                    history,
                    run,
                    position,
                    parent,
                    "pruned",
                    pruning=pruning(sparsity, position + 1, len(levels), protected, kinds.get(technique, USUAL)),
                    retraining="finetune",
                    validation=outcome(right, names),
                    test=outcome(right, names),
                    cost=cost(sparsity),
                    training_loss=(0.5, 0.3),
                )
                history.add(state)
                parent = state.id
    history.record(experiment_record(runs, **other))
    return history


@pytest.fixture(scope="session")
def history(tmp_path_factory):
    """Two techniques, three seeds, three sparsities, complete; for reading only."""
    return fill(tmp_path_factory.mktemp("report") / "history")


@pytest.fixture(scope="session")
def html(history):
    """The page of that history."""
    return render(history)


TICKETS = {
    "seeds": [0, 1, 2],
    "sparsities": [0.5, 0.9],
    "task": {"data": "digits", "model": "mlp"},
    "training": {"epochs": 2, "evaluate_every": 10},
    "technique": [
        {"name": "tickets", "retrain": "rewind", "each": {"ticket": ["found", "shuffled"]}},
        {"name": "others", "criterion": "random", "retrain": "rewind"},
    ],
}


@pytest.fixture(scope="session")
def tickets(tmp_path_factory):
    """Tickets of one technique with a control, and of another, three seeds, with learning curves; for reading only."""
    return prunus.run(TICKETS, history=tmp_path_factory.mktemp("tickets") / "history", jobs=1)


@pytest.fixture(scope="session")
def make(tmp_path_factory):
    """A history that differs from the usual one where told so: ``make.history(...)``, ``make.tickets(...)``."""

    def made(**other):
        return prunus.run({**TICKETS, **other}, history=tmp_path_factory.mktemp("made"), jobs=1)

    return types.SimpleNamespace(history=lambda **other: fill(tmp_path_factory.mktemp("made"), **other), tickets=made)
