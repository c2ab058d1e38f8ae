from __future__ import annotations

import pytest
import torch
from torch import nn

import prunus
from prunus.tasks.load import build_model
from prunus.training.batches import TensorBatches
from prunus.training.plan import Plan
from prunus.training.together.choice import chosen_forms, is_chain
from prunus.training.together.fit import Fit
from prunus.training.together.forms import Kept, Whole
from prunus.training.trainer import Trainer


def asked(model, density, optimizer="adam"):
    batches = TensorBatches(torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64), 4)
    masks = None if density == 1 else prunus.prune(model, 1 - density, scope="layer", criterion="random", seed=0)
    return Fit(Trainer(batches, Plan(optimizer=optimizer)), model, 0, masks)


def lenet():
    return build_model("lenet-300-100", (1, 28, 28), 10)


def convolving():
    return build_model("lenet-5", (1, 28, 28), 10)


def tied():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 784), nn.ReLU(), nn.Linear(784, 784))
    model[3].weight = model[1].weight
    return model


@pytest.mark.parametrize(
    ("model", "density", "expected"),
    [
        (lenet(), 1, {"fc1": Whole, "fc2": Whole, "fc3": Whole}),
        (lenet(), 0.4, {"fc1": Whole, "fc2": Whole, "fc3": Whole}),
        (lenet(), 0.3, {"fc1": Kept, "fc2": Kept, "fc3": Whole}),
        (lenet().double(), 0.3, {"fc1": Whole, "fc2": Whole, "fc3": Whole}),
        (lenet().half(), 0.1, {}),
        (convolving(), 0.3, {}),
        (convolving(), 0.1, {"fc1": Kept}),
        (tied(), 0.1, {}),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 1, {}),
    ],
)
def test_the_form_of_a_layer_follows_from_its_mask_and_size(model, density, expected):
    found = chosen_forms(asked(model, density))
    names = {id(module): name for name, module in model.named_modules()}
    assert {names[id(layer)]: type(form) for layer, form in found.items()} == expected


def test_where_masks_are_held_otherwise_a_chain_is_none():
    model = lenet()
    assert is_chain(asked(model, 0.5))
    assert is_chain(asked(model, 1, "sgd"))
    fit = asked(model, 0.5, "rmsprop")
    assert not is_chain(fit)
    assert [type(form) for form in chosen_forms(fit).values()] == [Whole]  # the first layer alone is large
