"""Scoring a model and leaving no trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from prunus.criteria.subject import Scores, Subject
from prunus.criteria.table import CRITERIA
from prunus.errors import ArgumentError, ScoreError

Criterion = Callable[[Subject], Scores]


def resolve_criterion(criterion: str | Criterion) -> Criterion:
    """A name of the table, a user's ``"package.module:name"``, or a callable, as a callable.

    A class stands for its instance with default settings.

    Raises:
        UnknownNameError: no such name.
        ArgumentError: not callable.
    """
    found = CRITERIA.resolve(criterion) if isinstance(criterion, str) else criterion
    if inspect.isclass(found):
        found = found()
    if not callable(found):
        raise ArgumentError(f"a criterion is a function of a Subject, got {type(found).__name__}")
    return found


def score(subject: Subject, criterion: str | Criterion) -> Scores:
    """The criterion's scores, checked.

    The model, its gradients, buffers and mode, and torch's random state are afterwards exactly as before.

    Returns:
        parameter name → score tensor of the parameter's shape, in the order of ``subject.parameters``.

    Raises:
        ScoreError: scores are missing, of the wrong shape or dtype, or not finite.
    """
    function = resolve_criterion(criterion)
    label = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", type(criterion).__name__)
    with undisturbed(subject.model):
        return _checked(function(subject), subject, label)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore parameters, gradients, buffers, modes and torch's random state on leaving, also after an error."""
    modules = [(m, m.training, dict(m._parameters), dict(m._buffers)) for m in model.modules()]
    values = [(tensor, tensor.detach().clone()) for tensor in [*model.parameters(), *model.buffers()]]
    gradients = [
        (p, p.requires_grad, p.grad, None if p.grad is None else p.grad.detach().clone()) for p in model.parameters()
    ]
    devices = sorted({parameter.device.index for parameter in model.parameters() if parameter.is_cuda})
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for module, training, parameters, buffers in modules:
            module.training = training
            module._parameters.update(parameters)
            module._buffers.update(buffers)
        for tensor, before in values:
            _write_back(tensor, before)
        for parameter, trained, gradient, before_it in gradients:
            parameter.requires_grad_(trained)
            parameter.grad = gradient
            if gradient is not None and before_it is not None:
                _write_back(gradient, before_it)


def _write_back(tensor: Tensor, before: Tensor) -> None:
    # Version counters do not tell what changed: batch normalisation and writers through ``.data`` leave them alone.
    # What is equal is not written, so that a graph that the caller holds stays valid.
    if not torch.equal(tensor, before):
        tensor.data.copy_(before)


def _checked(scores: object, subject: Subject, label: str) -> Scores:
    if not isinstance(scores, dict) or scores.keys() != subject.parameters.keys():
        raise ScoreError(f"the criterion {label!r} must return one score tensor for each of the parameters in scope")
    for name, parameter in subject.parameters.items():
        found = scores[name]
        if not isinstance(found, Tensor) or not found.is_floating_point() or found.shape != parameter.shape:
            kind = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ScoreError(
                f"the criterion {label!r} must score {name!r} by a float tensor of shape {tuple(parameter.shape)}, "
                f"got {kind}"
            )
        if not bool(torch.isfinite(found).all()):
            broken = int((~torch.isfinite(found)).sum())
            raise ScoreError(
                f"the criterion {label!r} gave {broken} scores of {name!r} that are NaN or infinite: "
                "look for such weights, data or losses"
            )
    # Copies: a criterion may give back the weights themselves, which training would change later.
    return {name: scores[name].detach().clone() for name in subject.parameters}
