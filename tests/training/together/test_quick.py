from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import prunus
from prunus.errors import TrainingError
from prunus.tasks.load import build_model
from prunus.training.batches import TensorBatches
from prunus.training.distillation import Distillation
from prunus.training.penalties import L1, Penalized
from prunus.training.plan import Plan
from prunus.training.together.advance import fit_together
from prunus.training.together.fit import Fit
from prunus.training.together.quick import fit_quickly
from prunus.training.trainer import Stretch, Trainer


def trainer(loss=nn.functional.cross_entropy, look=None, dtype=torch.float32, **plan):
    generator = torch.Generator().manual_seed(2)
    inputs, targets = torch.rand(150, 1, 28, 28, generator=generator), torch.randint(10, (150,), generator=generator)
    settings = Plan(**{"epochs": 4, "batch_size": 60, **plan})
    return Trainer(TensorBatches(inputs.to(dtype), targets, 60), settings, loss, look=look)


def lenet():
    return build_model("lenet-300-100", (1, 28, 28), 10)


class WithBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.out = nn.Linear(784, 64, bias=False), nn.BatchNorm1d(64), nn.Linear(64, 10)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        return self.out(nn.functional.dropout(self.norm(self.hidden(inputs.flatten(1))).relu(), 0.1, self.training))


class WithForwardOfItsOwn(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.out = nn.Linear(784, 200), nn.Linear(200, 10)

    def forward(self, inputs):
        return self.out(torch.tanh(self.wide(inputs.flatten(1))))


class LooksAtWeights(WithBatchNorm):
    def forward(self, inputs):
        return super().forward(inputs) * self.hidden.weight.norm(dim=1).mean()


class CannotBeCopied(WithBatchNorm):
    def __deepcopy__(self, memo):
        raise TypeError("not this one")


def tied():
    first, second = nn.Linear(784, 784), nn.Linear(784, 784)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(784, 10))


def hooked():
    model = WithForwardOfItsOwn()
    model.wide.register_forward_hook(lambda *_: None)
    return model


def frozen():
    return lenet().requires_grad_(False)


def asked(build, training, sparsity=0.9, stretch=None, **choice):
    torch.manual_seed(3)
    model = build()
    masks = prunus.prune(model, sparsity, **choice)
    return Fit(training, model, 5, masks, stretch or Stretch())


def difference(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max(float((one - other).abs().max()) for one, other in pairs)


@pytest.mark.parametrize(
    "plan",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1, "decay": "cosine"},
        {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "clip_norm": 0.5, "weight_decay": 1e-3},
        {"optimizer": "rmsprop", "learning_rate": 1e-4},
    ],
    ids=lambda plan: plan["optimizer"],
)
@pytest.mark.parametrize(
    ("build", "sparsity"),
    [(lenet, 0.95), (lenet, 0.8), (lenet, 0.5), (WithBatchNorm, 0.9), (WithForwardOfItsOwn, 0.5)],
    ids=["sampled", "picked", "whole", "batch norm", "forward of its own"],
)
def test_a_whole_training_ends_as_the_usual_one_but_for_rounding(build, sparsity, plan):
    fit = asked(build, trainer(**plan), sparsity)
    dense = copy.deepcopy(fit)
    losses, expected = fit_quickly(fit), dense.alone()
    assert losses == pytest.approx(expected, abs=1e-5)
    assert difference(fit.model, dense.model) < 1e-4
    for name, mask in fit.masks.items():
        weights = fit.model.get_parameter(name)[~mask]
        assert bool((weights == 0).all())
        assert not bool(torch.signbit(weights).any())


def test_in_double_precision_there_is_next_to_no_rounding():
    fit = asked(lambda: lenet().double(), trainer(dtype=torch.float64))
    dense = copy.deepcopy(fit)
    fit_quickly(fit)
    dense.alone()
    assert difference(fit.model, dense.model) < 1e-12


@pytest.mark.parametrize("sparsity", [0.95, 0.8, 0.3])
def test_a_training_ends_to_the_bit_as_it_ends_beside_others(sparsity):
    beside = [asked(lenet, trainer(), sparsity), asked(lenet, trainer(optimizer="sgd"), 0.5)]
    alone = asked(lenet, trainer(), sparsity)
    assert fit_together(beside)[0] == fit_together([alone])[0]
    assert difference(beside[0].model, alone.model) == 0


def test_a_network_without_masks_and_its_distilled_student_are_trained_too():
    fit = asked(lenet, trainer(), 0.0)
    teacher = Distillation(lenet(), loss=nn.functional.cross_entropy)
    for training in (fit.trainer, replace(fit.trainer, distillation=teacher)):
        ours, dense = (copy.deepcopy(replace(fit, trainer=training, masks=None)) for _ in range(2))
        assert fit_quickly(ours) == pytest.approx(dense.alone(), abs=1e-5)
        assert difference(ours.model, dense.model) < 1e-4


def test_what_a_mask_removes_of_a_bias_stays_removed():
    fit = asked(lenet, trainer())
    masks = prunus.Masks({**fit.masks, "fc1.bias": torch.arange(300) < 100})
    fit, dense = (copy.deepcopy(replace(fit, masks=masks)) for _ in range(2))
    assert fit_quickly(fit) == pytest.approx(dense.alone(), abs=1e-5)
    assert not fit.model.fc1.bias[100:].any()
    assert fit.model.fc1.bias.any()
    assert difference(fit.model, dense.model) < 1e-4


def test_a_frozen_layer_that_is_pruned_too_stays_as_it_is():
    def build():
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.Tanh(), nn.Linear(100, 300), nn.Linear(300, 10))
        model[1].requires_grad_(False)
        return model

    fit = asked(build, trainer(), scope="layer", exclude=["4"])
    frozen, dense = fit.model[1].weight.clone(), copy.deepcopy(fit)
    assert fit_quickly(fit) == pytest.approx(dense.alone(), abs=1e-5)
    assert torch.equal(fit.model[1].weight, frozen * fit.masks["1.weight"])
    assert difference(fit.model, dense.model) < 1e-4


def test_a_part_of_the_plan_is_trained():
    fit = asked(lenet, trainer(), stretch=Stretch(4, 9))
    dense = copy.deepcopy(fit)
    assert fit_quickly(fit) == pytest.approx(dense.alone(), abs=1e-5)


def test_what_is_looked_at_meanwhile_are_the_weights_of_then():
    def looking(seen):
        return lambda step, model: seen.append((step, model.fc1.weight.detach().clone()))

    seen, expected = [], []
    fit_quickly(asked(lenet, trainer(look=looking(seen), evaluate_every=2)))
    asked(lenet, trainer(look=looking(expected), evaluate_every=2)).alone()
    assert [step for step, _ in seen] == [step for step, _ in expected] == [2, 4, 6, 8, 10, 12]
    assert all(torch.allclose(one, other, atol=1e-5) for (_, one), (_, other) in zip(seen, expected, strict=True))
    assert not torch.equal(seen[0][1], seen[-1][1])


@pytest.mark.parametrize(
    ("build", "training", "choice"),
    [
        (lambda: WithBatchNorm().double(), trainer(dtype=torch.float64), {"sparsity": 0.5}),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 25), nn.ReLU(), nn.Linear(25, 10)), trainer(), {}),
        (lambda: build_model("lenet-5", (1, 28, 28), 10), trainer(), {"include": ["conv*"]}),
        (tied, trainer(), {}),
        (hooked, trainer(), {}),
        (frozen, trainer(), {}),
        (LooksAtWeights, trainer(), {}),
        (CannotBeCopied, trainer(), {}),
    ],
    ids=[
        "double and dense",
        "small",
        "convolutions",
        "tied",
        "hooks",
        "frozen",
        "looks at weights",
        "cannot be copied",
    ],
)
def test_what_would_gain_nothing_or_compute_otherwise_is_left_alone(build, training, choice):
    fit = asked(build, training, **choice)
    before = copy.deepcopy(fit.model.state_dict())
    assert fit_quickly(fit) is None
    assert all(torch.equal(value, before[name]) for name, value in fit.model.state_dict().items())


@pytest.mark.parametrize("strength", [0.1, 1e-5, 1e-7])
@pytest.mark.parametrize("sparsity", [0.9, 0.0])
@pytest.mark.parametrize("told", [True, False])
def test_a_penalty_on_weights_is_not_lost_however_weak(strength, sparsity, told):
    torch.manual_seed(3)
    model = lenet()
    masks = prunus.prune(model, sparsity)
    penalty = L1(strength)

    def penalised(outputs, targets):
        return nn.functional.cross_entropy(outputs, targets) + penalty(model)

    loss = Penalized(nn.functional.cross_entropy, penalty, model) if told else penalised
    assert fit_quickly(Fit(trainer(loss), model, 5, masks)) is None


def test_a_penalty_that_begins_late_is_not_lost():
    torch.manual_seed(3)
    model, calls = lenet(), []

    def late(penalised):
        calls.append(len(calls))
        return L1(1.0)(penalised) if len(calls) > 5 else torch.zeros(())

    [losses] = fit_together([Fit(trainer(Penalized(nn.functional.cross_entropy, late, model)), model, 5)])
    assert losses[-1] > 100


def test_layers_that_lose_everything_or_share_their_weights_stay_dense():
    fit = asked(lenet, trainer(), 0.9)
    emptied = prunus.Masks({**fit.masks, "fc1.weight": torch.zeros(300, 784, dtype=torch.bool)})
    [losses] = fit_together([Fit(fit.trainer, fit.model, 5, emptied)])
    assert len(losses) == 4
    assert int(fit.model.fc1.weight.count_nonzero()) == 0


def test_a_loss_that_is_lost_is_told():
    with pytest.raises(TrainingError, match="lower learning_rate"):
        fit_quickly(asked(lenet, trainer(learning_rate=1e20)))
    fit = asked(lenet, trainer())
    with torch.no_grad():
        fit.model.fc2.bias.fill_(float("nan"))
    [error] = fit_together([fit])
    assert isinstance(error, TrainingError)


def test_what_drops_out_is_the_same():
    """What is dropped is drawn in the order of the outputs in memory, and a sparse layer gives them transposed."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 120), nn.Dropout(0.3), nn.Linear(120, 10)).double()
    masks = prunus.Masks({"1.weight": torch.rand(120, 784) < 0.02})
    masks.apply(model)
    other = copy.deepcopy(model)
    settings = trainer(dtype=torch.float64, learning_rate=0.01)
    expected = Fit(settings, model, 3, masks).alone()
    found = fit_quickly(Fit(settings, other, 3, masks))
    assert found == pytest.approx(expected, rel=1e-12)
    for name, weight in model.state_dict().items():
        assert torch.allclose(other.state_dict()[name], weight, rtol=0, atol=1e-11), name


def test_what_a_model_keeps_of_its_own_is_not_left_with_a_copy(running):
    def build():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 120, bias=False), running(120), nn.Linear(120, 10)).double()

    model, other = build(), build()
    settings = trainer(dtype=torch.float64)
    masks = prunus.prune(model, 0.95)
    assert fit_together([Fit(settings, model, 3, masks)]) == [Fit(settings, other, 3, masks).alone()]
    inputs = torch.rand(5, 784, dtype=torch.float64)
    assert torch.equal(model.eval()(inputs), other.eval()(inputs))
