"""The names that stand at the ends of a chart's lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunus.report.frame import Frame, Layout
from prunus.report.labels import moved_apart, wrapped
from prunus.report.lines import Line
from prunus.report.names import printable

LEADING = 1.2  # from one line of text to the next, in ems
MOST_LINES = 4  # of text
_MOST_BELOW = 4  # names of lines that leave a close-up
_COLUMN = 0.6  # width of a bold character, in ems
_BEYOND = 6  # pixels below the plot that names may reach


@dataclass(frozen=True)
class Label:
    """A name at the end of a line.

    Attributes:
        lines: of text.
        index: of the line, which gives the text's colour.
        x, y: where the line ends, in pixels; at the bottom where it ends below.
        whole: whether all of the name is there.
    """

    lines: tuple[str, ...]
    index: int | None
    x: float
    y: float
    whole: bool


def labels(lines: Sequence[Line], frame: Frame) -> list[Label]:
    """The names in as many lines of text as there is room for; none where they would say too little.

    Args:
        lines: told apart, and what they are compared with.
        frame: of the chart.
    """
    below = [line for line in lines if line.index is not None and frame.y(line.spots[-1].y) > frame.layout.height]
    named = [line for line in lines if line not in below] if len(below) > _MOST_BELOW else lines
    for most in range(MOST_LINES, 0, -1):
        found = [_label(line, frame, most) for line in named]
        fits = sum(_height(label, frame.layout) for label in found) <= frame.layout.height + _BEYOND
        if fits and len({label.lines for label in found}) == len(found):
            return found
    return []


def centres(found: Sequence[Label], layout: Layout) -> list[float]:
    """Where the middle of each name stands so that none covers another, in pixels from the top."""
    heights = [_height(label, layout) for label in found]
    return moved_apart([label.y for label in found], heights, layout.height + _BEYOND)


def _label(line: Line, frame: Frame, most: int) -> Label:
    layout, end = frame.layout, line.spots[-1]
    width = max(6, int((layout.right - 20) / (layout.font * _COLUMN)))
    text, whole = wrapped(printable(line.name), width, most)
    x, y = frame.x(end.x), frame.y(end.y)
    if y > layout.height:
        text[-1] += " ↓"
        x, y = layout.width, layout.height
    return Label(tuple(text), line.index, x, y, whole)


def _height(label: Label, layout: Layout) -> float:
    return layout.font * LEADING * len(label.lines) + 3
