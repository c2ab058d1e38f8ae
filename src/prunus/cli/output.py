"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

_TEXT_WIDTH = 16  # columns that a text cell keeps at least
_SHORT_ID = 10


def print_json(value: Any) -> None:
    """Print the value as JSON; dataclasses become objects, and what is not finite becomes null."""
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table; columns of numbers are aligned to the right, and only cells of several words are ever wrapped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = all(_is_numeric(cell) for cell in cells)
        whole = numeric or all(" " not in cell.strip() for cell in cells)
        widest = max(map(len, cells), default=0)
        table.add_column(
            column,
            justify="right" if numeric else "left",
            no_wrap=whole,
            min_width=widest if whole else min(widest, _TEXT_WIDTH),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage; a dash where it is unknown."""
    return "–" if not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def size(value: float) -> str:
    """Bytes in a unit that a person reads."""
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the loop ends at GB")


def moment(text: str) -> str:
    """An ISO time to the minute, without its zone."""
    return text[:16].replace("T", " ")


def short(identity: str) -> str:
    """The beginning of an id: commands take any beginning that is unique."""
    return identity[:_SHORT_ID]


def _is_numeric(cell: str) -> bool:
    return all(character in "0123456789.,±–−+- %KMGB" for character in cell)


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
