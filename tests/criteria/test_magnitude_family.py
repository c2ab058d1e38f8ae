from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import relu

from prunus.allocation.allocate import allocate
from prunus.allocation.technique import Technique
from prunus.criteria.scoring import score
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.scope import Scope

few_values = st.lists(st.sampled_from([0.0, -1.0, 1.0, 2.0, 0.5]), min_size=1, max_size=12)  # many ties


def subject_of(model, **given):
    return Subject(model, Scope(exclude=given.pop("exclude", ())).parameters(model), **given)


def holding(*values):
    """A network whose layers hold these weights."""
    model = nn.ModuleList(nn.Linear(len(each), 1, bias=False) for each in values)
    with torch.no_grad():
        for layer, each in zip(model, values, strict=True):
            layer.weight.copy_(torch.tensor([each]))
    return model


# --- LAMP ---


def test_lamp_is_the_square_over_the_squares_that_are_left():
    scores = score(subject_of(holding([3.0, -1.0, 2.0])), "lamp")
    assert scores["0.weight"].tolist()[0] == pytest.approx([1.0, 1 / 14, 4 / 13])


@given(few_values)
def test_lamp_agrees_with_its_definition_whichever_of_equal_weights_the_paper_puts_first(values):
    found = score(subject_of(holding(values)), "lamp")["0.weight"].reshape(-1).tolist()
    order = sorted(range(len(values)), key=lambda index: (abs(values[index]), -index))
    for place, index in enumerate(order):
        left = sum(values[other] ** 2 for other in order[place:])
        assert found[index] == pytest.approx(values[index] ** 2 / left if left else 0.0)


@given(st.lists(few_values, min_size=2, max_size=4), st.floats(0, 0.99))
def test_lamp_decides_how_much_of_each_layer_goes_and_magnitude_which(values, sparsity):
    subject = subject_of(holding(*values))
    masks = allocate(score(subject, "lamp"), sparsity, protect=False).masks
    for name, mask in masks.items():
        removed = subject.parameters[name][~mask].abs()
        kept = subject.parameters[name][mask].abs()
        assert removed.numel() == 0 or kept.numel() == 0 or removed.max() <= kept.min()


def test_lamp_tells_the_smallest_weights_apart():
    scores = score(subject_of(holding([2e-25, 3e-25, 1e-25, 1.0])), "lamp")["0.weight"]
    assert scores.argsort().tolist() == [[2, 0, 1, 3]]


def test_lamp_empties_no_layer_whatever_its_scale():
    subject = subject_of(holding([1e-3, 2e-3, 1e-4], [1e3, 2e3, 3e3, 4e3]))
    masks = Technique("lamp", protect=False).allocate(subject, 5 / 7).masks
    assert masks["0.weight"].tolist() == [[False, True, False]]
    assert masks["1.weight"].tolist() == [[False, False, False, True]]


# --- mask criteria ---

FINAL = [3.0, -3.0, 1.0, -0.5]
INITIAL = [2.0, 2.5, -4.0, -1.0]


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("small-final", [-3.0, -3.0, -1.0, -0.5]),
        ("large-initial", [2.0, 2.5, 4.0, 1.0]),
        ("small-initial", [-2.0, -2.5, -4.0, -1.0]),
        ("large-initial-large-final", [0.25, 0.5, 0.25, 0.0]),
        ("small-initial-small-final", [0.0, 0.0, 0.0, 0.75]),
        ("magnitude-increase", [1.0, 0.5, -3.0, -0.5]),
        ("distance-moved", [1.0, 5.5, 5.0, 0.5]),
        ("large-final-same-sign", [3.0, 0.0, 0.0, 0.5]),
        ("magnitude-increase-same-sign", [1.0, 0.0, 0.0, -0.5]),
    ],
)
def test_mask_criteria_are_what_the_paper_says_they_are(criterion, expected):
    subject = subject_of(holding(FINAL), initial={"0.weight": torch.tensor([INITIAL])})
    assert score(subject, criterion)["0.weight"].reshape(-1).tolist() == expected


@given(
    st.lists(st.tuples(*[st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0])] * 2), min_size=1, max_size=20), st.floats(0, 1)
)
def test_large_initial_large_final_keeps_what_is_above_one_percentile_of_both(pairs, percentile):
    """The authors' code: a threshold at the same percentile of |w_i| and of |w_f|, and the masks multiplied."""
    final, initial = zip(*pairs, strict=True)
    subject = subject_of(holding(final), initial={"0.weight": torch.tensor([initial])})
    scores = score(subject, "large-initial-large-final")["0.weight"].reshape(-1)

    def above(values):
        sizes = [abs(value) for value in values]
        return [sum(other < size for other in sizes) / len(sizes) >= percentile for size in sizes]

    both = [one and other for one, other in zip(above(final), above(initial), strict=True)]
    assert (scores >= percentile).tolist() == both


NEEDS_INITIAL = [
    "large-initial", "small-initial", "large-initial-large-final", "small-initial-small-final", "magnitude-increase",
    "distance-moved", "large-final-same-sign", "magnitude-increase-same-sign",
]  # fmt: skip


@pytest.mark.parametrize("criterion", NEEDS_INITIAL)
@pytest.mark.parametrize(
    ("initial", "message"),
    [
        (None, r"pass initial="),
        ({}, r"the initial value of '0.weight' is missing"),
        ({"0.weight": torch.ones(4)}, r"the initial value of '0.weight' has shape \(4,\), the parameter has shape"),
    ],
)
def test_what_the_weights_were_must_be_known(criterion, initial, message):
    with pytest.raises(ArgumentError, match=message):
        score(subject_of(holding(FINAL), initial=initial), criterion)


# --- geometric median ---


@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 6), nn.Conv2d(2, 6, 3), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.LSTM(3, 6, num_layers=1)]
)
def test_a_filters_score_is_the_sum_of_its_distances_to_the_others(layer):
    subject = subject_of(layer)
    for name, scores in score(subject, "geometric-median").items():
        weight = subject.parameters[name].detach().double()
        if isinstance(layer, nn.ConvTranspose2d):
            filters = [weight[2 * group : 2 * group + 2, within] for group in range(2) for within in range(3)]
            found = [scores[2 * group : 2 * group + 2, within] for group in range(2) for within in range(3)]
        elif isinstance(layer, nn.LSTM):  # all gates of a hidden unit
            filters, found = ([values[unit::6] for unit in range(6)] for values in (weight, scores))
        else:
            filters, found = list(weight), list(scores)
        for one, each in zip(filters, found, strict=True):
            distance = sum(math.dist(one.reshape(-1).tolist(), other.reshape(-1).tolist()) for other in filters)
            assert each.reshape(-1).tolist() == pytest.approx([distance] * each.numel(), rel=1e-5)


def test_filters_that_others_can_stand_in_for_go_whatever_their_norm():
    model = nn.Linear(2, 5, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[9.0, 9.0], [9.0, 9.1], [9.1, 9.0], [0.1, 0.0], [20.0, 20.0]]))
    technique = Technique("geometric-median", pattern="channel", scope="layer")
    assert technique.allocate(subject_of(model), 0.2).masks["weight"].all(1).tolist() == [False, *[True] * 4]


def test_distances_of_nearly_equal_filters_are_exact():
    model = nn.Linear(3, 40, bias=False)
    with torch.no_grad():
        model.weight.fill_(1000.0)[0, 0] += 1e-3
    scores = score(subject_of(model), "geometric-median")["weight"]
    step = float(model.weight[0, 0].detach().double() - 1000)
    assert float(scores[0, 0]) == pytest.approx(39 * step, rel=1e-3)
    assert float(scores[1, 0]) == pytest.approx(step, rel=1e-2)


# --- BatchNorm scale ---


class Entangled(nn.Module):
    """Names, places and types of modules say nothing about what follows what."""

    def __init__(self):
        super().__init__()
        self.norm_of_second, self.norm_of_first = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.second, self.first = nn.Conv2d(4, 4, 1), nn.Conv2d(2, 4, 1)
        self.norm_of_third, self.third = nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 1)

    def forward(self, inputs):
        first = relu(self.norm_of_first(self.first(inputs)))
        second = self.norm_of_second(nn.functional.dropout(relu(self.second(first)), 0.5, self.training))
        return self.norm_of_third(self.third(first + second)).mean((2, 3))


def scaled(model):
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.normal_(module.weight)
    return model


def test_the_scale_is_that_of_the_normalisation_that_the_data_flow_to():
    model = scaled(Entangled())
    batches = [(torch.randn(3, 2, 4, 4), torch.randint(4, (3,)))]
    scores = score(subject_of(model, batches=batches), "batch-norm-scale")
    for name in ("first", "second"):
        scale = getattr(model, f"norm_of_{name}").weight.detach().abs()
        assert torch.equal(scores[f"{name}.weight"], scale[:, None, None, None].expand_as(scores[f"{name}.weight"]))
    scale = model.norm_of_third.weight.detach().abs()
    assert torch.equal(scores["third.weight"], scale[None, :, None, None].expand(4, 4, 1, 1))
    technique = Technique("batch-norm-scale", pattern="channel", scope="layer")
    masks = technique.allocate(subject_of(model, batches=batches), 0.5).masks
    assert masks.removed == 20


def sequential():
    return scaled(
        nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)),
            nn.Linear(5, 2),
        )
    )  # fmt: skip


@pytest.mark.parametrize("batches", [None, [(torch.randn(2, 3), torch.tensor([0, 1]))]])
def test_without_batches_the_order_in_a_sequential_says_it(batches):
    model = sequential()
    scores = score(subject_of(model, batches=batches, exclude=("4",)), "batch-norm-scale")
    assert torch.equal(scores["0.weight"][:, 0], model[1].weight.detach().abs())
    assert torch.equal(scores["3.0.weight"][:, 0], model[3][1].weight.detach().abs())
    with pytest.raises(ScoreError, match=r"the output of '4.weight' does not go to .*: exclude"):
        score(subject_of(model, batches=batches), "batch-norm-scale")


class Unfit(nn.Module):
    """No output of these layers goes to a scale, and nowhere else before."""

    def __init__(self):
        super().__init__()
        self.copied, self.plain, self.shared = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm, self.unscaled = nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)

    def forward(self, inputs):
        copied = self.copied(inputs)
        return self.norm(copied) + copied + self.unscaled(self.plain(inputs)) + self.shared(inputs)


def test_layers_without_a_scale_are_all_named():
    subject = subject_of(scaled(Unfit()), batches=[(torch.randn(3, 4), torch.randint(4, (3,)))])
    with pytest.raises(ScoreError, match=r"'copied.weight', 'plain.weight', 'shared.weight' does not go to"):
        score(subject, "batch-norm-scale")
    for model in (Unfit(), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False))):
        with pytest.raises(ScoreError, match=r"without batches, only that in an nn.Sequential is found"):
            score(subject_of(model), "batch-norm-scale")


class Sequence(nn.Module):
    """Normalises over positions, of which there are as many as units."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, inputs):
        return self.norm(self.layer(inputs)).mean(2)


def test_a_scale_of_positions_is_none_of_units():
    subject = subject_of(scaled(Sequence()), batches=[(torch.randn(3, 4, 4), torch.randint(4, (3,)))])
    with pytest.raises(ScoreError, match=r"the output of 'layer.weight' does not go to"):
        score(subject, "batch-norm-scale")


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.first, self.second = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def forward(self, inputs):
        return self.second(self.layer(self.first(self.layer(inputs))))


def test_a_layer_with_two_scales_has_the_larger():
    model = scaled(Twice())
    scores = score(subject_of(model, batches=[(torch.randn(3, 4), torch.randint(4, (3,)))]), "batch-norm-scale")
    expected = torch.maximum(model.first.weight.detach().abs(), model.second.weight.detach().abs())
    assert torch.equal(scores["layer.weight"][:, 0], expected)
