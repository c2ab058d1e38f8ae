"""Measured sensitivity, and the tolerance that all layers share."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import mse_loss

from prunus.allocation.budgets.request import Request
from prunus.allocation.budgets.sensitivity import Sensitivity
from prunus.allocation.budgets.tolerance import reached
from prunus.allocation.technique import Technique
from prunus.criteria.magnitude import magnitude
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.masks import Masks
from prunus.masks.scope import Scope

calm = settings(max_examples=60)


def subject_of(model, inputs, targets=None, **rest):
    targets = torch.randint(3, (len(inputs),)) if targets is None else targets
    return Subject(model, Scope().parameters(model), [(inputs, targets)], **rest)


def request_of(subject, sparsity, **rest):
    return Request(subject, dict(magnitude(subject)), sparsity, **rest)


def convolutional():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))


def curve_of(points):
    """Sparsities that rise from 0, with a drop of 0 at the first."""
    return [(0.0, 0.0), *zip(sorted({s for s, _ in points}), [drop for _, drop in points], strict=False)]


curve = st.lists(
    st.tuples(st.integers(1, 100).map(lambda n: n / 100), st.sampled_from([-0.1, 0.0, 0.1, 0.2, 0.5, math.inf])),
    min_size=1,
    max_size=5,
).map(curve_of)


def needed(points, sparsity):
    """The least tolerance that allows a sparsity: the least drop there or beyond."""
    drops = [drop for place, drop in points if place >= sparsity]
    for (low, before), (high, after) in itertools.pairwise(points):
        if low <= sparsity < high and after < math.inf:
            drops.append(before + (sparsity - low) / (high - low) * (after - before))
    return min(drops, default=math.inf)


@calm
@given(st.lists(curve, min_size=1, max_size=4), st.floats(0, 1))
def test_all_layers_reach_the_same_tolerance_and_the_target(curves, part):
    named, sizes = dict(enumerate(curves)), {name: 10 * (name + 1) for name in range(len(curves))}
    most = sum(points[-1][0] * sizes[name] for name, points in named.items())
    found = reached(named, sizes, part * most)
    assert sum(found[name] * size for name, size in sizes.items()) == pytest.approx(part * most, abs=1e-9)
    paid = [needed(points, found[name] - 1e-6) for name, points in named.items() if found[name] > 1e-6]
    refused = [needed(points, found[name] + 1e-6) for name, points in named.items()]
    assert max(paid, default=-1) <= min(refused) + 1e-4


@calm
@given(st.lists(curve, min_size=1, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_target_takes_no_layer_back(curves, first, second):
    named, sizes = dict(enumerate(curves)), {name: 10 * (name + 1) for name in range(len(curves))}
    most = sum(points[-1][0] * sizes[name] for name, points in named.items())
    lower, higher = (reached(named, sizes, part * most) for part in sorted((first, second)))
    assert all(lower[name] <= higher[name] + 1e-12 for name in named)


def test_the_tolerance_of_two_lines_by_hand():
    # drops s and s / 3 of layers of 100 and 300: the same drop d is at s = d and 3 d, so d · 100 + 3 d · 300 = 200
    curves = {"a": [(0.0, 0.0), (1.0, 1.0)], "b": [(0.0, 0.0), (1.0, 1 / 3)]}
    found = reached(curves, {"a": 100, "b": 300}, 200)
    assert found == pytest.approx({"a": 0.2, "b": 0.6})


def test_beyond_the_curves_all_are_at_their_ends():
    curves = {"a": [(0.0, 0.0), (0.5, 1.0)], "b": [(0.1, 0.0)]}
    assert reached(curves, {"a": 10, "b": 10}, 7) == {"a": 0.5, "b": 0.1}


def test_layers_that_cost_nothing_go_the_same_part_of_their_way():
    curves = {"a": [(0.0, 0.0), (0.8, 0.0)], "b": [(0.0, 0.0), (0.4, 0.0), (0.8, 0.1)]}
    assert reached(curves, {"a": 100, "b": 100}, 60) == pytest.approx({"a": 0.4, "b": 0.2})


def sensitive():
    """A network that is a classifier by its first layer alone; the second adds almost nothing."""
    model = nn.Module()
    model.strong, model.weak = nn.Linear(6, 3, bias=False), nn.Linear(6, 3, bias=False)
    model.forward = lambda inputs: model.strong(inputs) + 0.01 * model.weak(inputs)
    model.strong.weight.data.mul_(20)
    inputs = torch.randn(200, 6)
    return subject_of(model, inputs, model.strong(inputs).argmax(1))


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_a_layer_that_does_not_matter_is_pruned_more(measure):
    found = Sensitivity(measure)(request_of(sensitive(), 0.5))
    assert found["weak.weight"] > 0.8
    assert found["strong.weight"] < 0.2


def test_measured_drops_are_those_of_the_layer_alone():
    subject = sensitive()
    request = request_of(subject, 0.5)
    curves = Sensitivity(levels=(0.5, 0.9))._curves(request)
    inputs, targets = subject.batches[0]
    base = float((subject.model.forward(inputs).argmax(1) == targets).float().mean())
    for name, points in curves.items():
        assert points[0] == (0.0, 0.0)
        weight = subject.parameters[name]
        before = weight.detach().clone()
        for sparsity, drop in points[1:]:
            kept = before.abs().flatten().sort(descending=True).indices[: round((1 - sparsity) * 18)]
            pruned = torch.zeros(18).index_copy(0, kept, before.flatten()[kept]).reshape(3, 6)
            weight.data.copy_(pruned)
            accuracy = float((subject.model.forward(inputs).argmax(1) == targets).float().mean())
            assert drop == pytest.approx(base - accuracy)
        weight.data.copy_(before)


def test_the_model_is_left_alone_even_when_the_loss_fails():
    model = convolutional().train()
    calls = itertools.count()

    def failing(outputs, targets):
        if next(calls) == 3:
            raise RuntimeError("no more")
        return mse_loss(outputs, targets)

    subject = subject_of(model, torch.randn(5, 2, 4, 4), torch.randn(5, 3), loss=failing)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    versions = [weight._version for weight in model.parameters()]
    with pytest.raises(RuntimeError, match="no more"):
        Sensitivity("loss")(request_of(subject, 0.5))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [weight._version for weight in model.parameters()] == versions
    assert all(module.training for module in model.modules())


def test_sensitivity_is_measured_under_the_pattern_that_is_pruned():
    subject = subject_of(convolutional(), torch.randn(5, 2, 4, 4))
    seen = Sensitivity(levels=(0.3, 0.5))._curves(request_of(subject, 0.5, pattern="row"))
    assert [sparsity for sparsity, _ in seen["0.weight"]] == [0.0, 0.25, 0.5]
    assert [sparsity for sparsity, _ in seen["4.weight"]] == pytest.approx([0.0, 1 / 3, 2 / 3])


def test_what_is_the_same_is_measured_once():
    subject = subject_of(nn.Linear(2, 1), torch.randn(5, 2), torch.randn(5, 1), loss=mse_loss)
    (points,) = Sensitivity("loss", levels=(0.3, 0.5, 0.6, 0.7))._curves(request_of(subject, 0.5)).values()
    assert [sparsity for sparsity, _ in points] == [0.0, 0.5]


def test_sensitivity_goes_on_from_earlier_masks():
    subject = sensitive()
    current = Masks({name: torch.rand(3, 6) > 0.4 for name in subject.parameters})
    found = Technique("random", budget="sensitivity").allocate(subject, 0.8, current).masks
    assert found & current == found
    assert found.removed == round(0.8 * 36)


def test_a_loss_that_breaks_when_pruned_is_as_bad_as_can_be():
    subject = sensitive()
    strong = subject.model.strong.weight

    def breaking(outputs, targets):
        return torch.tensor(math.nan if (strong == 0).any() else 1.0)

    subject = Subject(subject.model, subject.parameters, subject.batches, breaking)
    found = Sensitivity("loss")(request_of(subject, 0.4))
    assert found["strong.weight"] == 0.0
    broken = Subject(subject.model, subject.parameters, subject.batches, lambda *_: torch.tensor(math.nan))
    with pytest.raises(ScoreError, match="the loss is nan before anything is pruned"):
        Sensitivity("loss")(request_of(broken, 0.4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"measure": "f1"}, "measure must be 'accuracy' or 'loss'"),
        ({"levels": ()}, "levels must rise and lie between 0 and 1"),
        ({"levels": (0.5, 0.5)}, "levels must rise"),
        ({"levels": (0.5, 1.0)}, "levels must rise"),
        ({"levels": (0.0, 0.5)}, "levels must rise"),
        ({"levels": "0.5"}, "levels must rise"),
    ],
)
def test_settings_of_sensitivity_out_of_bounds_are_refused(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        Sensitivity(**wrong)


def test_tokens_that_are_ignored_do_not_count():
    model = nn.Linear(4, 3)
    inputs = torch.randn(10, 7, 4)
    targets = model(inputs).argmax(-1)
    targets[:, ::2] = -100
    subject = subject_of(model, inputs, targets)
    (points,) = Sensitivity(levels=(0.5,))._curves(request_of(subject, 0.5)).values()
    Technique().allocate(subject, 0.5).apply(model)
    wrong = (model(inputs).argmax(-1) != targets)[:, 1::2]
    assert points[1] == (0.5, pytest.approx(float(wrong.float().mean())))
    assert 0 < points[1][1] < 1


@pytest.mark.parametrize("targets", [torch.randn(5, 3), torch.zeros(5), torch.zeros(4, dtype=torch.int64)])
def test_accuracy_without_classes_is_refused(targets):
    subject = subject_of(convolutional(), torch.randn(5, 2, 4, 4), targets)
    with pytest.raises(ArgumentError, match=r"an accuracy needs class scores .* measure the loss"):
        Sensitivity()(request_of(subject, 0.5))


def test_a_loss_is_the_mean_over_all_examples_and_what_is_gone_stays_gone():
    model = nn.Linear(4, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 0.0, 0.0]])
    inputs = torch.eye(4)
    batches = [(inputs[:3], model(inputs[:3])), (inputs[3:], model(inputs[3:]))]
    subject = Subject(model, {"weight": model.weight}, batches, mse_loss)
    current = Masks({"weight": torch.tensor([[True, True, False, False]])})
    request = Request(subject, {"weight": torch.tensor([[1.0, 2.0, 3.0, 3.0]])}, 0.75, current)
    (points,) = Sensitivity("loss", levels=(0.5,))._curves(request).values()
    assert points == [(0.5, 0.0), (0.75, pytest.approx(0.25))]  # of four examples one is off by 1
