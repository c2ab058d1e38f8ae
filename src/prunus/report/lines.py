"""What a chart of lines draws, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.selection.statistics import Interval


@dataclass(frozen=True)
class Spot:
    """One place on a line.

    Attributes:
        x, y: what is measured, against what.
        low, high: between which the band lies there; None where nothing is known.
        marked: whether a marker stands there.
        ringed: whether the marker has a ring.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    marked: bool = False
    ringed: bool = False

    @classmethod
    def of(cls, x: float, interval: Interval, highest: float, marked: bool = False) -> Spot:
        """A mean with its interval as far as the values can go, which is from 0 to the highest."""
        if interval.low is None or interval.high is None:
            return cls(x, interval.mean, marked=marked)
        return cls(x, interval.mean, max(0.0, interval.low), min(highest, interval.high), marked)


@dataclass(frozen=True)
class Line:
    """A named line.

    Attributes:
        index: that gives its colour and marker; None for what the others are compared with, which is grey and dotted.
        name: that stands beside its end.
        spots: from left to right.
        muted: whether it is one of many, drawn to say where they lie and not which is which: thin and nameless.
    """

    index: int | None
    name: str
    spots: tuple[Spot, ...]
    muted: bool = False


def extent(spots: list[Spot]) -> tuple[float, float]:
    """The lowest and the highest value of the spots and their bands."""
    return (
        min(spot.y if spot.low is None else spot.low for spot in spots),
        max(spot.y if spot.high is None else spot.high for spot in spots),
    )
