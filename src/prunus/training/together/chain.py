"""Models that are linear layers one after the other, differentiated without a record of operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, final

import torch
from torch import Tensor, nn

from prunus.training.losses import cross_entropy_and_derivative, is_cross_entropy
from prunus.training.together.forms import Form
from prunus.training.trainer import Trainer

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@final
class Chain:
    """Forms of linear layers one after the other, some with a ReLU behind them.

    Args:
        model: of which ``links`` is not None, all its layers being forms.
        trainer: whose loss of the outputs torch differentiates, unless it is the mean cross-entropy.
    """

    def __init__(self, model: nn.Module, trainer: Trainer) -> None:
        self._links = cast(dict[Form, bool], links(model))
        self._flattens, self._trainer = _flattens(model), trainer

    @torch.no_grad()
    def differentiate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch; its derivatives become the gradients of the parameters."""
        rows = inputs.flatten(1) if self._flattens else inputs.reshape(-1, inputs.shape[-1])
        passed = []
        for form, rectified in self._links.items():
            rows, kept = form.outputs(rows, rectified)
            passed.append((form, rectified, kept, rows))
        outputs = rows.view(*(inputs.shape[:1] if self._flattens else inputs.shape[:-1]), -1)
        loss, gradient = self._loss_and_gradient(outputs, inputs, targets)
        gradient = gradient.reshape(rows.shape)
        first = passed[0][0]
        for form, rectified, kept, rows in reversed(passed):
            if rectified:
                gradient = torch.ops.aten.threshold_backward(gradient, rows, 0)
            if form.weight.requires_grad:
                form.weight.grad = None  # its memory, which is near, is that of the next
                form.weight.grad = form.by_weight(gradient, kept)
            if form.bias is not None and form.bias.requires_grad:
                form.bias.grad = gradient.sum(0)
            if form is not first:
                gradient = form.by_inputs(gradient)
        return loss

    def _loss_and_gradient(self, outputs: Tensor, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        trainer = self._trainer
        if trainer.distillation is None and is_cross_entropy(trainer.loss, outputs, targets):
            return cross_entropy_and_derivative(outputs, targets)
        with torch.enable_grad():
            loss = trainer.outputs_loss(outputs.requires_grad_(), inputs, targets)
            [gradient] = torch.autograd.grad(loss, outputs)
        return loss.detach(), gradient


def links(model: nn.Module) -> dict[nn.Module, bool] | None:
    """The linear layers in their order, each with whether a ReLU follows, if all else is their being in sequence.

    Nothing that computes otherwise can pass for such a model: it consists of torch's own classes, without hooks, and
    without parameters that layers share. At its beginning it may flatten every example.
    """
    if type(model) is not nn.Sequential or any(map(is_changed, model.modules())):
        return None
    if len([*model.parameters()]) < len([*model.named_parameters(remove_duplicate=False)]):
        return None
    found: dict[nn.Module, bool] = {}
    last = None
    for module in [*_leaves(model)][_flattens(model) :]:
        if type(module) is nn.Linear or isinstance(module, Form):
            last, found[module] = module, False
        elif type(module) is nn.ReLU and last is not None and not found[last]:
            found[last] = True
        else:
            return None
    return found or None


def is_changed(module: nn.Module) -> bool:
    """Whether a module does other things than its class says: it has hooks, or a ``forward`` of its own."""
    return "forward" in vars(module) or any(getattr(module, name) for name in _HOOKS)


def has_hooks(model: nn.Module) -> bool:
    """Whether parameters have hooks, which see or change gradients that torch finds, and no others."""
    return any(each._backward_hooks or each._post_accumulate_grad_hooks for each in model.parameters())


def _flattens(model: nn.Module) -> bool:
    first = next(_leaves(model), None)
    return type(first) is nn.Flatten and (first.start_dim, first.end_dim) == (1, -1)


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for child in module:
            yield from _leaves(child)
    else:
        yield module
