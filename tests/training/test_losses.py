from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from prunus.training.losses import cross_entropy, cross_entropy_and_derivative, is_cross_entropy

CLASSES = torch.tensor([0, 3, -100, 2, 2, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("targets", [CLASSES, torch.full((6,), -100)], ids=["classes", "none that counts"])
def test_cross_entropy_and_its_derivative_are_to_the_bit_what_torch_finds(dtype, targets):
    logits = torch.randn(6, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    recorded = logits.clone().requires_grad_(True)
    expected = cross_entropy(recorded, targets)
    [derivative] = torch.autograd.grad(expected, recorded)
    found = cross_entropy_and_derivative(logits, targets)
    for ours, theirs in zip(found, (expected, derivative), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("loss", [cross_entropy, functional.cross_entropy])
def test_cross_entropy_of_single_classes_is_known_and_nothing_else_is(loss):
    logits = torch.zeros(6, 4)
    assert is_cross_entropy(loss, logits, CLASSES)
    assert not is_cross_entropy(loss, logits, torch.rand(6, 4))
    assert not is_cross_entropy(loss, torch.zeros(6, 3, 4), CLASSES[:, None].repeat(1, 3))
    assert not is_cross_entropy(functional.nll_loss, logits, CLASSES)
    assert not is_cross_entropy(lambda *arguments: 2 * loss(*arguments), logits, CLASSES)
