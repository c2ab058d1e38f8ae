"""Penalties and L0 gates from a recipe, on real digits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from prunus.errors import ScopeError, TargetError, UserCodeError
from prunus.experiments.recipe import Recipe
from prunus.experiments.workshop import Workshop
from prunus.training.gates import ExpectedL0
from prunus.training.penalties import L1, GroupLasso, Penalized

LASSO = {"name": "lasso", "penalty": "group-lasso", "strength": 2e-3, "pattern": "channel", "exclude": ["fc3"]}
L0 = {"name": "l0", "penalty": "l0", "strength": 1e-5}


def weights_equal(first, second):
    assert first.state_dict().keys() == second.state_dict().keys()
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def share_in_removed(model, masks):
    """Share of the squared weights that lies in what the masks remove."""
    parts = [(model.get_parameter(name).detach().square(), mask) for name, mask in masks.items()]
    return float(sum(part[~mask].sum() for part, mask in parts) / sum(part.sum() for part, _ in parts))


def test_the_network_that_is_pruned_is_the_one_trained_with_the_penalty(on_digits, digits):
    plain = {"name": "plain", "pattern": "channel", "exclude": ["fc3"]}
    found = on_digits({**LASSO, "retrain": "none"}, {**plain, "retrain": "none"})
    initial, dense = found["dense"]
    trained, *pruned = found["lasso"]
    assert (trained.record.kind, trained.record.parent, trained.record.masks) == ("trained", initial.id, None)
    assert [state.record.parent for state in pruned] == [trained.id, trained.id]
    assert [state.record.parent for state in found["plain"]] == [dense.id, dense.id]
    whole, _ = digits(trained)
    for state in pruned:
        model, masks = digits(state)
        masks.apply(whole)
        assert masks.sparsity == pytest.approx(state.record.requested_sparsity, abs=0.01)
        assert weights_equal(model, whole)
        whole, _ = digits(trained)
    usual = share_in_removed(digits(dense)[0], digits(found["plain"][0])[1])
    assert share_in_removed(whole, digits(pruned[0])[1]) < 0.8 * usual


def test_the_drop_is_that_from_the_shared_dense_network(on_digits):
    found = on_digits(LASSO, {"name": "plain", "pattern": "channel", "exclude": ["fc3"]})
    history = found["dense"][1].history
    dense = found["dense"][1].record.test.accuracy
    for candidate in history.candidates():
        for replicate in candidate.replicates:
            after = history.state(replicate.state).record.test.accuracy
            assert replicate.reporting["accuracy_drop"] == dense - after
    assert {candidate.technique for candidate in history.candidates()} == {"dense", "lasso", "plain"}
    assert len(history.runs()) == 3


def by_hand(technique, penalty, initial):
    """The initial network, trained with the penalty."""
    recipe = {
        "seeds": [0],
        "sparsities": [0.5, 0.8],
        "task": {"data": "digits", "model": "mlp"},
        "technique": [technique],
    }
    made = Recipe.of({**recipe, "training": {"epochs": 2, "batch_size": 50}}).works()[-1]
    trainer = Workshop.of(made).trainer()
    replace(trainer, loss=Penalized(trainer.loss, penalty, initial)).fit(initial, made.order_seed())
    return initial


@pytest.mark.parametrize(
    ("technique", "penalty"),
    [
        (LASSO, GroupLasso(2e-3, "channel", exclude=("fc3",))),
        ({"name": "l1", "penalty": "l1", "strength": 1e-4, "include": ["fc1"]}, L1(1e-4, include=("fc1",))),
    ],
)
def test_the_penalty_is_a_term_of_the_loss_over_what_is_in_scope(on_digits, digits, technique, penalty):
    found = on_digits(technique)
    expected = by_hand(technique, penalty, digits(found["dense"][0])[0])
    assert weights_equal(digits(found[technique["name"]][0])[0], expected)


def test_a_penalty_of_strength_0_prunes_the_dense_network(on_digits, digits):
    found = on_digits({**LASSO, "strength": 0})
    assert weights_equal(digits(found["lasso"][0])[0], digits(found["dense"][1])[0])


def test_slimming_makes_scales_small_and_their_channels_go(perform):
    import normtask

    technique = {"criterion": "batch-norm-scale", "pattern": "channel", "exclude": ["3"], "retrain": "none"}
    slim = {"name": "slim", "penalty": "batch-norm-slimming", "strength": 0.1}
    history = perform(
        {**technique, **slim}, {**technique, "name": "plain"}, task="normtask:task", sparsities=[0.5],
        training={"epochs": 10, "batch_size": 20, "learning_rate": 0.01},
    )  # fmt: skip
    found = {run.technique: history.states(run.id) for run in history.runs()}

    def sorted_scales(state):
        model = normtask.task().build()
        masks = state.restore(model)
        return model[1].weight.detach().abs(), masks

    slimmed, _ = sorted_scales(found["slim"][0])
    usual, _ = sorted_scales(found["dense"][1])
    assert slimmed.sum() < usual.sum() / 2
    scales, masks = sorted_scales(found["slim"][1])
    stays = masks["0.weight"].all(1)
    assert stays.sum() == 4
    assert scales[stays].min() >= scales[~stays].max()


def test_a_network_without_what_is_penalised_is_refused(on_digits):
    technique = {"penalty": "batch-norm-slimming", "strength": 1e-4, "pattern": "channel"}
    with pytest.raises(ScopeError, match="has no BatchNorm layer with a scale to draw to zero"):
        on_digits(technique)


def test_a_penalty_during_gradual_pruning_is_in_its_loss(on_digits, digits):
    found = on_digits(
        {"name": "a", "schedule": "cubic", "penalty": "l1", "strength": 1e-3}, {"name": "b", "schedule": "cubic"}
    )
    assert [state.record.pruning.sparsity for state in found["a"]] == [0.5, 0.8]
    assert [state.record.kind for state in found["a"]] == ["pruned", "pruned"]
    sums = {name: sum(w.abs().sum() for w in digits(found[name][0])[0].parameters()) for name in "ab"}
    assert sums["a"] < 0.9 * sums["b"]


@pytest.mark.parametrize("pattern", ["weight", "channel"])
def test_gates_are_folded_in_as_masks(on_digits, digits, pattern):
    [state] = on_digits({**L0, "pattern": pattern})["l0"]
    model, masks = digits(state)
    assert 0.05 < state.record.pruning.sparsity == masks.sparsity < 0.95
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert torch.equal(weight != 0, mask)
        assert not weight[~mask].signbit().any()
        if pattern == "channel":
            assert torch.equal(mask.any(1), mask.all(1))
    assert (state.record.pruning.criterion, state.record.pruning.schedule) == ("l0", "own choice")
    assert state.record.pruning.pattern == pattern
    assert state.record.parent == state.parent().id
    assert state.parent().record.kind == "initial"


def test_gates_are_trained_with_the_weights_as_by_hand(on_digits, digits):
    technique = {**L0, "drop_rate": 0.3, "mask_learning_rate": 0.2, "include": ["fc1", "fc2"]}
    found = on_digits(technique)
    model, _ = digits(found["dense"][0])
    plain = {"seeds": [0], "sparsities": [0.5], "task": {"data": "digits", "model": "mlp"}, "technique": [technique]}
    made = Recipe.of({**plain, "training": {"epochs": 2, "batch_size": 50}}).works()[-1]
    penalty = ExpectedL0(1e-5, drop_rate=0.3, include=["fc1", "fc2"], seed=made.pruning_seed("pruning", 1))
    gated, trainer = penalty.gated(model), Workshop.of(made).trainer()
    optimizer = trainer.make_optimizer(model)
    gates = torch.optim.Adam(gated.log_alpha.parameters(), 0.2)

    def watch(*_):
        gates.step()
        gates.zero_grad()

    trainer = replace(trainer, loss=Penalized(trainer.loss, penalty, gated))
    trainer.fit(gated, made.order_seed(), optimizer=optimizer, watch=watch)
    masks = gated.prune(protect=True)
    found_model, found_masks = digits(found["l0"][0])
    assert found_masks == masks
    assert weights_equal(found_model, model)


def test_more_gates_close_where_the_penalty_is_stronger(on_digits):
    found = on_digits({"penalty": "l0", "each": {"strength": [1e-6, 1e-5, 1e-4]}})
    reached = [found[f"l0 {strength:g}"][0].record.pruning.sparsity for strength in (1e-6, 1e-5, 1e-4)]
    assert reached == sorted(reached)
    assert reached[0] < reached[2]


def test_the_best_channel_of_a_layer_stays_when_all_its_gates_close(on_digits, digits):
    closing = {**L0, "strength": 0.1, "pattern": "channel"}
    [state] = on_digits(closing)["l0"]
    _, masks = digits(state)
    assert state.record.pruning.protected == tuple(masks)
    assert [int(mask.any(1).sum()) for mask in masks.values()] == [1, 1, 1]
    with pytest.raises(TargetError, match="training has removed every weight: lower strength"):
        on_digits({**closing, "protect": False})


@pytest.mark.parametrize("technique", [LASSO, {**LASSO, "schedule": "levels", "retrain": "rewind"}])
def test_a_run_that_is_stopped_after_its_penalised_training_goes_on_from_it(on_digits, interrupted_after, technique):
    whole = on_digits(technique, folder="whole")["lasso"]
    with interrupted_after(3):  # both states of the dense network, and the one trained with the penalty
        on_digits(technique, folder="halved")
    resumed = on_digits(technique, folder="halved")["lasso"]
    assert len(resumed) == 3
    assert [state.id for state in resumed] == [state.id for state in whole]
    assert [state.record.weights for state in resumed] == [state.record.weights for state in whole]


def test_l0_that_is_done_twice_gives_the_same(on_digits):
    first, again = (on_digits(L0, folder=folder)["l0"][0].record for folder in ("one", "two"))
    assert (first.weights, first.masks) == (again.weights, again.masks)


def test_a_penalty_and_its_strength_make_another_run(works):
    plain = {"pattern": "channel"}
    found = [
        works(plain),
        works({**plain, "penalty": "l1", "strength": 1e-3}),
        works({**plain, "penalty": "l1", "strength": 1e-4}),
        works({**plain, "penalty": "group-lasso", "strength": 1e-4}),
    ]
    assert len({each[-1].id for each in found}) == 4
    assert len({each[0].id for each in found}) == 1
    assert [each[-1].states_planned for each in found] == [2, 3, 3, 3]


SOURCE = """
def sparse(strength):
    return lambda model: strength * sum(weight.abs().sum() for weight in model.parameters())

def broken(strength):
    return lambda model: 1 / 0
"""


def test_a_penalty_of_ones_own_is_named_by_its_module(on_digits, digits, works, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mypenalty.py").write_text(SOURCE)
    own = {"name": "own", "penalty": "mypenalty:sparse", "strength": 1e-3}
    found = on_digits(own)
    sums = [sum(w.abs().sum() for w in digits(each)[0].parameters()) for each in (found["own"][0], found["dense"][1])]
    assert sums[0] < 0.8 * sums[1]
    with pytest.raises(UserCodeError, match=r"'mypenalty:broken' raised ZeroDivisionError: .*mypenalty.py:6"):
        on_digits({**own, "penalty": "mypenalty:broken"})
    before = works(own)[-1].id
    (tmp_path / "mypenalty.py").write_text(SOURCE + "x = 1")
    assert works(own)[-1].id != before
