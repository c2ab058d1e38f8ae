from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import SelectionError
from prunus.tasks.load import load_task
from prunus.tickets import gather_tickets, stability

TASK = {"data": "digits", "model": "mlp"}
TICKETS = {"name": "late", "retrain": "rewind", "rewind_step": 10, "each": {"ticket": ["found", "reordered"]}}
RECIPE = {"seeds": [0, 1], "sparsities": [0.5], "task": TASK, "training": {"epochs": 2}, "technique": [TICKETS]}


def test_the_ends_of_a_path_are_the_recorded_errors_and_signs_those_of_the_rewound_weights(tmp_path):
    history = prunus.run(RECIPE, history=tmp_path, jobs=1)
    tickets = gather_tickets(history)
    [found] = stability(history, tickets, points=3)
    runs = {(run.technique, run.seed): history.states(run.id) for run in history.runs()}
    for seed, path in enumerate(found.paths):
        assert len(path.errors) == 3
        assert path.errors[0] == pytest.approx(1 - runs["late", seed][-1].record.test.accuracy)
        assert path.errors[-1] == pytest.approx(1 - runs["late, reordered", seed][-1].record.test.accuracy)
    assert found.barrier.mean == pytest.approx(sum(path.barrier for path in found.paths) / 2)
    kept = []
    for seed in (0, 1):
        rewound, trained = load_task(TASK).build(), load_task(TASK).build()
        runs["late", seed][0].restore(rewound)
        masks = runs["late", seed][-1].restore(trained)
        same = [
            rewound.get_parameter(name)[mask].sign() == trained.get_parameter(name)[mask].sign()
            for name, mask in masks.items()
        ]
        kept.append(float(torch.cat(same).float().mean()))
    assert found.signs.mean == pytest.approx(sum(kept) / 2)
    assert 0 < found.change.mean < 2
    assert found.sibling_signs.mean > 0.5


def test_tickets_without_siblings_are_refused_with_what_makes_them(tmp_path):
    history = prunus.run({**RECIPE, "technique": [{"retrain": "rewind"}]}, history=tmp_path, jobs=1)
    with pytest.raises(SelectionError, match="add ticket = 'reordered'"):
        stability(history, gather_tickets(history))
