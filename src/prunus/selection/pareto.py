"""The candidates that no other beats in both of two metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prunus.errors import ArgumentError
from prunus.selection.candidates import Candidate
from prunus.selection.metrics import Better, metric_named
from prunus.selection.statistics import mean


def pareto_front(points: Sequence[tuple[float, float]], better: tuple[Better, Better]) -> list[int]:
    """Indices of the points that no other point dominates, from the best in the first value to the worst.

    A point dominates another when it is at least as good in both values and better in one. Equal points do not
    dominate each other: all of them stay. A point with a nan is never on the front.

    Args:
        points: pairs of values.
        better: for each of the two, whether ``"higher"`` or ``"lower"`` is wanted.

    Raises:
        ArgumentError: a direction is neither.
    """
    for direction in better:
        if direction not in ("higher", "lower"):
            raise ArgumentError(f"better must be 'higher' or 'lower', got {direction!r}")
    signs = [-1 if direction == "higher" else 1 for direction in better]
    costs = [
        (signs[0] * first, signs[1] * second, index)
        for index, (first, second) in enumerate(points)
        if not (math.isnan(first) or math.isnan(second))
    ]
    front: list[int] = []
    last: tuple[float, float] | None = None
    for first, second, index in sorted(costs):
        if last is None or second < last[1] or (first, second) == last:
            front.append(index)
            last = (first, second)
    return front


def candidates_on_front(candidates: Sequence[Candidate], first: str, second: str) -> list[Candidate]:
    """The candidates that no other beats in both metrics, judged on the mean over seeds of the validation values.

    Args:
        candidates: to compare; those that lack seeds which others have are left out.
        first, second: names of metrics; the result runs from the best in the first to the worst.

    Raises:
        UnknownNameError: there is no metric of that name.
    """
    metrics = metric_named(first), metric_named(second)
    most = max((len(candidate.replicates) for candidate in candidates), default=0)
    candidates = [candidate for candidate in candidates if len(candidate.replicates) == most]
    points = [(mean(candidate.choosing(first)), mean(candidate.choosing(second))) for candidate in candidates]
    return [candidates[index] for index in pareto_front(points, (metrics[0].better, metrics[1].better))]
