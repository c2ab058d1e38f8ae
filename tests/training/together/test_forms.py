from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunus.training.together.forms import DENSEST_SAMPLED, FEWEST_SAMPLED, Kept, Whole
from prunus.training.together.products import FEWEST_MULTIPLICATIONS, Places, affine

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [4, 70])  # too few for oneDNN, and enough
@pytest.mark.parametrize("with_bias", [True, False])
def test_an_affine_map_is_that_of_a_linear_layer_however_its_factors_lie_in_memory(dtype, rows, with_bias):
    inputs, weight = torch.randn(rows, 200, dtype=dtype), torch.randn(100, 200, dtype=dtype)
    bias = torch.randn(100, dtype=dtype) if with_bias else None
    assert (rows * weight.numel() >= FEWEST_MULTIPLICATIONS) == (rows == 70)
    expected = nn.functional.linear(inputs, weight, bias)
    for first in (inputs, inputs.t().contiguous().t()):
        for second in (weight, weight.t().contiguous().t()):
            assert torch.allclose(affine(first, second, bias), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_with_a_matrix_at_places_are_those_with_it_whole(dtype):
    mask = torch.rand(30, 50) < 0.2
    mask[4], mask[:, 7] = False, False  # an empty row, and a column
    whole = torch.randn(30, 50, dtype=dtype) * mask
    places = Places.of(mask)
    other, first = torch.randn(50, 20, dtype=dtype), torch.randn(30, 20, dtype=dtype)
    assert torch.equal(places.matrix(whole[mask]).to_dense(), whole)
    assert torch.allclose(places.product(whole[mask], other), whole @ other, atol=1e-5)
    assert torch.allclose(places.sampled(whole[mask], first, other.t()), (first @ other.t())[mask], atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 5, 30), (FEWEST_SAMPLED, 30), (2, 30), (30,)])
@pytest.mark.parametrize("density", [DENSEST_SAMPLED / 2, 0.3, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_form_computes_and_differentiates_as_its_layer(shape, density, dtype):
    layer = nn.Linear(30, 50).to(dtype)
    mask = torch.ones(50, 30, dtype=torch.bool) if density is None else torch.rand(50, 30) < density
    with torch.no_grad():
        layer.weight[~mask] = 0
    form = Whole(copy.deepcopy(layer)) if density is None else Kept(copy.deepcopy(layer), mask)
    inputs = torch.randn(shape, dtype=dtype, requires_grad=True)
    other = inputs.detach().clone().requires_grad_(True)
    direction = torch.randn(*shape[:-1], 50, dtype=dtype)
    outputs, expected = form(inputs), layer(other)
    assert outputs.shape == expected.shape
    assert torch.allclose(outputs, expected, atol=1e-5)
    (outputs * direction).sum().backward()
    (expected * direction).sum().backward()
    assert torch.allclose(inputs.grad, other.grad, atol=1e-5)
    assert torch.allclose(form.bias.grad, layer.bias.grad, atol=1e-5)
    assert torch.allclose(form.weight.grad, form.picked(layer.weight.grad), atol=1e-5)


def test_kept_weights_are_written_back_into_their_layer():
    layer = nn.Linear(3, 2, bias=False)
    form = Kept(layer, torch.tensor([[True, False, False], [False, True, True]]))
    with torch.no_grad():
        form.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    form.write_back()
    assert layer.weight.tolist() == [[1, 0, 0], [0, 2, 3]]


def test_nothing_differentiates_a_form_twice():
    form = Whole(nn.Linear(3, 2))
    inputs = torch.randn(4, 3, requires_grad=True)
    [gradient] = torch.autograd.grad(form(inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
