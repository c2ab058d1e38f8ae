"""On which line of a TOML text a key stands."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=""")


def key_lines(text: str) -> dict[Path, int]:
    """Path of every table and key → its line, from 1.

    Reads headers and ``key =`` lines; keys inside inline tables have the line of the key that holds the table.
    """
    found: dict[Path, int] = {}
    counts: dict[str, int] = {}
    table: Path = ()
    open_brackets = 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', "''", line).split("#")[0]
        if open_brackets == 0:
            if header := _HEADER.match(bare):
                table = _table(header[1] == "[[", header[2], counts)
                found.setdefault(table, number)
                continue
            if key := _KEY.match(line):
                found.setdefault((*table, *_parts(key[1])), number)
        open_brackets = max(0, open_brackets + bare.count("[") - bare.count("]"))
    return found


def line_of(path: Path, lines: dict[Path, int]) -> int | None:
    """The line of the path, or of the nearest table or key that holds it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _table(repeated: bool, name: str, counts: dict[str, int]) -> Path:
    if not repeated:
        return tuple(_parts(name))
    counts[name] = counts.get(name, -1) + 1
    return (*_parts(name), counts[name])


def _parts(name: str) -> list[str]:
    return [part.strip().strip("\"'") for part in name.split(".")]
