"""Training a model with its linear layers in quicker forms."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from prunus.criteria.undisturbed import undisturbed
from prunus.masks.masks import Masks
from prunus.training.batches import Batch
from prunus.training.penalties import Penalized
from prunus.training.together.attributes import Attributes
from prunus.training.together.chain import Chain, has_hooks
from prunus.training.together.choice import chosen_forms, is_chain
from prunus.training.together.direct import DirectOptimizer
from prunus.training.together.fit import Fit
from prunus.training.together.forms import Form, Kept
from prunus.training.trainer import Trainer

TOLERANCE = 1e-3  # of the greatest value: far above rounding, far below what another computation would give
Forms = Mapping[nn.Linear, Form]


def fit_quickly(fit: Fit) -> list[float] | None:
    """Train a model with its linear layers in other forms, to the weights of ``fit.alone()`` but for rounding.

    Returns:
        mean loss of every epoch; None where nothing is to be gained, or the other forms do not compute the same, and
        the model is as it was.

    Raises:
        TrainingError: the loss or a weight is no longer finite.
    """
    model, masks = fit.model, fit.masks or Masks({})
    if has_hooks(model) or not any(each.requires_grad for each in model.parameters()):
        return None
    masks.apply(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        forms = chosen_forms(fit)
        other = _with_forms(model, forms) if forms else None
        if other is None:
            return None
        trainer = fit.trainer
        if is_chain(fit):
            trainer = replace(trainer, differentiate=Chain(other, trainer).differentiate)
        if not _computes_the_same(fit, trainer, other, forms):
            return None

        def write_back() -> None:
            for form in forms.values():
                form.write_back()

        def look(step: int, _: nn.Module) -> None:
            write_back()
            cast(Any, fit.trainer.look)(step, model)

        trainer = replace(trainer, look=look if trainer.look else None)
        held = None if trainer.differentiate else _masks_to_hold(model, masks, forms)
        optimizer = DirectOptimizer(trainer.plan, other) if trainer.differentiate else None
        losses = trainer.fit(other, fit.seed, masks=held, stretch=fit.stretch, optimizer=optimizer)
        write_back()
    return losses


def _with_forms(model: nn.Module, forms: Forms) -> nn.Module | None:
    """The model with forms in place of layers; it shares all other parameters. None where it cannot be copied."""
    memo: dict[int, Any] = {id(each): each for each in (*model.parameters(), *model.buffers())}
    try:
        return copy.deepcopy(model, memo | {id(layer): form for layer, form in forms.items()})
    except Exception:  # whatever a model raises that cannot be copied
        return None


def _masks_to_hold(model: nn.Module, masks: Masks, forms: Forms) -> Masks:
    """Those of parameters that are trained and of which more than the kept weights are there."""
    apart = {id(layer.weight) for layer, form in forms.items() if isinstance(form, Kept)}
    parameters = masks.parameters_of(model)
    held = {name for name, each in parameters.items() if each.requires_grad and id(each) not in apart}
    return Masks({name: mask for name, mask in masks.items() if name in held})


def _computes_the_same(fit: Fit, trainer: Trainer, other: nn.Module, forms: Forms) -> bool:
    """Whether loss and gradients of one batch are the same but for rounding."""
    batch = next(iter(fit.trainer.batches.epoch(0, fit.seed)))
    by_weight = {id(form.weight): (layer, form) for layer, form in forms.items()}
    trained = [each for each in other.parameters() if each.requires_grad]
    theirs = [by_weight[id(each)][0].weight if id(each) in by_weight else each for each in trained]
    both = nn.ModuleList([fit.model, other])
    with undisturbed(both, hide_gradients=True), Attributes(fit.model) as attributes:
        state = torch.get_rng_state()
        sees_weights = _sees_weights(fit.trainer, fit.model, batch)
        torch.set_rng_state(state)
        expected = _gradients(fit.trainer, fit.model, batch, theirs)
        if sees_weights or attributes.replaced():
            return False
        torch.set_rng_state(state)
        try:
            found = _gradients(trainer, other, batch, trained)
        except Exception:  # whatever a model raises that looks at the weights of its layers
            return False
    for number, each in enumerate(trained):
        if id(each) in by_weight:
            expected[number] = by_weight[id(each)][1].picked(expected[number])
    return all(map(_close, expected, found))


def _sees_weights(trainer: Trainer, model: nn.Module, batch: Batch) -> bool:
    """Whether the loss depends on weights past the outputs, as a penalty does.

    What that adds to the gradients may be as little as rounding at first, or nothing yet.
    """
    if isinstance(trainer.loss, Penalized):
        return True
    model.train()
    with torch.no_grad():
        outputs = model(batch[0])
    return trainer.outputs_loss(outputs, *batch).requires_grad


def _gradients(trainer: Trainer, model: nn.Module, batch: Batch, trained: Sequence[Tensor]) -> list[Tensor]:
    """Derivatives of the loss, and the loss."""
    model.train()
    if trainer.differentiate is not None:
        loss = trainer.differentiate(*batch)
        return [*(cast(Tensor, each.grad) for each in trained), loss]
    loss = trainer.batch_loss(model, *batch)
    return [*torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True), loss.detach()]


def _close(first: Tensor, second: Tensor) -> bool:
    scale = float(first.abs().max()) if first.numel() else 0.0
    return bool(((first - second).abs() <= TOLERANCE * scale).all())
