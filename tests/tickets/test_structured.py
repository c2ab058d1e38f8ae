from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import ArgumentError
from prunus.tasks.load import load_task
from prunus.tickets import agreement, beside_structured, by_norm, gather_rounds

TASK = {"data": "digits", "model": "mlp"}
RECIPE = {
    "seeds": [0, 1, 2],
    "sparsities": [0.5, 0.8],
    "task": TASK,
    "training": {"epochs": 2},
    "technique": [
        {"name": "single", "retrain": "rewind"},
        {"name": "rows", "pattern": "row"},
        {"name": "before", "criterion": "snip", "when": "before"},
    ],
}


def masks(**flags):
    return prunus.Masks({name: torch.tensor(each, dtype=torch.bool) for name, each in flags.items()})


def test_the_groups_with_the_largest_norm_stay_as_many_as_hold_what_the_mask_keeps():
    weights = {"w": torch.tensor([[1.0, -1.0, 1.0], [0.0, -4.0, 0.0], [0.5, 0.5, 0.0]])}
    kept = masks(w=[[1, 0, 0], [1, 1, 0], [1, 1, 1]])  # six weights: two rows
    assert by_norm(weights, kept) == masks(w=[[1, 1, 1], [1, 1, 1], [0, 0, 0]])
    assert by_norm(weights, kept, "column") == masks(w=[[1, 1, 0], [1, 1, 0], [1, 1, 0]])
    assert by_norm(weights, masks(w=[[0, 0, 0], [0, 0, 0], [1, 0, 0]])) == masks(w=[[0] * 3, [1] * 3, [0] * 3])
    assert by_norm(weights, masks(w=[[0] * 3] * 3)) == masks(w=[[0] * 3] * 3)
    equal = {"w": torch.ones(3, 3)}
    assert by_norm(equal, masks(w=[[1, 0, 0], [1, 0, 0], [1, 0, 0]])) == masks(w=[[1] * 3, [0] * 3, [0] * 3])


def test_kernels_and_columns_of_convolutions():
    weights = {"w": torch.zeros(2, 3, 2, 2), "v": torch.ones(2, 2), "b": torch.ones(2)}
    weights["w"][1, 2] = 1.0
    weights["w"][0, 1] = 2.0
    mask = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    mask[0] = True
    kept = prunus.Masks({"w": mask, "v": torch.ones(2, 2, dtype=torch.bool), "b": torch.ones(2, dtype=torch.bool)})
    kernels = by_norm(weights, kept, "kernel")  # 12 weights: three kernels, of equal ones the first
    assert [*kernels] == ["w"]
    assert kernels["w"].all((2, 3)).tolist() == [[True, True, False], [False, False, True]]
    columns = by_norm(weights, kept, "column")  # 12 of 24 weights in three columns of eight: 1.5, to the nearest even
    assert columns["w"].all((0, 2, 3)).tolist() == [False, True, True]
    assert int(columns["w"].sum()) == 16
    assert [*columns] == ["w", "v"]
    with pytest.raises(ArgumentError, match="view must be one of row, column, kernel, got 'filter'"):
        by_norm(weights, kept, "filter")


def test_single_weights_are_compared_with_the_experiments_and_with_the_same_networks_structured_pruning(tmp_path):
    history = prunus.run(RECIPE, history=tmp_path, jobs=1)
    last = gather_rounds(history)[-1]
    found = {(each.first, each.second): each for each in beside_structured(last)}
    assert {*found} == {("single", "rows by norm"), ("single", "rows"), ("before", "rows")}
    dense = {run.seed: history.states(run.id)[1] for run in history.runs() if run.technique == "dense"}
    similar = {"rows by norm": [], "rows": []}
    for seed, kept in last.masks["single"].items():
        model = load_task(TASK).build()
        dense[seed].restore(model)
        others = {"rows by norm": by_norm(model.state_dict(), kept), "rows": last.masks["rows"][seed]}
        for name, other in others.items():
            similar[name].append(agreement(kept, other).overall.jaccard)
    for name, values in similar.items():
        assert found["single", name].jaccard.mean == pytest.approx(sum(values) / 3)
        assert found["single", name].jaccard.low is not None
    # What is pruned by magnitude keeps more of rows with large weights than chance does.
    assert found["single", "rows by norm"].beyond_chance == 1


OTHERS = [{"classes": ["5", "6"]}, {"classes": ["6", "7", "8", "9"]}]


@pytest.mark.parametrize("taken", [{"source": OTHERS[0]}, {"tasks": OTHERS}])
def test_a_head_of_other_classes_is_left_out(tmp_path, taken):
    task = {**TASK, "classes": ["0", "1", "2"]}
    technique = {"name": "taken", "retrain": "rewind", **taken}
    history = prunus.run({**RECIPE, "seeds": [0], "task": task, "technique": [technique]}, history=tmp_path, jobs=1)
    [found] = beside_structured(gather_rounds(history)[-1])
    assert (found.first, found.second) == ("taken", "rows by norm")
    assert [*found.layers] == ["fc1.weight", "fc2.weight"]
