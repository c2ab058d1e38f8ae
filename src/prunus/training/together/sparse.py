"""Training sparse layers at a cost in proportion to what is left of them."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from dataclasses import replace
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from prunus.criteria.undisturbed import undisturbed
from prunus.masks.masks import Masks
from prunus.training.batches import Batch
from prunus.training.together.fit import Fit

# Denser or smaller layers are computed sooner in full.
HIGHEST_DENSITY = 0.18
FEWEST_WEIGHTS = 20_000
TOLERANCE = 1e-3  # of the greatest value: far above rounding, far below what another computation would give


@final
class SparseLinear(nn.Module):
    """A linear layer of which only the kept weights exist: they are computed with, differentiated and updated.

    Args:
        layer: whose weights are zero where the mask removes; its bias is shared.
        mask: bool of the weight's shape.
    """

    def __init__(self, layer: nn.Linear, mask: Tensor) -> None:
        super().__init__()
        self._layer = (layer,)  # a tuple, so that it does not count as a module of this one
        self._shape = mask.shape
        self._places = mask.flatten().nonzero().flatten()
        weight = layer.weight.detach()
        self.weight = nn.Parameter(weight.flatten()[self._places])  # so called where a message names it
        self.bias = layer.bias
        self._rows = _structure(mask)
        self._columns = _structure(mask.t())
        numbers = torch.zeros(mask.shape, dtype=torch.int64).flatten()
        numbers[self._places] = torch.arange(len(self._places))
        self._by_column = numbers.view(mask.shape).t()[mask.t()]

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        outputs = cast(Tensor, _Product.apply(rows, self.weight, self))
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs.view(*inputs.shape[:-1], -1)

    def by_rows(self, values: Tensor) -> Tensor:
        """The weight, compressed by rows."""
        return torch.sparse_csr_tensor(*self._rows, values, self._shape, check_invariants=False)

    def by_columns(self, values: Tensor) -> Tensor:
        """The transposed weight, compressed by its rows."""
        values = values.index_select(0, self._by_column)
        return torch.sparse_csr_tensor(*self._columns, values, self._shape[::-1], check_invariants=False)

    @torch.no_grad()
    def write_back(self) -> None:
        """Give the layer the kept weights as they are now; all others are 0.0."""
        self._layer[0].weight.zero_().view(-1)[self._places] = self.weight


class _Product(torch.autograd.Function):
    """x Wᵀ for a sparse W, and its derivatives at the kept weights alone."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, values: Tensor, layer: SparseLinear) -> Tensor:
        columns = inputs.t().contiguous()  # as they are where another sparse layer made them
        context.save_for_backward(columns, values)
        context.layer = layer
        return (layer.by_rows(values) @ columns).t()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        columns, values = context.saved_tensors
        layer, arriving = context.layer, gradient.t().contiguous()
        by_inputs = (layer.by_columns(values) @ arriving).t() if context.needs_input_grad[0] else None
        sampled = torch.sparse.sampled_addmm(layer.by_rows(values), arriving, columns.t(), beta=0.0)
        return by_inputs, sampled.values(), None


def fit_sparse(fit: Fit) -> list[float] | None:
    """Train a model whose layers are sparse, to the weights of ``fit.alone()`` but for rounding.

    Returns:
        mean loss of every epoch; None where no layer is sparse enough, or the sparse model does not compute the same,
        and the model is as it was.

    Raises:
        TrainingError: the loss or a weight is no longer finite.
    """
    layers = _sparse_layers(fit)
    if not layers:
        return None
    model, masks = fit.model, cast(Masks, fit.masks)
    masks.apply(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        sparse = {name: SparseLinear(layer, masks[f"{name}.weight"]) for name, layer in layers.items()}
        memo: dict[int, Any] = {id(each): each for each in (*model.parameters(), *model.buffers())}
        memo |= {id(layers[name]): sparse[name] for name in layers}
        try:
            other = copy.deepcopy(model, memo)
        except Exception:  # whatever a model raises that cannot be copied
            return None
        if not _computes_the_same(fit, other, sparse, next(iter(fit.trainer.batches.epoch(0, fit.seed)))):
            return None

        def write_back() -> None:
            for layer in sparse.values():
                layer.write_back()

        def look(step: int, _: nn.Module) -> None:
            write_back()
            cast(Any, fit.trainer.look)(step, model)

        trainer = replace(fit.trainer, look=look if fit.trainer.look else None)
        rest = Masks({name: mask for name, mask in masks.items() if name.removesuffix(".weight") not in layers})
        losses = trainer.fit(other, fit.seed, masks=rest, stretch=fit.stretch)
        write_back()
    return losses


def _sparse_layers(fit: Fit) -> dict[str, nn.Linear]:
    """Name → layer of those that are sparse enough to gain."""
    if not fit.masks or any(each.device.type != "cpu" for each in fit.model.parameters()):
        return {}
    counted = Counter(id(each) for _, each in fit.model.named_parameters(remove_duplicate=False))
    return {
        name: layer
        for name, layer in fit.model.named_modules()
        if type(layer) is nn.Linear
        and f"{name}.weight" in fit.masks
        and layer.weight.dtype in (torch.float32, torch.float64)
        and layer.weight.requires_grad
        and counted[id(layer.weight)] == 1
        and layer.weight.numel() >= FEWEST_WEIGHTS
        and 0 < int(fit.masks[f"{name}.weight"].count_nonzero()) <= HIGHEST_DENSITY * layer.weight.numel()
    }


def _structure(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row begins among the kept weights, and the column of each."""
    begins = torch.zeros(len(mask) + 1, dtype=torch.int64)
    begins[1:] = mask.sum(1).cumsum(0)
    return begins, mask.nonzero()[:, 1].contiguous()


def _computes_the_same(fit: Fit, other: nn.Module, sparse: dict[str, SparseLinear], batch: Batch) -> bool:
    """Whether loss and gradients of one batch are the same but for rounding."""
    layers = sparse.values()
    with undisturbed(nn.ModuleList([fit.model, other]), hide_gradients=True):
        state = torch.get_rng_state()
        loss, whole = _gradients(fit, fit.model, batch, [layer._layer[0].weight for layer in layers])
        torch.set_rng_state(state)
        try:
            same_loss, kept = _gradients(fit, other, batch, [layer.weight for layer in layers])
        except Exception:  # whatever a model raises that looks at the weights of its layers
            return False
    at_kept = [each.flatten()[layer._places] for each, layer in zip(whole, layers, strict=True)]
    return all(map(_close, [loss, *at_kept], [same_loss, *kept]))


def _gradients(fit: Fit, model: nn.Module, batch: Batch, weights: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    model.train()
    loss = fit.trainer.batch_loss(model, *batch)
    return loss.detach(), torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)


def _close(first: Tensor, second: Tensor) -> bool:
    scale = float(first.abs().max()) if first.numel() else 0.0
    return bool(((first - second).abs() <= TOLERANCE * scale).all())
