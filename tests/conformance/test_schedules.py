"""What every schedule of the table promises."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from prunus.errors import ArgumentError
from prunus.schedules import SCHEDULES, Cubic, Iterative, Levels, Linear, OneShot
from prunus.training.pruner import Pruner

EXAMPLES = {
    "one-shot": [OneShot(0.9), OneShot(0.5, at=7), OneShot(0.0)],
    "iterative": [Iterative(4, every=3), Iterative(3, every=5, fraction=0.5, begin=2), Iterative(1, every=1)],
    "levels": [Levels((0.2, 0.5, 0.9), every=4), Levels((0.0, 0.3), every=1, begin=3)],
    "linear": [Linear(0.9, 2, 20), Linear(0.7, 0, 10, initial=0.1, every=3), Linear(0.5, 4, 4)],
    "cubic": [Cubic(0.9, 2, 20), Cubic(0.7, 0, 10, initial=0.1, every=4), Cubic(0.5, 4, 4), Cubic(0.3, 0, 9, 0.3)],
}
STEPS = range(40)
CASES = [(name, schedule) for name, schedules in EXAMPLES.items() for schedule in schedules]


def test_every_schedule_of_the_table_has_an_example():
    assert EXAMPLES.keys() == SCHEDULES.keys()
    for name, schedules in EXAMPLES.items():
        assert all(type(schedule) is SCHEDULES[name].load() for schedule in schedules)
        assert SCHEDULES[name].summary.endswith(".")


@pytest.mark.parametrize(("name", "schedule"), CASES)
def test_sparsity_rises_within_bounds_and_changes_only_when_due(name, schedule):
    sparsities = [schedule.sparsity(step) for step in STEPS]
    assert all(0 <= sparsity < 1 for sparsity in sparsities)
    assert all(later >= earlier for earlier, later in itertools.pairwise(sparsities))
    assert any(schedule.due(step) for step in STEPS)
    last = 0.0
    for step, sparsity in zip(STEPS, sparsities, strict=True):
        if schedule.due(step):
            last = sparsity
        assert sparsity == last, step


@pytest.mark.parametrize(("name", "schedule"), CASES)
def test_it_ends_exactly_at_its_last_sparsity(name, schedule):
    final = schedule.levels[-1] if isinstance(schedule, Levels) else getattr(schedule, "final", None)
    assert schedule.sparsity(10_000) == (1 - (1 - schedule.fraction) ** schedule.rounds if final is None else final)
    assert not any(schedule.due(step) for step in range(40, 200))


@pytest.mark.parametrize(("name", "schedule"), CASES)
def test_a_schedule_is_a_value(name, schedule):
    assert schedule == eval(repr(schedule))
    assert hash(schedule) == hash(eval(repr(schedule)))


@pytest.mark.parametrize(("name", "schedule"), CASES)
def test_a_pruner_reaches_exactly_what_the_schedule_says_by_nested_masks(name, schedule):
    model = nn.Sequential(nn.Linear(6, 10), nn.Linear(10, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.5)
    with Pruner(model, optimizer, schedule, protect=False) as pruner:
        before = pruner.masks
        for step in range(1, 30):
            optimizer.zero_grad()
            model(torch.randn(5, 6)).square().mean().backward()
            optimizer.step()
            assert (pruner.step() is not None) == schedule.due(step)
            assert pruner.masks.removed == round(schedule.sparsity(step) * 100)
            assert pruner.masks & before == pruner.masks
            assert all((p[~pruner.masks[n]] == 0).all() for n, p in pruner.masks.parameters_of(model).items())
            before = pruner.masks


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("one-shot", {"final": 1.0}),
        ("one-shot", {"final": 90}),
        ("one-shot", {"final": True}),
        ("one-shot", {"final": 0.5, "at": -1}),
        ("one-shot", {"final": 0.5, "at": 1.5}),
        ("one-shot", {"final": 0.5, "at": True}),
        ("iterative", {"rounds": 0, "every": 1}),
        ("iterative", {"rounds": 2.5, "every": 1}),
        ("iterative", {"rounds": 1, "every": 0}),
        ("iterative", {"rounds": 1, "every": 1, "fraction": 0.0}),
        ("iterative", {"rounds": 1, "every": 1, "fraction": 1.0}),
        ("iterative", {"rounds": 1, "every": 1, "fraction": float("nan")}),
        ("iterative", {"rounds": 60, "every": 1, "fraction": 0.9}),
        ("iterative", {"rounds": 1, "every": 1, "begin": -1}),
        ("levels", {"levels": (), "every": 1}),
        ("levels", {"levels": (0.5, 0.5), "every": 1}),
        ("levels", {"levels": (0.5, 0.4), "every": 1}),
        ("levels", {"levels": (0.5, 50), "every": 1}),
        ("levels", {"levels": (0.5,), "every": 0}),
        ("levels", {"levels": (0.5,), "every": 1, "begin": -1}),
        ("linear", {"final": 0.5, "begin": 3, "end": 2}),
        ("linear", {"final": 0.5, "begin": -1, "end": 2}),
        ("linear", {"final": 0.5, "begin": 0, "end": 2.5}),
        ("cubic", {"final": 0.5, "begin": 0, "end": 2, "initial": 0.6}),
        ("cubic", {"final": 0.5, "begin": 0, "end": 2, "initial": -0.1}),
        ("cubic", {"final": 0.5, "begin": 0, "end": 2, "every": 0}),
        ("cubic", {"final": float("nan"), "begin": 0, "end": 2}),
    ],
)
def test_settings_that_make_no_schedule_are_refused(name, settings):
    with pytest.raises(ArgumentError):
        SCHEDULES[name].load()(**settings)
