"""Where on the chart a value lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prunus.report.curves import Curve, Point

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_STEPS = 6


@dataclass(frozen=True)
class Layout:
    """One width of the chart.

    Attributes:
        name: of the layout.
        width, height: of the plot itself, in pixels.
        left, right, bottom: room for the accuracies, the labels and the sparsities.
        font: size of the text, in pixels.
        tick: least distance of two sparsities, in pixels.
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


@dataclass(frozen=True)
class Frame:
    """How values become places.

    Attributes:
        layout: of the chart.
        low, high: accuracies at the bottom and the top.
        step: between two lines of the grid.
        density: the smallest, at the right edge.
    """

    layout: Layout
    low: float
    high: float
    step: float
    density: float

    @classmethod
    def around(cls, points: Sequence[Point], layout: Layout, floor: float = 0.0) -> Frame:
        """The frame that holds these points and their bands, as far as they lie above the floor."""
        high = max(point.band[1] for point in points)
        low = max(floor, min(point.band[0] for point in points))
        step = next((one for one in _STEPS if (high - low) / one <= _MOST_STEPS - 1), _STEPS[-1])
        bottom = max(0.0, math.floor(low / step + 1e-9) * step)
        top = min(1.0, math.ceil(high / step - 1e-9) * step)
        if top - bottom < step:
            bottom, top = (top - step, top) if top >= 1 else (bottom, bottom + step)
        density = min(min(point.density for point in points), 0.9)
        return cls(layout, bottom, top, step, density)

    def y(self, accuracy: float) -> float:
        """Pixels from the top."""
        return (self.high - accuracy) / (self.high - self.low) * self.layout.height

    def x(self, density: float) -> float:
        """Pixels from the left."""
        return math.log(density) / math.log(self.density) * self.layout.width

    def place(self, x: float, y: float) -> dict[str, float]:
        """The values that stand at that many pixels from the left and from the top, beyond the frame too."""
        layout = self.layout
        accuracy = self.high - y / layout.height * (self.high - self.low)
        return {"density": self.density ** (x / layout.width), "accuracy": accuracy}

    def ticks(self, curves: Sequence[Curve], targets: Sequence[float]) -> list[float]:
        """Densities to write below: the ends, the targets, then the others, as far as they have room."""
        wanted = [1.0, self.density, *(1 - target for target in reversed(targets))]
        wanted += [point.density for curve in curves for point in curve.points]
        taken: list[float] = []
        for density in wanted:
            if all(abs(self.x(density) - self.x(other)) >= self.layout.tick for other in taken):
                taken.append(density)
        return sorted(taken, reverse=True)
