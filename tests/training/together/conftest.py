from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def _on_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Running(nn.Module):
    """Subtracts a running mean that is no tensor written to in place, and so is not that of a copy."""

    def __init__(self, features, kind):
        super().__init__()
        self.kind, self.calls, self.total = kind, 0, torch.zeros(features)
        self.register_buffer("mean", torch.zeros(features))

    def forward(self, inputs):
        if not self.training:
            return inputs - self.mean - self.total + self.calls / 100
        new = inputs.detach().mean(0)
        if self.kind == "buffer":
            self.mean = 0.9 * self.mean + 0.1 * new
        elif self.kind == "attribute":
            self.total = self.total + new
        elif self.kind == "in place":
            self.total += new
        else:
            self.calls += 1
        return inputs - new


@pytest.fixture(params=["buffer", "attribute", "in place", "count"])
def running(request):
    """Makes a module that keeps something of its own while it is trained."""
    return lambda features: Running(features, request.param)
