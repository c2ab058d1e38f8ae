from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import RecipeError
from prunus.experiments.recipe import Recipe
from prunus.tasks.load import load_task

KINDS = ["found", "reinitialised", "shuffled", "redrawn", "inverted", "reordered", "untrained", "signed"]
TICKETS = {"name": "tickets", "schedule": "levels", "retrain": "rewind", "each": {"ticket": KINDS}}


def restored(state):
    model = load_task({"target": "tinytask:task"}).build()
    return model, state.restore(model)


def runs(history):
    return {run.technique: history.states(run.id) for run in history.runs()}


@pytest.fixture
def tried(perform, fits):
    """Name of each technique → its tickets; and the trainings, those of the controls last."""
    found = runs(perform(TICKETS))
    return {name: states for name, states in found.items() if name != "dense"}, fits


def test_each_control_changes_what_it_is_called_after_and_nothing_else(tried):
    found, _ = tried
    assert {*found} == {"tickets", *(f"tickets, {kind}" for kind in KINDS[1:])}
    for position in range(2):
        masks = {name: restored(states[position])[1] for name, states in found.items()}
        tickets = masks.pop("tickets")
        for name, each in masks.items():
            assert each.removed == tickets.removed, name
            assert found[name][position].record.parent == found["tickets"][position].id
            assert found[name][position].record.requested_sparsity == (0.5, 0.8)[position]
        for name in ("reinitialised", "reordered", "untrained", "signed"):
            assert masks[f"tickets, {name}"] == tickets
        drawn = [masks["tickets, shuffled"], masks["tickets, redrawn"]]
        for each in drawn:
            assert each != tickets
            assert {name: int(mask.sum()) for name, mask in each.items()} == {
                name: int(mask.sum()) for name, mask in tickets.items()
            }
        assert drawn[0] != drawn[1]
    # At four fifths removed, what stays in one is gone in the other.
    assert (restored(found["tickets, inverted"][1])[1] & tickets).kept == 0


def test_they_train_from_the_first_weights_or_from_new_ones(tried, perform):
    found, fits = tried
    initial = restored(prunus.History(perform(TICKETS).folder).state(found["tickets"][0].lineage()[0].id))[0]
    before = {name: weight.detach() for name, weight in initial.named_parameters()}
    trainings = {fit.masks.digest(): fit for fit in fits if fit.masks is not None}
    for name in ("tickets, shuffled", "tickets, inverted"):
        fit = trainings[restored(found[name][1])[1].digest()]
        for key, mask in fit.masks.items():
            assert torch.equal(fit.begun_with[key], before[key] * mask)
    fit = trainings[restored(found["tickets, redrawn"][1])[1].digest()]
    assert not any(
        torch.equal(fit.begun_with[key][mask], before[key][mask]) for key, mask in fit.masks.items() if mask.any()
    )


def test_a_sibling_begins_with_the_same_weights_and_sees_another_order(tried):
    found, fits = tried
    same = [fit for fit in fits if fit.masks == restored(found["tickets"][1])[1]]
    ticket, sibling = (
        next(fit for fit in same if close(fit.steps[-1], restored(found[name][1])[0]))
        for name in ("tickets", "tickets, reordered")
    )
    assert all(torch.equal(ticket.begun_with[name], weight) for name, weight in sibling.begun_with.items())
    assert ticket.seed != sibling.seed


def close(weights, model):
    return all(torch.equal(weights[name], parameter.detach()) for name, parameter in model.named_parameters())


def test_what_is_not_trained_has_the_first_weights_or_their_signs(tried):
    found, _ = tried
    initial = restored(found["tickets"][0].lineage()[0])[0]
    untrained, masks = restored(found["tickets, untrained"][1])
    signed, _ = restored(found["tickets, signed"][1])
    for name, mask in masks.items():
        first = initial.get_parameter(name)
        assert torch.equal(untrained.get_parameter(name), first * mask)
        assert torch.allclose(signed.get_parameter(name), first.sign() * first.std() * mask)
    assert found["tickets, signed"][1].record.retraining == "none"
    assert found["tickets, signed"][1].record.training_loss == ()


def test_a_control_alone_finds_the_tickets_first_and_shares_them(perform, tmp_path):
    alone = perform({"schedule": "levels", "retrain": "rewind", "ticket": "shuffled"})
    assert {*runs(alone)} == {
        "magnitude, global, levels, rewind, shuffled ticket", "magnitude, global, levels, rewind", "dense",
    }  # fmt: skip
    both = perform({"schedule": "levels", "retrain": "rewind", "each": {"ticket": KINDS[:3]}})
    assert len(prunus.History(both.folder).runs()) == 4
    named = Recipe.of({"seeds": [0], "sparsities": [0.5], "task": "tinytask:task", "technique": [TICKETS]}).works()
    assert len(named) == 1 + len(KINDS)


def test_controls_of_late_rewinding_begin_where_their_tickets_begin(perform, fits):
    late = {"name": "late", "retrain": "rewind", "rewind_step": 4, "each": {"ticket": ["found", "shuffled"]}}
    found = runs(perform(late))
    checkpoint = dict(restored(found["late"][0])[0].named_parameters())
    [fit] = [each for each in fits if each.masks == restored(found["late, shuffled"][1])[1]]
    assert fit.stretch.start == 4
    assert len(found["late, shuffled"]) == 2
    assert all(torch.equal(fit.begun_with[name], checkpoint[name] * mask) for name, mask in fit.masks.items())


def test_a_failed_search_drops_its_controls_and_nothing_else(perform, tmp_path, monkeypatch):
    (tmp_path / "neverscore.py").write_text("def score(subject):\n    raise ValueError('never')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    failing = {"criterion": "neverscore:score", "retrain": "rewind", "each": {"ticket": KINDS[:2]}}
    with pytest.raises(prunus.errors.UserCodeError, match="never"):
        perform(failing, {"name": "other"})
    assert {"dense", "other"} <= {*runs(prunus.History(tmp_path / "history"))}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"ticket": "shuffled"}, "it needs retrain = 'rewind'"),
        ({"ticket": "shuffled", "when": "before"}, "it needs retrain = 'rewind'"),
        ({"ticket": "shuffled", "retrain": "rewind", "control": "invert"}, "takes tickets that are found elsewhere"),
        (
            {"ticket": "shuffled", "retrain": "rewind", "penalty": "l1", "strength": 1},
            "takes tickets that are found elsewhere",
        ),
        ({"ticket": "shuffeld", "retrain": "rewind"}, "ticket"),
    ],
)
def test_a_ticket_that_is_none_is_refused(values, settings, complaint):
    with pytest.raises(RecipeError, match=complaint):
        Recipe.of(values(settings))
