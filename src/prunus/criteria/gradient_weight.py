"""Gradient × weight."""

from __future__ import annotations

from torch import Tensor

from prunus.criteria.elementwise import ElementwiseScores
from prunus.criteria.gradients import telling_gradients
from prunus.criteria.subject import Scores, Subject


def gradient_weight(subject: Subject) -> Scores:
    """First-order change of the loss when a weight is removed, as an absolute value: |w · ∂L/∂w|.

    Gradients are means over all examples of ``subject.batches``.

    Returns:
        parameter name → tensor of the parameter's shape, in float32 at least; higher stays.

    Raises:
        ArgumentError: there are no batches, or the parameters cannot have gradients.
        ScoreError: all gradients are zero.

    Source: Blalock et al. 2020, section 7, "gradient magnitude pruning" (arXiv:2003.03033).
    """
    return ElementwiseScores(_change, (subject.weights(), telling_gradients(subject)))


def _change(weight: Tensor, gradient: Tensor) -> Tensor:
    return (weight * gradient).abs()
