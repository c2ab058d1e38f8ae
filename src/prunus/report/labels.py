"""Labels at the ends of lines: broken into lines of text and moved apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WIDE = ("W", "F")
_ELLIPSIS = "…"
_BREAK = re.compile("[ \t\r\n]+")  # not the no-break space


def wrapped(text: str, width: int, lines: int) -> tuple[list[str], bool]:
    """The text in at most that many lines of at most that width, and whether all of it is there.

    Args:
        text: of one paragraph.
        width: in columns; East Asian wide characters take two.
        lines: at least 1.
    """
    found: list[str] = []
    rest = _BREAK.sub(" ", text).strip()
    while rest and len(found) < lines:
        line = _first_line(rest, width)
        if len(line) < len(rest) and len(found) == lines - 1:
            found.append(_cut(rest, width - 1).rstrip(" ,;") + _ELLIPSIS)
            break
        rest = rest[len(line) :].lstrip()
        found.append(line.rstrip())
    return found, not rest


def _first_line(text: str, width: int) -> str:
    line = _cut(text, width)
    if len(line) == len(text) or text[len(line)] == " ":
        return line
    head, space, _ = line.rpartition(" ")
    if space and head.strip():
        return head
    head, hyphen, _ = line.rpartition("-")
    return head + hyphen if len(head) > width // 2 else line


def _cut(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _columns(character)
        if used > width and position:
            return text[:position]
    return text


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def moved_apart(centres: Sequence[float], heights: Sequence[float], extent: float) -> list[float]:
    """Centres as near to the wanted ones as they can be without overlap, in the wanted order and inside the extent.

    Neighbours that overlap join into a block that lies at the mean of what its members want.

    Args:
        centres: wanted, in pixels from the top.
        heights: of each label, in pixels.
        extent: labels lie in [0, extent] where they fit; otherwise they begin at 0 and run on.
    """
    blocks: list[tuple[list[int], float, float]] = []  # members, top, height
    for index in sorted(range(len(centres)), key=lambda one: (centres[one], one)):
        members, height = [index], heights[index]
        top = _best_top(members, height, centres, heights, extent)
        while blocks and blocks[-1][1] + blocks[-1][2] > top:
            earlier, _, above = blocks.pop()
            members, height = earlier + members, above + height
            top = _best_top(members, height, centres, heights, extent)
        blocks.append((members, top, height))
    placed = [0.0] * len(centres)
    for members, top, _ in blocks:
        for index in members:
            placed[index] = top + heights[index] / 2
            top += heights[index]
    return placed


def _best_top(
    members: Sequence[int], height: float, centres: Sequence[float], heights: Sequence[float], extent: float
) -> float:
    offset, wanted = 0.0, 0.0
    for index in members:
        wanted += centres[index] - offset - heights[index] / 2
        offset += heights[index]
    return max(0.0, min(wanted / len(members), extent - height))
