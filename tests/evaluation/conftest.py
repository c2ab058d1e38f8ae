from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class TwoHeaded(nn.Module):
    """Returns a dict, which no measurement understands."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, inputs):
        return {"logits": self.linear(inputs)}


@pytest.fixture
def dict_model():
    return TwoHeaded()


class Restless(nn.Module):
    """Changes buffers in both ways, draws random numbers, and may fail half-way."""

    def __init__(self, fails=False):
        super().__init__()
        self.fails = fails
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(4))

    def forward(self, inputs):
        self.calls += 1
        self.last = torch.ones(4) * self.calls
        torch.rand(3)
        if self.fails:
            raise ZeroDivisionError
        return self.linear(self.drop(self.norm(inputs)))


@pytest.fixture(params=[False, True], ids=["returns", "fails"])
def restless(request):
    model = Restless(request.param).train()
    model.drop.eval()
    model.linear.weight.grad = torch.ones(3, 4)
    return model


@pytest.fixture
def unchanged():
    """Everything of a model that a measurement must leave as it was, as one comparable value."""

    def picture(model):
        return (
            {name: tensor.tolist() for name, tensor in model.state_dict().items()},
            {name: id(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())},
            {name: tensor._version for name, tensor in model.named_parameters()},
            {name: tensor.requires_grad for name, tensor in model.named_parameters()},
            {name: None if p.grad is None else p.grad.tolist() for name, p in model.named_parameters()},
            [module.training for module in model.modules()],
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
        )

    return picture
