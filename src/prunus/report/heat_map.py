"""Heat maps: tables whose cells are coloured by what they hold.

A cell says its number, so the colour only helps to find it, and who does not see the colour misses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunus.report.palette import HEAT_LIMITS, heat_name
from prunus.report.words import half_width, signed
from prunus.selection.statistics import Interval

UPRIGHT = 8  # columns whose names stand level; those of more stand upright


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: its number.
        step: name of the colour's step.
        beside: lines of small text below it, such as the interval.
        words: all of it in words, for who points at it.
        clear: whether the number is bold.
        framed: whether the cell is of another sort than the others, such as the diagonal.
    """

    text: str
    step: str
    beside: tuple[str, ...] = ()
    words: str = ""
    clear: bool = False
    framed: bool = False


@dataclass(frozen=True)
class Head:
    """What stands before a row or above a column.

    Attributes:
        name: as it is shown.
        note: small, behind it.
        apart: whether a line sets the row apart from those above.
    """

    name: str
    note: str = ""
    apart: bool = False


@dataclass(frozen=True)
class HeatMap:
    """A table of rows and columns.

    Attributes:
        caption: of the table.
        rows, columns: their heads.
        cells: row by row, one for each column.
        down, across: what the rows and the columns are, such as ``"found on"`` and ``"trained on"``; both or none.
        legend: steps of the colour with what they stand for.
    """

    caption: str
    rows: tuple[Head, ...]
    columns: tuple[Head, ...]
    cells: tuple[tuple[Cell, ...], ...]
    down: str = ""
    across: str = ""
    legend: tuple[tuple[str, str], ...] = ()

    @property
    def upright(self) -> bool:
        """Whether there are so many columns that their names stand upright."""
        return len(self.columns) > UPRIGHT


def difference_cell(interval: Interval, words: str = "", framed: bool = False) -> Cell:
    """A difference of fractions in points, with half its interval, bold where that excludes zero.

    Args:
        interval: mean difference, in [−1, 1].
        words: for who points at it; the numbers are added.
        framed: as of a ``Cell``.
    """
    points, half = 100 * interval.mean, 100 * half_width(interval)
    beside = (f"±{half:.1f}",) if half == half else ()
    said = " ".join([f"{words}: {signed(points)} points", *beside]) if words else ""
    return Cell(signed(points), heat_name(points), beside, said, interval.excludes_zero, framed)


def legend(
    cells: Sequence[Sequence[Cell]], unit: str = "", limits: Sequence[float] = HEAT_LIMITS
) -> tuple[tuple[str, str], ...]:
    """The steps between the lowest and the highest that the cells have, with what they stand for.

    Args:
        cells: of a heat map.
        unit: behind the last number.
        limits: at which the steps begin.
    """
    names = [f"loss-{step}" for step in range(len(limits), 0, -1)]
    names += [f"gain-{step}" for step in range(len(limits) + 1)]
    found = [_place(names, cell.step) for row in cells for cell in row if cell.step != "none"]
    if not found:
        return ()
    return tuple((name, _said(name, unit, limits)) for name in names[min(found) : max(found) + 1])


def _place(names: Sequence[str], step: str) -> int:
    return names.index("gain-0" if step == "loss-0" else step)


def _said(name: str, unit: str, limits: Sequence[float]) -> str:
    kind, _, step = name.partition("-")
    if step == "0":
        return f"within ±{limits[0]:g}{unit}"
    begin, sign = limits[int(step) - 1], "+" if kind == "gain" else "−"
    if int(step) == len(limits):
        return f"{sign}{begin:g}{unit} and beyond"
    return f"{sign}{begin:g} to {sign}{limits[int(step)]:g}{unit}"
