"""Accuracy against sparsity as numbers: what the chart draws and its table lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prunus.report.evidence import DENSE, Evidence
from prunus.selection.candidates import Candidate
from prunus.selection.statistics import Interval, mean_interval

_CLOSE = 0.1  # accuracy below the dense model that a close-up shows


@dataclass(frozen=True)
class Point:
    """Test accuracy of one technique at one sparsity.

    Attributes:
        sparsity: asked for.
        accuracy: mean over seeds, with its 95 % interval.
        chosen: whether this is the chosen candidate.
    """

    sparsity: float
    accuracy: Interval
    chosen: bool = False

    @property
    def density(self) -> float:
        """Fraction of the weights that remain, in (0, 1]."""
        return 1 - self.sparsity

    @property
    def band(self) -> tuple[float, float]:
        """Ends of the interval as far as an accuracy can go; the mean twice where there is no interval."""
        low, high = self.accuracy.low, self.accuracy.high
        if low is None or high is None:
            return self.accuracy.mean, self.accuracy.mean
        return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class Curve:
    """One technique's line.

    Attributes:
        index: of the technique, which gives its colour.
        name: of the technique, as short as it may be.
        points: by rising sparsity, the dense model first where there is one.
        muted: whether it is one of many, drawn to say where they lie and not which is which.
    """

    index: int
    name: str
    points: tuple[Point, ...]
    muted: bool = False

    @property
    def drawn(self) -> list[Point]:
        """The points with what is drawn of them: muted ones without their intervals."""
        if not self.muted:
            return list(self.points)
        return [replace(point, accuracy=replace(point.accuracy, low=None, high=None)) for point in self.points]


def dense_point(evidence: Evidence) -> Point | None:
    """The dense model's accuracy; None where it is not known."""
    return _point(evidence, evidence.dense) if evidence.dense else None


def curves(evidence: Evidence) -> list[Curve]:
    """One curve for every technique with a measured model, in the order of their colours, the muted ones last."""
    dense = dense_point(evidence)
    found = []
    for name in evidence.techniques:
        points = [point for candidate in evidence.of(name) if (point := _point(evidence, candidate))]
        if points:
            index = evidence.index(name)
            line = tuple([dense, *points] if dense else points)
            found.append(Curve(index or 0, evidence.short[name], line, muted=index is None))
    return sorted(found, key=lambda curve: (curve.muted, curve.index))


def closeup_floor(lines: Sequence[Curve], dense: Point | None) -> float | None:
    """The accuracy from which a close-up is worth drawing, because the fall of a few flattens all others; else None."""
    points = [point for line in lines for point in line.points if point is not dense]
    if dense is None or not points:
        return None
    floor = dense.accuracy.mean - _CLOSE
    near = sum(point.accuracy.mean >= floor for point in points)
    lowest = min(point.band[0] for line in lines for point in line.drawn)
    return floor if lowest < floor - 2 * _CLOSE and 2 * near >= len(points) and floor > 0 else None


def _point(evidence: Evidence, candidate: Candidate) -> Point | None:
    accuracy = mean_interval(candidate.reporting("accuracy"))
    if not math.isfinite(accuracy.mean):
        return None
    chosen = evidence.choice is not None and evidence.choice.candidate == candidate
    return Point(0.0 if candidate.technique == DENSE else candidate.requested_sparsity, accuracy, chosen)
