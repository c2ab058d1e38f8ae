from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import prunus
from prunus.errors import DataError, SelectionError
from prunus.tasks.load import load_task
from prunus.tickets import gather_tickets, stability
from prunus.tickets.gathering import tickets_of

TASK = {"data": "digits", "model": "mlp"}
TICKETS = {"name": "late", "retrain": "rewind", "rewind_step": 10, "each": {"ticket": ["found", "reordered"]}}
CHANGING = """
def load(folder=None):
    import dataclasses, os

    found = load_data("digits")
    test = dataclasses.replace(found.test, targets=9 - found.test.targets)
    return dataclasses.replace(found, test=test) if os.environ.get("OTHER_DIGITS") else found
"""
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


def test_barriers_that_are_rounded_alike_are_no_interval_without_width(tmp_path):
    history = prunus.run({**RECIPE, "training": {"epochs": 1}}, history=tmp_path, jobs=1)
    tickets = gather_tickets(history)
    both = [replace(each, states=dict.fromkeys((0, 1), each.states[0])) for each in tickets.tickets]
    [found] = stability(history, replace(tickets, tickets=tuple(both)), points=2)
    half = 12.706 * math.sqrt(2 / 12) / 300 / math.sqrt(2)
    assert found.barrier.high - found.barrier.mean == pytest.approx(half, rel=1e-3)


def test_data_that_have_changed_are_not_measured(tmp_path, monkeypatch):
    (tmp_path / "changingdata.py").write_text("from prunus.tasks.load import load_data\n\n\n" + CHANGING)
    monkeypatch.syspath_prepend(tmp_path)
    task = {"data": "changingdata:load", "model": "mlp"}
    history = prunus.run({**RECIPE, "seeds": [0], "task": task}, history=tmp_path / "history", jobs=1)
    assert stability(history, gather_tickets(history), points=2)
    monkeypatch.setenv("OTHER_DIGITS", "1")
    with pytest.raises(DataError, match="data of 'changingdata:load' have changed since run"):
        stability(history, gather_tickets(history), points=2)


def test_networks_are_not_measured_by_code_that_has_changed(tmp_path, monkeypatch):
    module = tmp_path / "changingmodel.py"
    code = "from prunus.tasks import build_model\n\ndef build(*task):\n    return build_model('mlp', *task)\n"
    module.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    task = {"data": "digits", "model": "changingmodel:build"}
    history = prunus.run({**RECIPE, "seeds": [0], "task": task}, history=tmp_path / "history", jobs=1)
    assert stability(history, gather_tickets(history), points=2)
    module.write_text(code + "\n# and more\n")
    with pytest.raises(DataError, match="source of changingmodel:build has changed since run"):
        stability(history, gather_tickets(history), points=2)


def test_tickets_without_siblings_are_refused_with_what_makes_them(tmp_path):
    history = prunus.run({**RECIPE, "technique": [{"retrain": "rewind"}]}, history=tmp_path, jobs=1)
    with pytest.raises(SelectionError, match=r"add ticket = 'reordered' .* and 'unpruned' for that of the dense"):
        stability(history, gather_tickets(history))


def test_the_dense_network_has_a_sibling_at_every_step_beside_the_tickets_of_that_step(tmp_path):
    each = {"rewind_step": [0, 10], "ticket": ["unpruned", "found", "reordered"]}
    technique = {"name": "tickets", "retrain": "rewind", "each": each}
    history = prunus.run({**RECIPE, "technique": [technique]}, history=tmp_path, jobs=1)
    found = stability(history, gather_tickets(history), points=3)
    assert [(each.ticket.technique, each.ticket.rewind_step, each.ticket.sparsity) for each in found] == [
        ("dense", 0, 0.0), ("dense", 10, 0.0), ("tickets, from step 0", 0, 0.5), ("tickets, from step 10", 10, 0.5),
    ]  # fmt: skip
    assert len({each.ticket.search for each in found if each.ticket.sparsity}) == 1
    runs = {(run.technique, run.seed): history.states(run.id) for run in history.runs()}
    late = found[1]
    for seed, path in enumerate(late.paths):
        first, last = runs["dense", seed][1], runs["unpruned, from step 10", seed][1]
        assert path.errors[0] == pytest.approx(1 - first.record.test.accuracy)
        assert path.errors[-1] == pytest.approx(1 - last.record.test.accuracy)
    # By hand, over the weights of all layers: from the checkpoint to the dense network, and from that to the sibling.
    changes, distances, kept, alike = [], [], [], []
    for seed in (0, 1):
        start, dense, sibling = (
            weights(state)
            for state in (runs["unpruned, from step 10", seed][0], runs["dense", seed][1],
                          runs["unpruned, from step 10", seed][1])
        )  # fmt: skip
        changes.append(float((dense - start).norm() / start.norm()))
        distances.append(float((sibling - dense).norm() / dense.norm()))
        kept.append(float((dense.sign() == start.sign()).double().mean()))
        alike.append(float((dense.sign() == sibling.sign()).double().mean()))
    assert late.change.mean == pytest.approx(sum(changes) / 2)
    assert late.apart.mean == pytest.approx(sum(distances) / 2)
    assert late.signs.mean == pytest.approx(sum(kept) / 2)
    assert late.sibling_signs.mean == pytest.approx(sum(alike) / 2)
    checkpoints = [state.record for state in history.states() if state.position == 0]
    begun = tickets_of(history.runs(), checkpoints).tickets
    assert [each.rewind_step for each in begun if each.kind == "unpruned"] == [0]  # of the others none has ended
    # From a later step on there is less to go.
    assert found[0].change.mean > late.change.mean
    assert found[0].apart.mean > late.apart.mean


def weights(state):
    model = load_task(TASK).build()
    state.restore(model)
    return torch.cat([each.detach().flatten() for each in model.parameters() if each.dim() > 1]).double()


LOW, HIGH = [*"01234"], [*"56789", "0"]


@pytest.mark.parametrize("late", [0, 4])
def test_weights_of_tickets_of_another_task_are_compared_with_those_that_they_brought(tmp_path, late):
    technique = {
        "name": "t",
        "retrain": "rewind",
        "rewind_step": late,
        "source": {"classes": HIGH},
        "each": {"carry": ["mask", "initialisation", *(["late"] if late else [])], "ticket": ["found", "reordered"]},
    }
    recipe = {**RECIPE, "seeds": [0], "task": {**TASK, "classes": LOW}, "technique": [technique]}
    history = prunus.run(recipe, history=tmp_path, jobs=1)
    found = {each.ticket.technique: each for each in stability(history, gather_tickets(history), points=2)}
    whole = prunus.History(tmp_path)
    dense = next(iter(gather_tickets(history).dense.values()))
    for carry in technique["each"]["carry"]:
        [state] = found[f"t, {carry}"].ticket.states.values()
        ticket = whole.state(state.parent)
        start = {
            "mask": whole.state(dense.id).lineage()[0],
            "initialisation": ticket.lineage()[0],
            "late": whole.states(ticket.run_id)[0],
        }[carry]
        weights = prunus.packing.unpack(whole.state(state.id).weights()).tensors
        begun = prunus.packing.unpack(start.weights()).tensors
        own = prunus.packing.unpack(whole.state(dense.id).lineage()[0].weights()).tensors
        masks = prunus.masks.storage.masks_from_bytes(whole.blobs.get(state.masks))
        first = {name: begun[name] if begun[name].shape == mask.shape else own[name] for name, mask in masks.items()}
        same = torch.cat([weights[name][mask].sign() == first[name][mask].sign() for name, mask in masks.items()])
        assert found[f"t, {carry}"].signs.mean == pytest.approx(float(same.float().mean()))
        assert found[f"t, {carry}"].signs.mean > 0.8
        assert found[f"t, {carry}"].change.mean > 0
        assert found[f"t, {carry}"].ticket.rewind_step == (late if carry == "late" else 0)
