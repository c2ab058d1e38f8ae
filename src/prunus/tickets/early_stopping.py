"""When a training could have stopped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import sub
from typing import NamedTuple

from prunus.errors import SelectionError
from prunus.history.records import StateRecord
from prunus.selection.statistics import Interval, mean_interval, rounding_spread


class Stop(NamedTuple):
    """A training at the step at which it stops.

    Attributes:
        step: steps done, those before the rewinding step included; None where no learning curve was recorded.
        accuracy: on the test split, in [0, 1].
        every: steps between two measurements, to which the step is rounded.
        examples: of the test split, to one of which the accuracy is rounded; 0 where their number is not known.
    """

    step: int | None
    accuracy: float
    every: int = 0
    examples: int = 0


def early_stop(state: StateRecord) -> Stop:
    """The step with the lowest validation loss, the first of several; the end where there is no learning curve.

    Raises:
        SelectionError: the state was not evaluated.

    Source: Frankle & Carbin 2019, section 1 (arXiv:1803.03635): the early-stopping iteration is that of minimum
        validation loss.
    """
    measured = [point for point in state.curve if math.isfinite(point.validation_loss)]
    examples = state.test.examples if state.test else 0
    if measured:
        best = min(measured, key=lambda point: point.validation_loss)
        steps = [0, *(point.step for point in state.curve)]
        return Stop(best.step, best.test_accuracy, min(map(sub, steps[1:], steps)), examples)
    if state.test is None:
        raise SelectionError(f"the state {state.id} was not evaluated")
    return Stop(None, state.test.accuracy, 0, examples)


def accuracy_difference(first: Iterable[Stop], second: Iterable[Stop]) -> Interval:
    """Mean of the first's accuracies less the second's, paired, with an interval no narrower than that of rounding."""
    pairs = list(zip(first, second, strict=True))
    examples = min((each.examples for pair in pairs for each in pair), default=0)
    rounding = rounding_spread(1 / examples) if examples else 0.0
    return mean_interval([one.accuracy - other.accuracy for one, other in pairs], least_spread=rounding)
