"""Mask criteria: scores from where a weight began and where training took it.

Of the initial weight w_i and the final weight w_f. What the paper calls "large final" is ``magnitude``; what it calls
"movement" is ``distance_moved`` here, because another criterion has that name. All return parameter name → float tensor
of the parameter's shape; higher stays.

Source: Zhou et al. 2019, the mask criteria (arXiv:1905.01067), and ``get_weight_init.py`` of the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from prunus.criteria.elementwise import ElementwiseScores
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError


def small_final(subject: Subject) -> Scores:
    """−|w_f|: the control that keeps the smallest weights."""
    return ElementwiseScores(_small, (subject.weights(),))


def large_initial(subject: Subject) -> Scores:
    """|w_i|.

    Raises:
        ArgumentError: the initial weights are not known, or are not those of these parameters.
    """
    return ElementwiseScores(torch.abs, (_initial(subject),))


def small_initial(subject: Subject) -> Scores:
    """−|w_i|.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return ElementwiseScores(_small, (_initial(subject),))


def large_initial_large_final(subject: Subject) -> Scores:
    """min(α|w_f|, |w_i|): the weights that were large and are.

    As in the authors' code, α makes both thresholds fall on the same percentile of the layer: the score is the smaller
    of the two percentiles, in float64.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return _ranked(subject, torch.abs)


def small_initial_small_final(subject: Subject) -> Scores:
    """−max(α|w_f|, |w_i|): the weights that were small and are, by percentiles as in ``large_initial_large_final``.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return _ranked(subject, _small)


def magnitude_increase(subject: Subject) -> Scores:
    """|w_f| − |w_i|.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return _compared(subject, _increase)


def distance_moved(subject: Subject) -> Scores:
    """|w_f − w_i|.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return _compared(subject, lambda final, initial: (final - initial).abs())


def large_final_same_sign(subject: Subject) -> Scores:
    """max(0, w_f · w_i / |w_i|): |w_f| of the weights that kept their sign, 0 of the others.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return _compared(subject, lambda final, initial: torch.where(_same_sign(final, initial), final.abs(), 0.0))


def magnitude_increase_same_sign(subject: Subject) -> Scores:
    """|w_f| − |w_i| of the weights that kept their sign, 0 of the others, as in the authors' code.

    Raises:
        ArgumentError: see ``large_initial``.
    """
    return _compared(
        subject, lambda final, initial: torch.where(_same_sign(final, initial), _increase(final, initial), 0.0)
    )


def _initial(subject: Subject) -> dict[str, Tensor]:
    """Name → initial weight, where the weight is."""
    if subject.initial is None:
        raise ArgumentError(
            "this criterion compares weights with what they were before training: pass initial={parameter name: tensor}"
        )
    found = {}
    for name, weight in subject.weights().items():
        value = subject.initial.get(name)
        if value is None or value.shape != weight.shape:
            kind = "is missing" if value is None else f"has shape {tuple(value.shape)}"
            raise ArgumentError(
                f"the initial value of {name!r} {kind}, the parameter has shape {tuple(weight.shape)}: give those of "
                "this model"
            )
        found[name] = value.detach().to(weight.device)
    return found


def _compared(subject: Subject, function: Callable[[Tensor, Tensor], Tensor]) -> Scores:
    return ElementwiseScores(function, (subject.weights(), _initial(subject)))


def _ranked(subject: Subject, size: Callable[[Tensor], Tensor]) -> Scores:
    initial = _initial(subject)
    return {
        name: torch.minimum(_percentiles(size(weight)), _percentiles(size(initial[name])))
        for name, weight in subject.weights().items()
    }


def _percentiles(values: Tensor) -> Tensor:
    """Which fraction of the values are smaller than each."""
    flat = values.reshape(-1)
    return (torch.searchsorted(flat.sort().values, flat).double() / flat.numel()).reshape(values.shape)


def _small(weight: Tensor) -> Tensor:
    return -weight.abs()


def _increase(final: Tensor, initial: Tensor) -> Tensor:
    return final.abs() - initial.abs()


def _same_sign(final: Tensor, initial: Tensor) -> Tensor:
    return final.sign() == initial.sign()
