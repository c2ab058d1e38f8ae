"""Fisher."""

from __future__ import annotations

from prunus.criteria.elementwise import ElementwiseScores
from prunus.criteria.gradients import require_telling
from prunus.criteria.squared_gradients import mean_squared_gradients
from prunus.criteria.subject import Scores, Subject


def fisher(subject: Subject) -> Scores:
    """Second-order change of the loss when a weight is removed, by the empirical Fisher matrix: ½ w² · mean_n g_n².

    g_n is the gradient of the loss of one example, in evaluation mode. The loss must be the mean over examples.

    Returns:
        parameter name → tensor of the parameter's shape, in float32 at least; higher stays.

    Raises:
        ArgumentError: there are no batches, or not as many targets as inputs.
        ScoreError: every gradient is zero.

    Source: Theis et al. 2018, "Fisher pruning" (arXiv:1801.05787).
    """
    squares = mean_squared_gradients(subject)
    require_telling(squares, "the gradient of every example")
    return ElementwiseScores(lambda weight, square: weight.square() * square / 2, (subject.weights(), squares))
