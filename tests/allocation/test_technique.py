"""A technique: rounds, controls, budgets, reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from prunus.allocation.aggregates import AGGREGATES
from prunus.allocation.controls import CONTROLS
from prunus.allocation.pruning import prune
from prunus.allocation.technique import Technique
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError, UnknownNameError
from prunus.masks.masks import Masks


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def found(technique, model, sparsity=0.75, current=None):
    return technique.allocate(Subject(model, technique.parameters(model)), sparsity, current)


@dataclass
class Watching:
    """Scores by magnitude, and remembers how sparse the model was each time."""

    rounds: int = 1

    def __post_init__(self):
        self.seen = []

    def __call__(self, subject):
        weights = subject.weights()
        zeros = sum(int((weight == 0).sum()) for weight in weights.values())
        self.seen.append(zeros / sum(weight.numel() for weight in weights.values()))
        return {name: weight.abs() for name, weight in weights.items()}


def test_in_rounds_the_density_falls_by_the_same_factor_and_the_model_is_scored_anew():
    model, watching = network(), Watching()
    before = [weight.clone() for weight in model.parameters()]
    masks = found(Technique(watching, rounds=4), model, 1 - 0.5**4).masks
    assert watching.seen == [0.0, 0.5, 0.75, 0.875]
    assert masks.sparsity == 1 - 0.5**4
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))


def test_rounds_go_on_from_what_is_removed():
    model, watching = network(), Watching()
    current = prune(model, 0.5)
    masks = found(Technique(watching, rounds=2), model, 1 - 0.5**3, current).masks
    assert watching.seen == [0.5, 0.75]
    assert masks & current == masks


def test_a_criterion_says_how_many_rounds_it_wants():
    model, watching = network(), Watching(rounds=3)
    found(Technique(watching), model)
    assert len(watching.seen) == 3
    found(Technique(watching, rounds=1), model)
    assert len(watching.seen) == 4
    with pytest.raises(ArgumentError, match="rounds must be at least 1, got 0"):
        Technique(rounds=0)


@pytest.mark.parametrize("pattern", ["weight", "row", "block:2x2", "channel"])
def test_shuffled_masks_keep_each_tensors_count_and_not_its_weights(pattern):
    model = network()
    plain = found(Technique(pattern=pattern), model)
    shuffled = found(Technique(pattern=pattern, control="shuffle"), model)
    assert shuffled.masks.sparsities == plain.masks.sparsities
    assert shuffled.masks != plain.masks
    again = found(Technique(pattern=pattern, control="shuffle"), model)
    assert again.masks == shuffled.masks


def test_shuffled_masks_empty_the_tensors_that_the_technique_has_emptied():
    model = network()
    with torch.no_grad():
        model[0].weight.mul_(1e-3)
    plain = found(Technique(protect=False), model, 0.75).masks
    shuffled = found(Technique(protect=False, control="shuffle"), model, 0.75).masks
    assert shuffled.sparsities == plain.sparsities == {"0.weight": 1.0, "2.weight": 0.25}


def test_shuffled_masks_of_n_of_m_keep_the_pattern():
    masks = found(Technique(pattern="2:4", control="shuffle"), network(), 0.5).masks
    assert all(bool((mask.reshape(-1, 4).sum(1) == 2).all()) for mask in masks.values())


def test_what_is_inverted_is_scored_once_for_its_best_paths_are_gone_then():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    batches = [(torch.randn(5, 6), torch.randint(4, (5,)))]
    masks = prune(model, 0.9, criterion="synflow", batches=batches, control="invert")
    assert masks.removed == 72


def test_inverted_masks_remove_the_highest_scores():
    model = network()
    masks = found(Technique(control="invert"), model, 0.5).masks
    plain = found(Technique(), model, 0.5).masks
    assert masks == ~plain  # half of the weights, none of them equal
    with pytest.raises(UnknownNameError, match="did you mean 'invert'"):
        Technique(control="inverse")
    assert set(CONTROLS) == {"shuffle", "invert"}


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("pattern", ["weight", "row", "block:2x2"])
def test_inverted_groups_are_removed_in_the_opposite_order(pattern, aggregate):
    model = network()
    masks = found(Technique(pattern=pattern, aggregate=aggregate, control="invert", scope="layer"), model, 0.5).masks
    assert masks == ~found(Technique(pattern=pattern, aggregate=aggregate, scope="layer"), model, 0.5).masks


def test_inverted_groups_that_are_removed_already_stay_so():
    model = network()
    current = found(Technique(pattern="row"), model, 0.5).masks
    masks = found(Technique(pattern="row", aggregate="max", control="invert"), model, 0.75, current).masks
    assert masks & current == masks


def test_a_budget_takes_the_place_of_the_scope():
    masks = found(Technique(budget="erk"), network(), 0.5).masks
    assert masks.sparsity == 0.5
    assert masks.sparsities["0.weight"] > masks.sparsities["2.weight"]
    uniform = found(Technique(budget="uniform"), network(), 0.5).masks
    assert uniform == found(Technique(scope="layer"), network(), 0.5).masks
    with pytest.raises(UnknownNameError, match="no budget is named 'earth'"):
        Technique(budget="earth")


def test_settings_reach_the_criterion_and_unknown_ones_are_told():
    technique = Technique(Watching, settings={"rounds": 2})
    assert found(technique, network()).masks.sparsity == 0.75
    with pytest.raises(ArgumentError, match=r"no setting of Watching is named 'round'.*did you mean 'rounds'"):
        Technique(Watching, settings={"round": 2})
    with pytest.raises(ArgumentError, match="'magnitude' has no settings, got temperature"):
        Technique("magnitude", settings={"temperature": 2})


class Doubling:
    """Removes by magnitude and makes up for it by doubling what stays."""

    def __call__(self, subject):
        return {name: weight.abs() for name, weight in subject.weights().items()}

    def reconstruct(self, subject, masks: Masks, pattern: str):
        weights = {name: 2 * weight for name, weight in subject.weights().items()}
        for parameter in subject.parameters.values():
            parameter.data.zero_()  # what it does to the model meanwhile is undone
        return masks, weights


def test_what_is_removed_can_be_made_up_for():
    model = network()
    before = model[0].weight.detach().clone()
    masks = prune(model, 0.5, criterion=Doubling())
    assert torch.equal(model[0].weight, torch.where(masks["0.weight"], 2 * before, 0.0))
    assert model[0].bias.any()


@pytest.mark.parametrize(("aggregate", "kept"), [("mean", 0), ("sum", 0), ("max", 1), ("l2", 1), ("first", 2)])
def test_aggregates_decide_which_row_stays(aggregate, kept):
    model = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 8.0], [4.0, 0.0, 0.0, 0.0]]))
    masks = prune(model, 2 / 3, pattern="row", aggregate=aggregate)
    assert masks["weight"].all(1).tolist() == [row == kept for row in range(3)]


def test_signs_are_not_lost_in_a_norm():
    def signed(subject):
        return subject.weights()

    with pytest.raises(ArgumentError, match="no aggregate is named 'l3'"):
        Technique(aggregate="l3")
    with pytest.raises(ScoreError, match="'l2' would lose the sign"):
        prune(network(), 0.5, criterion=signed, pattern="row", aggregate="l2")
