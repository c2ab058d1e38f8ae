from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunus.training.batches import TensorBatches
from prunus.training.plan import Plan
from prunus.training.together.chain import Chain, links
from prunus.training.together.forms import Kept, Whole
from prunus.training.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")


def sequence(*modules):
    torch.manual_seed(0)
    return nn.Sequential(*modules)


def mlp(**settings):
    return sequence(nn.Flatten(), nn.Sequential(nn.Linear(24, 30), nn.ReLU(**settings)), nn.Linear(30, 20, bias=False))


def tied():
    model = sequence(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24))
    model[2].weight = model[0].weight
    return model


def twice():
    layer = nn.Linear(24, 24)
    return sequence(layer, nn.ReLU(), layer)


class OfItsOwn(nn.Sequential):
    def forward(self, inputs):
        return super().forward(inputs) * 2


def hooked(register):
    model = mlp()
    getattr(model[1][0], register)(lambda *_: None)
    return model


def overridden():
    model = mlp()
    model[1].forward = lambda inputs: inputs
    return model


@pytest.mark.parametrize(
    "model",
    [mlp(), mlp(inplace=True), sequence(nn.Linear(24, 30)), sequence(nn.Linear(24, 30), nn.Linear(30, 3), nn.ReLU())],
)
def test_linear_layers_in_sequence_are_a_chain(model):
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    modules = [*model.modules(), None]
    found = links(model)
    assert [*found] == layers
    for layer, rectified in found.items():
        assert rectified == isinstance(modules[modules.index(layer) + 1], nn.ReLU)


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(24, 30),
        sequence(),
        sequence(nn.Flatten()),
        sequence(nn.ReLU(), nn.Linear(24, 30)),
        sequence(nn.Linear(24, 30), nn.Tanh()),
        sequence(nn.Linear(24, 30), nn.Flatten(), nn.Linear(30, 3)),
        sequence(nn.Flatten(2), nn.Linear(24, 30)),
        sequence(nn.Linear(24, 30), nn.Dropout(), nn.Linear(30, 3)),
        sequence(nn.Linear(24, 30), nn.BatchNorm1d(30)),
        OfItsOwn(nn.Linear(24, 30)),
        sequence(OfItsOwn(nn.Linear(24, 30))),
        hooked("register_forward_hook"),
        hooked("register_forward_pre_hook"),
        hooked("register_full_backward_hook"),
        overridden(),
        tied(),
        twice(),
        sequence(nn.utils.parametrizations.weight_norm(nn.Linear(24, 30))),
    ],
)
def test_what_might_compute_otherwise_is_no_chain(model):
    assert links(model) is None


@pytest.mark.parametrize("trained", ["all", "no weight", "last"])
@pytest.mark.parametrize("shape", [(50, 4, 6), (7, 3, 24)], ids=["flattened", "of sequences"])
def test_derivatives_of_a_chain_are_those_that_torch_finds(shape, trained):
    flattened = shape[-1] == 6
    model = sequence(
        *[nn.Flatten()] * flattened, nn.Linear(24, 30), nn.ReLU(), nn.Linear(30, 20, False), nn.Linear(20, 5)
    )
    layers = [module for module in model if type(module) is nn.Linear]
    mask = torch.rand(30, 24) < 0.1
    with torch.no_grad():
        layers[0].weight[~mask] = 0
    for name, parameter in model.named_parameters():
        frozen = {"all": False, "no weight": "weight" in name, "last": parameter not in {*layers[-1].parameters()}}
        parameter.requires_grad_(not frozen[trained])
    expected = copy.deepcopy(model)
    forms = [Kept(layers[0], mask), Whole(layers[1], torch.rand(20, 30) < 0.5), Whole(layers[2])]
    forms[0].weight.requires_grad_(layers[0].weight.requires_grad)
    modules = dict(zip(layers, forms, strict=True))
    inputs = torch.randn(shape)
    targets = torch.randn(50, 5) if flattened else torch.randn(7, 3, 5)
    trainer = Trainer(TensorBatches(inputs, targets, 50), Plan(), nn.functional.mse_loss)
    loss = Chain(nn.Sequential(*(modules.get(each, each) for each in model)), trainer).differentiate(inputs, targets)
    whole = trainer.batch_loss(expected, inputs, targets)
    whole.backward()
    assert not loss.requires_grad
    assert float(loss) == pytest.approx(float(whole.detach()), abs=1e-6)
    for form, layer in zip(forms, [module for module in expected if type(module) is nn.Linear], strict=True):
        for ours, theirs, picked in (
            (form.weight, layer.weight, form.picked),
            (form.bias, layer.bias, lambda each: each),
        ):
            if theirs is None or theirs.grad is None:
                assert ours is None or ours.grad is None
            else:
                assert torch.allclose(ours.grad, picked(theirs.grad), atol=1e-6)
