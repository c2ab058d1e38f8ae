from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import prunus
from prunus.errors import TrainingError
from prunus.tasks.load import build_model
from prunus.training.batches import TensorBatches
from prunus.training.distillation import Distillation
from prunus.training.plan import Plan
from prunus.training.together import stacked
from prunus.training.together.advance import BATCH_BYTES, LARGEST_BYTES, STACK_BYTES, fit_together, stack_size
from prunus.training.together.fit import Fit
from prunus.training.trainer import WHOLE, Stretch, Trainer


@pytest.fixture
def stacks(monkeypatch):
    """How many models each stack had that was trained to the end."""
    sizes = []
    train = stacked.fit_stacked

    def noted(fits):
        outcomes = train(fits)
        if outcomes is not None:
            sizes.append(len(fits))
        return outcomes

    monkeypatch.setattr("prunus.training.together.advance.fit_stacked", noted)
    return sizes


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(64, 64), nn.Linear(64, 64, bias=False), nn.Linear(64, 10)

    def forward(self, inputs):
        hidden = torch.tanh(self.first(inputs.flatten(1)))
        return self.out(hidden + self.second(hidden).relu())


class OfTheWholeBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(64, 10)

    def forward(self, inputs):
        return self.out(inputs.flatten(1) - inputs.mean())


class ScaledOnceLarge(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, inputs):
        hidden = self.hidden(inputs.flatten(1)).relu()
        return self.out(hidden / (hidden.max() / 2).clamp(min=1))


class CalledTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, inputs):
        return self.out(self.hidden(self.hidden(inputs.flatten(1)).relu()))


class CannotBeCopied(Residual):
    def __deepcopy__(self, memo):
        raise TypeError("not this one")


def mlp():
    return build_model("mlp", (8, 8), 10)


def tied():
    first, second = nn.Linear(64, 64), nn.Linear(64, 64)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(64, 10))


def dropping():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.3), nn.Linear(16, 10))


def made(build, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def digits(count=150):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 8, 8, generator=generator), torch.randint(10, (count,), generator=generator)


def trainer(batch=60, count=150, **plan):
    return Trainer(TensorBatches(*digits(count), batch), Plan(batch_size=batch, **{"epochs": 4, **plan}))


def asked(build, training, count=3, stretch=WHOLE, dense=()):
    fits = []
    for seed in range(count):
        model = made(build, seed)
        masks = None if seed in dense else prunus.prune(model, 0.5 + 0.1 * seed, criterion="random", seed=seed)
        fits.append(Fit(training, model, 40 + seed, masks, stretch))
    return fits


def same_as_alone(fits):
    """Whether weights, buffers and losses are to the bit those of each training alone."""
    alone = [copy.deepcopy(fit) for fit in fits]
    together = fit_together(fits)
    losses = [fit.alone() for fit in alone]
    return together == losses and all(
        torch.equal(ours, theirs)
        for fit, other in zip(fits, alone, strict=True)
        for ours, theirs in zip(fit.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "plan",
    [
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "adamw", "weight_decay": 0.1, "decay": "cosine", "warmup_steps": 3},
        {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "clip_norm": 0.5},
        {"optimizer": "rmsprop", "momentum": 0.5, "decay": "steps"},
    ],
    ids=lambda plan: plan["optimizer"],
)
def test_a_stack_ends_bit_for_bit_as_its_models_alone(plan, stacks):
    fits = asked(mlp, trainer(**plan), count=4, dense=(2,))
    assert same_as_alone(fits)
    assert stacks == [4]
    for fit in fits:
        removed = [fit.model.get_parameter(name)[~mask] for name, mask in (fit.masks or {}).items()]
        assert all(bool((weights == 0).all()) for weights in removed)


@pytest.mark.parametrize("build", [Residual, CalledTwice, tied], ids=["residual", "called twice", "tied"])
def test_models_with_a_forward_of_their_own_are_stacked(build, stacks):
    assert same_as_alone(asked(build, trainer()))
    assert stacks == [3]


def test_models_that_cannot_be_copied_are_trained_alone(stacks):
    fits = asked(CannotBeCopied, trainer())
    again = asked(CannotBeCopied, trainer())
    assert fit_together(fits) == [fit.alone() for fit in again]
    assert stacks == []


@pytest.mark.parametrize("build", [OfTheWholeBatch, dropping], ids=["whole batch", "dropout"])
def test_what_a_stack_would_compute_otherwise_is_trained_alone(build, stacks):
    assert same_as_alone(asked(build, trainer()))
    assert stacks == []


def test_what_a_model_keeps_of_its_own_is_as_alone(running, stacks):
    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), running(16), nn.Linear(16, 10))

    fits = asked(build, trainer())
    alone = [copy.deepcopy(fit) for fit in fits]
    assert fit_together(fits) == [fit.alone() for fit in alone]
    inputs = torch.rand(5, 64)
    for fit, other in zip(fits, alone, strict=True):
        assert torch.equal(fit.model.eval()(inputs), other.model.eval()(inputs))


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
@pytest.mark.parametrize("inputs", [64, 2000], ids=["small", "large"])
def test_hooks_of_parameters_are_called(register, inputs, stacks):
    """A copy of a parameter has none of its hooks."""

    def hooked(seed):
        calls = []
        model = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 10)), seed)
        getattr(model[1].weight, register)(lambda _: calls.append(seed))
        return model, calls

    images, targets = torch.rand(150, inputs), torch.randint(10, (150,))
    training = Trainer(TensorBatches(images, targets, 60), Plan(batch_size=60, epochs=4))
    models = [hooked(seed) for seed in range(2)]
    fit_together([Fit(training, model, 1) for model, _ in models])
    assert [len(calls) for _, calls in models] == [12, 12]
    assert stacks == []


def test_what_a_stack_that_is_given_up_has_done_is_undone(stacks):
    """Of buffers too that are in no state dict, and whatever else is in one."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("batches", torch.zeros(()), persistent=False)

        def forward(self, inputs):
            self.batches += self.training
            return inputs

        def get_extra_state(self):
            return {"version": 1}

    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.counting, self.out = Counting(), nn.Linear(64, 10)

        def forward(self, inputs):
            hidden = self.counting(inputs.flatten(1))
            return self.out(hidden + (len(inputs) == 3 * 30))  # the last batches of three models

    fits = asked(Late, trainer())
    alone = [copy.deepcopy(fit) for fit in fits]
    assert fit_together(fits) == [fit.alone() for fit in alone]
    assert [float(fit.model.counting.batches) for fit in fits] == [12, 12, 12]
    assert stacks == []


@pytest.mark.parametrize(("widths", "batch"), [((64, 7, 10), 2), ((64, 5, 10), 3), ((64, 30, 10), 5), ((64, 5, 10), 6)])
def test_a_stack_of_few_rows_or_columns_ends_bit_for_bit_too(widths, batch):
    """Their products may round otherwise, which a single batch may hide."""
    first, hidden, last = widths

    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(first, hidden), nn.ReLU(), nn.Linear(hidden, last))

    for optimizer in ("sgd", "adam", "rmsprop"):
        assert same_as_alone(asked(build, trainer(batch, 61, optimizer=optimizer), dense=(0, 1, 2)))


@pytest.mark.parametrize("activation", [nn.ELU, nn.Mish, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus])
def test_a_stack_of_other_activations_ends_bit_for_bit_too(activation, stacks):
    """Their kernels compute the end of a tensor otherwise, which a single batch may hide."""

    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), activation(), nn.Linear(20, 10))

    assert same_as_alone(asked(build, trainer(15, optimizer="sgd"), dense=(0, 1, 2)))
    assert stacks == [3]


def test_what_a_stack_computes_otherwise_at_last_is_trained_alone(stacks):
    assert same_as_alone(asked(ScaledOnceLarge, trainer(batch=75, learning_rate=0.1)))
    assert stacks == []


def test_a_part_of_the_plan_is_trained_as_one_alone(stacks):
    assert same_as_alone(asked(mlp, trainer(), stretch=Stretch(4, 9)))
    assert stacks == [3]


def test_an_early_last_batch_of_another_size_is_trained_too(stacks):
    assert same_as_alone(asked(mlp, trainer(batch=64, count=150)))
    assert stacks == [3]


def test_one_whose_loss_is_lost_leaves_the_others_alone(stacks):
    fits = asked(mlp, trainer())
    with torch.no_grad():
        next(fits[1].model.parameters()).fill_(1e38)
    alone = [copy.deepcopy(fit) for fit in fits]
    first, second, third = fit_together(fits)
    with pytest.raises(TrainingError, match="the training loss became") as caught:
        alone[1].alone()
    assert (first, third) == (alone[0].alone(), alone[2].alone())
    assert isinstance(second, TrainingError)
    assert str(second) == str(caught.value)
    assert stacks == [3]


def test_what_cannot_be_one_model_is_trained_in_groups(stacks):
    first, second = trainer(), trainer(learning_rate=0.1)
    wide = Fit(first, made(lambda: build_model("lenet-300-100", (28, 28), 10), 1), 3)
    small = asked(mlp, first) + asked(mlp, second, count=2)
    kept = [copy.deepcopy(fit) for fit in small]
    taught = Fit(
        Trainer(first.batches, first.plan, distillation=Distillation(mlp(), loss=cross_entropy)), made(mlp, 9), 1
    )
    *outcomes, failed, _ = fit_together([*small, wide, taught])
    assert outcomes == [fit.alone() for fit in kept]
    assert isinstance(failed, RuntimeError)  # it was made for larger images
    assert stacks == [3, 2]


def test_a_small_model_ends_to_the_bit_the_same_whatever_is_trained_beside_it():
    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 340), nn.ReLU(), nn.Linear(340, 10))

    fits, alone = asked(build, trainer()), asked(build, trainer(), count=1)
    for fit in (fits[0], alone[0]):
        prunus.prune(fit.model, 0.9).apply(fit.model)
    masks = prunus.Masks({"1.weight": fits[0].model[1].weight != 0})
    assert stack_size(fits[0].model, fits[0].trainer.plan) > 1
    fit_together([replace(fits[0], masks=masks), *fits[1:]])
    fit_together([replace(alone[0], masks=masks)])
    for one, other in zip(fits[0].model.parameters(), alone[0].model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_models_have_memory_of_their_own_afterwards(stacks):
    fits = asked(mlp, trainer())
    fit_together(fits)
    addresses = {parameter.untyped_storage().data_ptr() for fit in fits for parameter in fit.model.parameters()}
    assert len(addresses) == sum(len([*fit.model.parameters()]) for fit in fits)
    assert all(parameter.grad is None for fit in fits for parameter in fit.model.parameters())
    assert stacks == [3]


def test_how_many_are_one_model_is_a_matter_of_size_and_kind():
    def size(model):
        return stack_size(model, Plan())

    assert size(mlp()) > 8
    assert size(build_model("lenet-300-100", (28, 28), 10)) == 1
    assert size(build_model("lenet-5", (1, 28, 28), 10)) == 1
    assert size(nn.ReLU()) == 1
    assert size(nn.Linear(8, LARGEST_BYTES)) == 1
    assert size(nn.Linear(64, 2)) == 64


def test_large_batches_are_not_multiplied_by_the_number_of_models():
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 400), nn.ReLU(), nn.Linear(400, 10))
    small, large = stack_size(wide, Plan()), stack_size(wide, Plan(batch_size=4000))
    assert small == STACK_BYTES // sum(4 * each.numel() for each in wide.parameters())
    assert large == BATCH_BYTES // (2 * 4 * 4000 * (64 + 400 + 400 + 10)) < small
    assert stack_size(wide, Plan(batch_size=40_000)) == 1
