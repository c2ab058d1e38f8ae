from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from prunus.errors import ArgumentError, TrainingError
from prunus.masks.masks import Masks
from prunus.training.batches import LoaderBatches, TensorBatches
from prunus.training.plan import Plan
from prunus.training.trainer import Stretch, Trainer

PLAN = Plan(epochs=3, batch_size=8, optimizer="sgd", learning_rate=0.1, decay="linear", warmup_steps=2)


def data():
    generator = torch.Generator().manual_seed(4)
    inputs = torch.randn(30, 6, generator=generator)
    return inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()


def small_model(dropout=0.0):
    generator = torch.Generator().manual_seed(9)
    with torch.random.fork_rng():
        model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Dropout(dropout), nn.Linear(10, 3))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return model


def trainer(plan=PLAN, augment=None):
    return Trainer(TensorBatches(*data(), plan.batch_size, augment), plan)


def weights(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


def jitter(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)


def fitted(seed=0, dropout=0.0, augment=None, plan=PLAN, **settings):
    model = small_model(dropout)
    losses = trainer(plan, augment).fit(model, seed, **settings)
    return weights(model), losses


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.5}, {"augment": jitter}])
def test_training_depends_on_its_arguments_alone(settings):
    torch.manual_seed(1)
    first, losses = fitted(**settings)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second, again = fitted(**settings)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert losses == again
    assert not torch.equal(first, fitted(seed=1, **settings)[0])


def test_dropout_and_augmentation_take_part():
    plain = fitted()[0]
    assert not torch.equal(plain, fitted(dropout=0.5)[0])
    assert not torch.equal(plain, fitted(augment=jitter)[0])


def test_training_is_the_loop_that_anyone_would_write():
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=True)
    inputs, targets = data()
    batches = TensorBatches(inputs, targets, 8)
    means, number = [], 0
    for epoch in range(3):
        losses = []
        for x, y in batches.epoch(epoch, 0):
            optimizer.param_groups[0]["lr"] = PLAN.rate(number, 12)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            number += 1
        means.append(sum(losses) / len(losses))
    found, losses = fitted()
    assert torch.equal(found, weights(model))
    assert losses == pytest.approx(means)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("split", [0, 1, 4, 5, 11, 12])
@pytest.mark.parametrize("augment", [None, jitter])
def test_two_stretches_see_what_one_run_sees(split, augment):
    whole, losses = fitted(augment=augment)
    model = small_model()
    parts = []
    rates = []

    def watch(step, optimizer):
        rates.append((step, optimizer.param_groups[0]["lr"]))

    for stretch in (Stretch(stop=split), Stretch(start=split)):
        parts += trainer(augment=augment).fit(model, 0, stretch=stretch, watch=watch)
    assert torch.equal(weights(model), whole)
    assert rates == [(step + 1, PLAN.rate(step, 12)) for step in range(12)]
    if split % 4 == 0:
        assert parts == losses


def test_a_split_between_epochs_changes_neither_dropout_nor_the_order_of_a_loader():
    dataset = TensorDataset(*data())

    def fit(model, *stretches):
        loader = DataLoader(dataset, batch_size=8, shuffle=True)
        for stretch in stretches:
            Trainer(LoaderBatches(loader), PLAN).fit(model, 0, stretch=stretch)
        return weights(model)

    whole = fit(small_model(0.5), Stretch())
    torch.manual_seed(77)
    assert torch.equal(fit(small_model(0.5), Stretch(stop=4), Stretch(start=4)), whole)


def test_a_loader_without_a_generator_is_shuffled_anew_in_every_epoch():
    seen = []

    def loss(outputs, targets):
        seen.append(targets.tolist())
        return nn.functional.cross_entropy(outputs, targets)

    loader = DataLoader(TensorDataset(*data()), batch_size=8, shuffle=True)
    Trainer(LoaderBatches(loader), PLAN, loss).fit(small_model(), 0)
    assert seen[:4] != seen[4:8] != seen[8:]


def test_a_loader_trains():
    loader = DataLoader(TensorDataset(*data()), batch_size=8, shuffle=True, generator=torch.Generator())
    first, second = small_model(), small_model()
    losses = Trainer(LoaderBatches(loader), PLAN).fit(first, 0)
    Trainer(LoaderBatches(loader), PLAN).fit(second, 0)
    assert losses[-1] < losses[0]
    assert torch.equal(weights(first), weights(second))


def test_masks_are_held_throughout():
    model = small_model()
    masks = Masks({"0.weight": torch.rand(10, 6, generator=torch.Generator().manual_seed(1)) > 0.5})
    seen = []

    def watch(step, optimizer):
        seen.append(bool((model[0].weight[~masks["0.weight"]] == 0).all()))

    trainer(Plan(epochs=1, batch_size=8, optimizer="adamw", weight_decay=0.1)).fit(model, 0, masks=masks, watch=watch)
    assert seen == [True] * 4
    assert (model[0].weight[masks["0.weight"]] != 0).all()
    assert not model[0].weight._post_accumulate_grad_hooks
    trainer().fit(small_model(), 0, masks=Masks({}))


def test_the_norm_is_clipped():
    norms = []
    model = small_model()
    plan = Plan(epochs=1, batch_size=8, optimizer="sgd", clip_norm=0.01)

    def watch(step, optimizer):
        norms.append(torch.cat([weight.grad.reshape(-1) for weight in model.parameters()]).norm().item())

    trainer(plan).fit(model, 0, watch=watch)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_a_given_optimizer_goes_on_with_its_momentum():
    plan = Plan(epochs=2, batch_size=8, optimizer="sgd", learning_rate=0.1, momentum=0.9)
    whole = fitted(plan=plan)[0]
    model = small_model()
    optimizer = trainer(plan).make_optimizer(model)
    for stretch in (Stretch(stop=3), Stretch(start=3)):
        trainer(plan).fit(model, 0, stretch=stretch, optimizer=optimizer)
    torch.testing.assert_close(weights(model), whole)
    assert not torch.equal(fitted(plan=plan, stretch=Stretch(stop=3))[0], whole)


def test_the_model_is_left_in_training_mode():
    model = small_model().eval()
    trainer().fit(model, 0, stretch=Stretch(stop=1))
    assert model.training


@pytest.mark.parametrize("stretch", [Stretch(-1), Stretch(0, 13), Stretch(5, 4), Stretch(13)])
def test_a_stretch_outside_the_plan_is_refused(stretch):
    with pytest.raises(ArgumentError, match=r"cannot train from step"):
        trainer().fit(small_model(), 0, stretch=stretch)


def test_a_loss_that_is_not_finite_ends_training():
    inputs, targets = data()
    inputs[3] = float("nan")
    state = torch.get_rng_state()
    model = small_model()
    masks = Masks({"0.weight": torch.ones(10, 6, dtype=torch.bool)})
    with pytest.raises(TrainingError, match=r"the training loss became nan before step 4: lower learning_rate"):
        Trainer(TensorBatches(inputs, targets, 8), PLAN).fit(model, 0, masks=masks)
    assert torch.equal(torch.get_rng_state(), state)
    assert not model[0].weight._post_accumulate_grad_hooks


def test_the_batches_share_no_state_between_models():
    shared = trainer(augment=jitter)
    first, second = small_model(), copy.deepcopy(small_model())
    shared.fit(first, 0)
    shared.fit(second, 0)
    assert torch.equal(weights(first), weights(second))


def test_weights_that_are_not_finite_after_the_last_step_are_told():
    model = nn.Linear(2, 2)
    batches = TensorBatches(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]), 4)
    with pytest.raises(TrainingError, match=r"weight.* values that are not finite: lower learning_rate"):
        Trainer(batches, Plan(epochs=1, optimizer="sgd", learning_rate=1e38, weight_decay=1e3)).fit(model, 0)
