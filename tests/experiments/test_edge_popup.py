"""Edge-popup from a recipe, on real digits."""

from __future__ import annotations

import pytest
import torch

import prunus
from prunus.experiments.recipe import Recipe
from prunus.experiments.workshop import Workshop
from prunus.tasks.load import load_task
from prunus.training.edge_popup import EdgePopup

POPUP = {"name": "popup", "edge_popup": "first"}
STEPS = 48  # 2 epochs of 1,197 digits in batches of 50


@pytest.mark.parametrize("weights", ["first", "signed-scaled"])
def test_a_recipe_does_what_edge_popup_does_by_hand(on_digits, digits, weights):
    technique = {**POPUP, "edge_popup": weights, "mask_learning_rate": 0.5}
    states = on_digits(technique, sparsities=[0.8])
    model, _ = digits(states["dense"][0])
    plain = {"seeds": [0], "sparsities": [0.8], "task": {"data": "digits", "model": "mlp"}}
    made = Recipe.of({**plain, "training": {"epochs": 2, "batch_size": 50}, "technique": [technique]}).works()[-1]
    trainer = Workshop.of(made).trainer()
    assert trainer.total_steps == STEPS
    optimizer, seed = trainer.make_optimizer(model), made.pruning_seed("pruning", 1) % 2**63
    with EdgePopup(model, optimizer, 0.8, weights, learning_rate=0.5, seed=seed) as pruner:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(pruner.learner, STEPS)

        def watch(*_):
            pruner.step()
            scheduler.step()

        trainer.fit(model, made.order_seed(), optimizer=optimizer, watch=watch)
    found, masks = digits(states["popup"][0])
    assert masks == pruner.masks
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


def test_its_states_are_first_weights_under_masks_of_the_exact_sparsities(on_digits, digits):
    states = on_digits(POPUP, {**POPUP, "name": "signed", "edge_popup": "signed"})
    first, _ = digits(states["dense"][0])
    for state, sparsity in zip(states["popup"], (0.5, 0.8), strict=True):
        model, masks = digits(state)
        for name, weight in model.named_parameters():
            expected = first.get_parameter(name)
            assert torch.equal(weight, expected * masks[name] if name in masks else expected), name
        pruning = state.record.pruning
        assert {*masks.sparsities.values()} == {sparsity} == {pruning.sparsity, pruning.requested_sparsity}
        assert (pruning.criterion, pruning.scope, pruning.schedule) == ("edge-popup", "layer", "one-shot")
        assert state.record.retraining == "none"
        assert state.record.parent == states["dense"][0].id
    for state in states["signed"]:
        for name, weight in digits(state)[0].named_parameters():
            assert weight.dim() < 2 or weight.abs().unique().numel() == 2, name


def test_what_it_finds_needs_no_training_to_be_right(on_digits):
    technique = {**POPUP, "edge_popup": "signed-scaled"}
    for state in on_digits(technique, training={"epochs": 12, "batch_size": 50})["popup"]:
        assert state.record.test.accuracy > 0.9
        assert state.record.training_loss[-1] < state.record.training_loss[0] / 5


def test_its_packed_file_is_loaded_and_evaluated_by_itself(on_digits, tmp_path):
    state = on_digits(POPUP)["popup"][1]
    task = load_task({"data": "digits", "model": "mlp"})
    model, again = task.build(), task.build()
    masks = state.restore(model)
    prunus.save(model, tmp_path / "supermask.safetensors", masks=masks)
    assert prunus.load(again, tmp_path / "supermask.safetensors") == masks
    right = again.eval()(task.data.test.inputs).argmax(1) == task.data.test.targets
    assert float(right.float().mean()) == pytest.approx(state.record.test.accuracy, abs=1e-6)


def test_statistics_of_batch_normalisation_are_estimated_and_its_scales_stay(perform):
    history = perform(POPUP, task="normtask:task", training={"epochs": 2, "batch_size": 20, "learning_rate": 1.0})
    runs = {run.technique: history.states(run.id) for run in history.runs()}
    models = [load_task({"target": "normtask:task"}).build() for _ in range(2)]
    for model, state in zip(models, (runs["dense"][0], runs["popup"][0]), strict=True):
        state.restore(model)
    [first, _], [norm, _] = ([m for m in model.modules() if hasattr(m, "running_mean")] * 2 for model in models)
    assert torch.equal(first.weight, norm.weight)
    assert torch.equal(first.bias, norm.bias)
    assert not torch.equal(first.running_mean, norm.running_mean)


def test_edge_popup_that_is_stopped_and_resumed_gives_what_it_would_have_given(on_digits, interrupted_after):
    whole = on_digits(POPUP, folder="whole")["popup"]
    with interrupted_after(3):  # both states of the dense network, and the first of the technique
        on_digits(POPUP, folder="halved")
    resumed = on_digits(POPUP, folder="halved")["popup"]
    assert [state.id for state in resumed] == [state.id for state in whole]
    assert [state.record.weights for state in resumed] == [state.record.weights for state in whole]


def test_what_is_in_scope_is_the_recipes_to_say(on_digits, digits):
    states = on_digits({**POPUP, "exclude": ["fc3"]})
    first, (model, masks) = digits(states["dense"][0])[0], digits(states["popup"][0])
    assert [*masks] == ["fc1.weight", "fc2.weight"]
    assert torch.equal(model.fc3.weight, first.fc3.weight)
