"""Where on a chart a value lies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

_ACCURACIES = (0.01, 0.02, 0.05, 0.1, 0.2)  # between two lines of the grid
_MOST_LINES = 6


@dataclass(frozen=True)
class Layout:
    """One width of a chart.

    Attributes:
        name: of the layout.
        width, height: of the plot itself, in pixels.
        left, right, bottom: room for what is written beside and below.
        font: size of the text, in pixels.
        tick: least distance of two values below, in pixels.
    """

    name: str
    width: int
    height: int
    left: int
    right: int
    bottom: int
    font: float
    tick: int


LAYOUTS = (
    Layout("wide", 740, 350, 56, 204, 56, 14, 54),
    Layout("medium", 420, 320, 50, 150, 52, 13, 48),
    Layout("narrow", 198, 290, 38, 86, 46, 11, 36),
)
CLOSEUPS = tuple(replace(layout, height=round(0.8 * layout.height)) for layout in LAYOUTS)
# Of two charts side by side, which are one below the other where the page is narrow.
HALVES = (Layout("half", 330, 260, 52, 126, 50, 13, 48), Layout("narrow", 174, 250, 40, 108, 46, 11, 36))


@dataclass(frozen=True)
class Axis:
    """One direction of a chart.

    Attributes:
        start, end: values at the left and the right, or at the bottom and the top.
        ticks: values that are written.
        format: of these, as d3 writes it.
        title: what the values are; None where the text around the chart says it.
        log: whether it is ratios that have equal lengths.
    """

    start: float
    end: float
    ticks: tuple[float, ...]
    format: str
    title: str | None = None
    log: bool = False

    def share(self, value: float) -> float:
        """How far on the way from the start to the end the value lies."""
        if self.log:
            return math.log(value / self.start) / math.log(self.end / self.start)
        return (value - self.start) / (self.end - self.start)

    def value(self, share: float) -> float:
        """The value that lies there, beyond the ends too."""
        if self.log:
            return self.start * (self.end / self.start) ** share
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Frame:
    """How values become places."""

    layout: Layout
    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return self.across.share(value) * self.layout.width

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return (1 - self.up.share(value)) * self.layout.height

    def place(self, x: float, y: float) -> dict[str, float]:
        """The values that stand at that many pixels from the left and from the top, beyond the frame too."""
        return {"x": self.across.value(x / self.layout.width), "y": self.up.value(1 - y / self.layout.height)}


def accuracies(low: float, high: float) -> Axis:
    """Upwards, with both inside, as far as an accuracy can go."""
    step = next((one for one in _ACCURACIES if (high - low) / one <= _MOST_LINES - 1), _ACCURACIES[-1])
    bottom = max(0.0, math.floor(low / step + 1e-9) * step)
    top = min(1.0, math.ceil(high / step - 1e-9) * step)
    if top - bottom < step:
        bottom, top = (top - step, top) if top >= 1 else (bottom, bottom + step)
    lines = (round(bottom + line * step, 9) for line in range(round((top - bottom) / step) + 1))
    return Axis(bottom, top, tuple(lines), ".0%")


def densities(lowest: float, wanted: Iterable[float], layout: Layout, parts: str) -> Axis:
    """From all that remain at the left to the lowest density at the right, by ratio.

    Args:
        lowest: density.
        wanted: densities to write, the most important first, as far as they have room; the ends are written first.
        layout: width.
        parts: what pruning removes.
    """
    axis = Axis(1.0, min(lowest, 0.9), (), ".3~p", f"{parts} remaining (log scale)", log=True)
    taken: list[float] = []
    for density in (axis.start, axis.end, *wanted):
        if all(abs(axis.share(density) - axis.share(other)) * layout.width >= layout.tick for other in taken):
            taken.append(density)
    return replace(axis, ticks=tuple(sorted(taken, reverse=True)))


def steps(first: float, last: float, most: int, title: str | None = None) -> Axis:
    """Steps of training in whole round numbers.

    Args:
        first, last: of them; the axis ends where they do.
        most: numbers to write, at least 2.
        title: as of an ``Axis``.
    """
    last = max(last, first + 1)
    sizes = (size * 10**zeros for zeros in itertools.count() for size in (1, 2, 5))
    every = (range(math.ceil(first / size) * size, math.floor(last) + 1, size) for size in sizes)
    ticks = next(found for found in every if len(found) <= most)
    return Axis(first, last, tuple(map(float, ticks)), ",d", title)
