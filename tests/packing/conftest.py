from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunus.files.sealed import RawTensor, seal


def bits_of(tensor: Tensor) -> bytes:
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1).clone()
    return bytes(flat.as_strided((flat.numel(),), (1,)).view(torch.uint8).tolist())


@pytest.fixture
def same() -> Callable[[Tensor, Tensor], bool]:
    """Whether two tensors have one dtype, one shape and the same bits."""
    return lambda first, second: (
        first.dtype == second.dtype and first.shape == second.shape and bits_of(first) == bits_of(second)
    )


@pytest.fixture
def forged() -> Callable[..., bytes]:
    """A file with a good digest, whose records say what the test wants."""

    def forge(records: object, tensors: dict[str, RawTensor]) -> bytes:
        text = records if isinstance(records, str) else json.dumps(records)
        return seal("model", 1, tensors, {"prunus.tensors": text})

    return forge


@pytest.fixture
def resealed() -> Callable[[bytes], bytes]:
    """The bytes with a digest that fits them, as a hostile author would make it."""

    def reseal(data: bytes) -> bytes:
        marker = b'"prunus.sha256":"'
        if marker not in data:
            return data
        place = data.index(marker) + len(marker)
        blank = data[:place] + b"0" * 64 + data[place + 64 :]
        return data[:place] + hashlib.sha256(blank).hexdigest().encode() + data[place + 64 :]

    return reseal


class Net(nn.Module):
    """Weights, biases, buffers and a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(20, 12)
        self.norm = nn.BatchNorm1d(12)
        self.second = nn.Linear(12, 20, bias=False)
        self.tied = nn.Linear(12, 20, bias=False)
        self.tied.weight = self.second.weight

    def forward(self, batch: Tensor) -> Tensor:
        return self.tied(self.norm(self.first(batch)))


@pytest.fixture
def make_net() -> Callable[[int], Net]:
    """A new network from a seed."""

    def make(seed: int) -> Net:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return Net()

    return make


@pytest.fixture
def pruned_net(make_net: Callable[[int], Net]) -> tuple[Net, dict[str, Tensor]]:
    """A network whose two weights are pruned to a quarter, and its masks."""
    net = make_net(0)
    masks = {}
    with torch.no_grad():
        for name in ("first.weight", "second.weight"):
            weight = net.get_parameter(name)
            masks[name] = torch.arange(weight.numel()).reshape(weight.shape) % 4 == 0
            weight.masked_fill_(~masks[name], 0.0)
    return net, masks
