"""Average percentage of zeros."""

from __future__ import annotations

from prunus.criteria.subject import Scores, Subject
from prunus.criteria.unit_outputs import spread, unit_means
from prunus.errors import ScoreError


def apoz(subject: Subject) -> Scores:
    """How often a unit is active: 1 − APoZ, the fraction of its activations that are not zero.

    Over all examples and positions, in evaluation mode; a unit is an output of a linear layer or convolution, for its
    activation see ``prunus.criteria.unit_outputs``. All weights of a unit have its score. A layer that no ReLU follows,
    such as the last, is never zero: its units score 1.

    Returns:
        parameter name → tensor of the parameter's shape, in float32 at least, in [0, 1]; higher stays.

    Raises:
        ScoreError: a weight is of no linear layer or convolution, or no unit is ever zero.
        ArgumentError: there are no batches.

    Source: Hu et al. 2016, "average percentage of zeros" (arXiv:1607.03250).
    """
    active = unit_means(subject, lambda values: values != 0)
    if all(bool((units == 1).all()) for units in active.values()):
        raise ScoreError(
            "no unit in scope is ever zero, so all average percentages of zeros are 0: look for a ReLU after the "
            "layers, or take another criterion, such as activation-norm"
        )
    return spread(subject, active)
