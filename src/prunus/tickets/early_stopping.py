"""When a training could have stopped."""

from __future__ import annotations

import math
from typing import NamedTuple

from prunus.errors import SelectionError
from prunus.history.records import StateRecord


class Stop(NamedTuple):
    """A training at the step at which it stops.

    Attributes:
        step: steps done, those before the rewinding step included; None where no learning curve was recorded.
        accuracy: on the test split, in [0, 1].
    """

    step: int | None
    accuracy: float


def early_stop(state: StateRecord) -> Stop:
    """The step with the lowest validation loss, the first of several; the end where there is no learning curve.

    Raises:
        SelectionError: the state was not evaluated.

    Source: Frankle & Carbin 2019, section 1 (arXiv:1803.03635): the early-stopping iteration is that of minimum
        validation loss.
    """
    measured = [point for point in state.curve if math.isfinite(point.validation_loss)]
    if measured:
        best = min(measured, key=lambda point: point.validation_loss)
        return Stop(best.step, best.test_accuracy)
    if state.test is None:
        raise SelectionError(f"the state {state.id} was not evaluated")
    return Stop(None, state.test.accuracy)
