"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from prunus.report.names import UNPRINTABLE, printable

if TYPE_CHECKING:
    from rich.table import Table

_TEXT_WIDTH = 16  # columns that a text cell keeps at least
_SHORT_ID = 10


def print_json(value: Any) -> None:
    """Print the value as JSON; dataclasses become objects, and what is not finite becomes null."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo("\n".join(UNPRINTABLE.sub(_escaped, line) for line in text.split("\n")))


def say(text: str, *, err: bool = False) -> None:
    """Print one line, whatever the names in it hold; to the standard error where ``err``."""
    typer.echo(printable(text), err=err)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table; columns of numbers are aligned to the right, and only cells of several words are ever wrapped.

    No cell is cut off: where there is no room, the columns draw together, then texts go on in a second line that is
    indented, then the columns that do not fit beside the others go below, each part with the first column.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if title:
        console.print(printable(title))
    found = [
        _Column(printable(name), [printable(row[index]) for row in rows], console.width // 2 - 1)
        for index, name in enumerate(columns)
    ]
    gap = 2 if sum(column.width + 2 for column in found) <= console.width else 1
    room = console.width + gap  # no gap follows the last column
    for part in _parts([column.least_width + gap for column in found], room):
        console.print(_table(_fitted([found[index] for index in part], room, gap), gap))


class _Column(NamedTuple):
    """One column: its name, its cells, and the longest word that is not broken."""

    name: str
    cells: list[str]
    longest_word: int

    @property
    def is_numeric(self) -> bool:
        return all(
            character in "0123456789.,±–−+- \N{NO-BREAK SPACE}%KMGB" for cell in self.cells for character in cell
        )

    @property
    def is_whole(self) -> bool:
        """Whether no cell is ever wrapped: numbers, and single words that leave room for others."""
        return self.is_numeric or all(" " not in cell.strip() and len(cell) <= self.longest_word for cell in self.cells)

    @property
    def width(self) -> int:
        return max(map(len, [self.name, *self.cells]))

    @property
    def least_width(self) -> int:
        return self.width if self.is_whole else min(self.width, _TEXT_WIDTH)

    def folded(self, width: int) -> _Column:
        """The column with its cells on as many lines as that width needs."""
        if width >= self.width:
            return self
        lines = [wrap(cell, width, subsequent_indent="  ", break_on_hyphens=False) for cell in self.cells]
        return self._replace(cells=list(map("\n".join, lines)))


def _fitted(columns: Sequence[_Column], room: int, gap: int) -> list[_Column]:
    """The columns, the widest texts among them folded until all fit beside one another or can be no narrower."""
    widths = [column.width for column in columns]
    while sum(width + gap for width in widths) > room:
        foldable = [index for index, column in enumerate(columns) if widths[index] > column.least_width]
        if not foldable:
            break
        widths[max(foldable, key=widths.__getitem__)] -= 1
    return [column.folded(width) for column, width in zip(columns, widths, strict=True)]


def _table(columns: Sequence[_Column], gap: int) -> Table:
    from rich import box
    from rich.table import Table

    # The box itself puts one space between columns.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0), show_edge=False)
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.is_numeric else "left",
            no_wrap=column.is_whole,
            overflow="fold",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Indices of the columns of each part: the first column, then as many others as fit."""
    parts, used = [[0]], widths[0]
    for index, width in enumerate(widths[1:], 1):
        if used + width > room and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0]
        parts[-1].append(index)
        used += width
    return parts


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage; a dash where it is unknown."""
    return "–" if not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def size(value: float) -> str:
    """Bytes in a unit that a person reads; 1 KB is 1,024 bytes, as on the page."""
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1024 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the loop ends at GB")


def moment(text: str) -> str:
    """An ISO time to the minute, without its zone."""
    return text[:16].replace("T", " ")


def short(identity: str) -> str:
    """The beginning of an id: commands take any beginning that is unique."""
    return identity[:_SHORT_ID]


def _escaped(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
