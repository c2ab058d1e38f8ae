"""Scoring a model and leaving no trace."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from prunus.criteria.elementwise import Computed, ElementwiseScores
from prunus.criteria.subject import Scores, Subject
from prunus.criteria.table import CRITERIA
from prunus.criteria.undisturbed import undisturbed
from prunus.errors import ArgumentError, ScoreError
from prunus.lookup import own_code, require_settings
from prunus.masks.pieces import PIECE

Criterion = Callable[[Subject], Scores]
_SMALL = 1 << 24  # bytes that are copied sooner than every operator of one pass is looked at


def resolve_criterion(criterion: str | Criterion, settings: Mapping[str, Any] | None = None) -> Criterion:
    """A name of the table, a user's ``"package.module:name"``, or a callable, as a callable.

    A class stands for its instance with the settings.

    Raises:
        UnknownNameError: no such name.
        ArgumentError: not callable, or it has no such settings.
        UserCodeError: an error arises in the user's own module or class.
    """
    with _own_code(criterion):
        found = CRITERIA.resolve(criterion) if isinstance(criterion, str) else criterion
        if inspect.isclass(found):
            require_settings(found, settings or {})
            found = found(**(settings or {}))
        elif settings:
            raise ArgumentError(f"the criterion {_label(criterion)!r} has no settings, got {', '.join(settings)}")
    if not callable(found):
        raise ArgumentError(f"a criterion is a function of a Subject, got {type(found).__name__}")
    return found


def score(subject: Subject, criterion: str | Criterion, name: str | None = None) -> Scores:
    """The criterion's scores, checked.

    The model, its gradients, buffers and mode, and torch's random state are afterwards exactly as before.

    Args:
        subject: the model with its parameters in scope.
        criterion: see ``resolve_criterion``.
        name: by which errors call the criterion.

    Returns:
        parameter name → score tensor of the parameter's shape, in the order of ``subject.parameters``; computed where
        it is looked at if the criterion says ``ElementwiseScores``, a copy otherwise.

    Raises:
        ScoreError: scores are missing, of the wrong shape or dtype, or not finite.
        UserCodeError: an error arises in a criterion given as ``"package.module:name"``; one that is given as a
            function raises its own.
    """
    function = resolve_criterion(criterion)
    known = str(getattr(function, "__module__", "")).startswith("prunus.")  # anybody else's may write through NumPy
    with undisturbed(subject.model, copy_first=not known or _is_small(subject.model), hide_gradients=known):
        with _own_code(name or criterion):
            scores = function(subject)
        if not isinstance(scores, ElementwiseScores):
            return _checked(scores, subject, name or _label(criterion))
    return _checked(scores, subject, name or _label(criterion))  # of the weights as whoever ranks them will find them


def _is_small(model: nn.Module) -> bool:
    return sum(parameter.nbytes for parameter in model.parameters() if not is_lazy(parameter)) <= _SMALL


def _label(criterion: str | Criterion) -> str:
    return criterion if isinstance(criterion, str) else getattr(criterion, "__name__", type(criterion).__name__)


def _own_code(criterion: str | Criterion) -> AbstractContextManager[None]:
    return own_code(criterion if isinstance(criterion, str) else "")


def _checked(scores: object, subject: Subject, label: str) -> Scores:
    if not isinstance(scores, Mapping) or scores.keys() != subject.parameters.keys():
        raise ScoreError(f"the criterion {label!r} must return one score tensor for each of the parameters in scope")
    lazy = isinstance(scores, ElementwiseScores)
    for name, parameter in subject.parameters.items():
        found = None if lazy else scores[name]
        if not lazy and not (
            isinstance(found, Tensor) and found.is_floating_point() and found.shape == parameter.shape
        ):
            kind = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ScoreError(
                f"the criterion {label!r} must score {name!r} by a float tensor of shape {tuple(parameter.shape)}, "
                f"got {kind}"
            )
        computed = Computed.of(scores, name)
        pieces = (computed.part(slice(start, start + PIECE)) for start in range(0, computed.count, PIECE))
        broken = sum(int((~piece.isfinite()).sum()) for piece in pieces if not _finite(piece))
        if broken:
            raise ScoreError(
                f"the criterion {label!r} gave {broken} scores of {name!r} that are NaN or infinite: "
                "look for such weights, data or losses"
            )
    if isinstance(scores, ElementwiseScores):
        return scores
    # Copies: a criterion may give back the weights themselves, which training would change later.
    return {name: scores[name].detach().clone() for name in subject.parameters}


def _finite(piece: Tensor) -> bool:
    if math.isfinite(piece.sum().item()):
        return True
    lowest, highest = piece.aminmax()  # finite scores may have an infinite sum, but slower to see; a NaN is both
    return bool(lowest.isfinite() and highest.isfinite())
