from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from prunus.errors import ArgumentError, TrainingError, UnknownNameError
from prunus.training.optimizers import make_optimizer
from prunus.training.plan import OPTIMIZERS, Plan


def rates(plan, steps, total):
    return [plan.rate(step, total) for step in steps]


def test_golden_rates():
    # by hand; cosine: SGDR, Loshchilov & Hutter 2017 (arXiv:1608.03983), with one period
    assert rates(Plan(learning_rate=0.1), (0, 5, 9), 10) == [0.1, 0.1, 0.1]
    cosine = Plan(learning_rate=0.2, decay="cosine")
    assert rates(cosine, (0, 2, 4, 6, 8), 8) == pytest.approx([0.2, 0.1707107, 0.1, 0.0292893, 0.0], abs=1e-7)
    linear = Plan(learning_rate=0.2, decay="linear")
    assert rates(linear, (0, 1, 5, 9), 10) == pytest.approx([0.2, 0.18, 0.1, 0.02])
    steps = Plan(learning_rate=1.0, decay="steps", milestones=(0.5, 0.75), factor=0.1)
    assert rates(steps, (0, 49, 50, 74, 75, 99), 100) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_milestone_falls_on_its_step_despite_rounding():
    plan = Plan(learning_rate=1.0, decay="steps", milestones=(0.55,))
    assert 0.55 * 100 > 55
    assert rates(plan, (54, 55), 100) == pytest.approx([1.0, 0.1])


def test_the_warm_up_rises_linearly_and_the_decay_starts_behind_it():
    plan = Plan(learning_rate=0.4, warmup_steps=4, decay="linear")
    assert rates(plan, (0, 1, 2, 3, 4, 8), 12) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.2])
    assert rates(Plan(learning_rate=0.4, warmup_steps=4), (0, 1), 2) == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"factor": -0.1},
        {"momentum": -0.1},
        {"weight_decay": float("nan")},
        {"warmup_steps": -1},
        {"clip_norm": 0.0},
        {"nesterov": True},
        {"nesterov": True, "optimizer": "sgd"},
        {"milestones": (50, 75)},
        {"milestones": (0.0,)},
        {"milestones": (1.0,)},
    ],
)
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(ArgumentError):
        Plan(**settings)


def test_an_unknown_optimizer_or_decay_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no optimizer is named 'adma': there are adam, .*; did you mean"):
        Plan(optimizer="adma")
    with pytest.raises(UnknownNameError, match=r"no decay is named 'cosin': .*; did you mean 'cosine'"):
        Plan(decay="cosin")


@pytest.mark.parametrize("decay", ["constant", "cosine", "linear"])
@pytest.mark.parametrize(("name", "value", "default"), [("milestones", (0.5,), (0.5, 0.75)), ("factor", 0.2, 0.1)])
def test_what_only_steps_look_at_is_refused_where_it_would_be_ignored(decay, name, value, default):
    with pytest.raises(ArgumentError, match=rf"{name} goes with decay = 'steps': '{decay}' has none, got"):
        Plan(decay=decay, **{name: value})
    assert Plan(decay=decay, **{name: default}) == Plan(decay=decay)
    assert Plan(decay="steps", **{name: value}) != Plan(decay="steps")


def test_a_constant_plan_keeps_all_but_how_the_rate_changes():
    plan = Plan(optimizer="sgd", momentum=0.9, decay="steps", milestones=(0.5,), factor=0.2, warmup_steps=3)
    assert plan.constant(4, 0.01) == Plan(epochs=4, learning_rate=0.01, optimizer="sgd", momentum=0.9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_momentum_is_refused_where_the_optimizer_would_ignore_it(optimizer):
    plain = make_optimizer(Plan(optimizer=optimizer), nn.Linear(2, 2))
    if "momentum" in plain.param_groups[0]:
        plan = Plan(optimizer=optimizer, momentum=0.9)
        assert make_optimizer(plan, nn.Linear(2, 2)).param_groups[0]["momentum"] == 0.9
    else:
        with pytest.raises(ArgumentError, match=rf"momentum goes with optimizer = 'sgd' or 'rmsprop': '{optimizer}' "):
            Plan(optimizer=optimizer, momentum=0.9)


@pytest.mark.parametrize(
    ("plan", "kind", "expected"),
    [
        (Plan(), torch.optim.Adam, {"lr": 1e-3, "weight_decay": 0.0}),
        (Plan(optimizer="adamw", weight_decay=0.1, learning_rate=0.5), torch.optim.AdamW, {"weight_decay": 0.1}),
        (
            Plan(optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.2),
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.2},
        ),
        (Plan(optimizer="rmsprop", momentum=0.5, weight_decay=0.2), torch.optim.RMSprop, {"momentum": 0.5}),
    ],
)
def test_the_optimizer_is_the_plans(plan, kind, expected):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    optimizer = make_optimizer(plan, model)
    assert type(optimizer) is kind
    assert expected.items() <= optimizer.param_groups[0].items()
    assert optimizer.param_groups[0]["lr"] == plan.learning_rate
    assert optimizer.param_groups[0]["weight_decay"] == plan.weight_decay
    assert len(optimizer.param_groups[0]["params"]) == 3


def test_a_model_without_a_trainable_parameter_cannot_be_trained():
    with pytest.raises(TrainingError, match=r"nothing to train: no parameter of Linear requires a gradient"):
        make_optimizer(Plan(), nn.Linear(2, 2).requires_grad_(False))


def test_a_plan_imports_no_torch():
    code = "import sys, prunus.training.plan; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
