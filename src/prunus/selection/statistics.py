"""Means over seeds, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prunus.errors import ArgumentError


@dataclass(frozen=True)
class Interval:
    """A mean and the confidence interval around it.

    Attributes:
        mean: of the values; nan where one of them is.
        low, high: the interval's ends; None where nothing can be said: fewer than two values, or one not finite.
        count: number of values.
        confidence: how often such intervals cover the true mean, in (0, 1).
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies clear of zero; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean(values: Sequence[float]) -> float:
    """Mean that does not depend on the order of the values; nan where one of them is.

    Raises:
        ArgumentError: there is no value.
    """
    if not values:
        raise ArgumentError("a mean needs at least one value, got none")
    if not all(math.isfinite(value) for value in values):
        return sum(values) / len(values)
    return math.fsum(values) / len(values)


def mean_interval(values: Sequence[float], confidence: float = 0.95, least_spread: float = 0.0) -> Interval:
    """Mean of the values with the interval of Student's t distribution, which assumes that they vary normally.

    Args:
        values: one for every seed, at least one.
        confidence: in (0, 1).
        least_spread: standard deviation below which that of the values is not believed, such as that of rounding: two
            or three values that are rounded are easily the same.

    Raises:
        ArgumentError: there is no value, or the confidence is out of bounds.

    Source: Student 1908, "The probable error of a mean", Biometrika 6(1).
    """
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence must lie in (0, 1), got {confidence}: 0.95 is usual")
    count = len(values)
    middle = mean(values)
    if count == 1 or not math.isfinite(middle):
        return Interval(middle, None, None, count, confidence)
    from scipy.special import stdtrit

    variance = math.fsum((value - middle) ** 2 for value in values) / (count - 1)
    spread = max(math.sqrt(variance), least_spread)
    margin = float(stdtrit(count - 1, (1 + confidence) / 2)) * spread / math.sqrt(count)
    return Interval(middle, middle - margin, middle + margin, count, confidence)


def paired_difference(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95, least_spread: float = 0.0
) -> Interval:
    """Mean of ``first − second`` with its interval, the values paired by seed.

    What the seeds have in common cancels, so the interval is that of the difference alone.

    Args:
        first, second: values of the same seeds in the same order.
        confidence: in (0, 1).
        least_spread: see ``mean_interval``.

    Raises:
        ArgumentError: the lengths differ, there is no value, or the confidence is out of bounds.
    """
    if len(first) != len(second):
        raise ArgumentError(f"paired values need the same seeds on both sides, got {len(first)} and {len(second)}")
    return mean_interval([one - other for one, other in zip(first, second, strict=True)], confidence, least_spread)


def rounding_spread(unit: float) -> float:
    """Standard deviation of the difference of two numbers that are rounded to multiples of the unit."""
    return unit * math.sqrt(2 / 12)
