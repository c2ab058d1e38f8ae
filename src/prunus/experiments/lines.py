"""On which line of a TOML text a key stands."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_STRING = r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
_PART = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_KEY = rf"(?:{_PART.pattern})(?:[ \t]*\.[ \t]*(?:{_PART.pattern}))*"
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_HEADER = re.compile(rf"(\[\[?)[ \t]*({_KEY})[ \t]*\]\]?")
_ASSIGNMENT = re.compile(rf"({_KEY})[ \t]*=")
_TOKEN = re.compile(rf"({_STRING})|#[^\n]*|[\[{{]|[\]}}]|\n|.", re.DOTALL)


def key_lines(text: str) -> dict[Path, int]:
    """Path of every table and key → its line, from 1.

    Keys inside inline tables have the line of the key that holds the table.

    Args:
        text: valid TOML; what follows a mistake is not looked at.
    """
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    place = 0
    while (place := _end(_BLANK, text, place)) < len(text):
        line = text.count("\n", 0, place) + 1
        if header := _HEADER.match(text, place):
            table = _table(header[1] == "[[", _parts(header[2]), counts)
            found.setdefault(table, line)
            place = header.end()
        elif key := _ASSIGNMENT.match(text, place):
            found.setdefault((*table, *_parts(key[1])), line)
            place = _end_of_value(text, key.end())
        else:
            break
    return found


def line_of(path: Path, lines: dict[Path, int]) -> int | None:
    """The line of the path, or of the nearest table or key that holds it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _table(repeated: bool, names: list[str], counts: dict[Path, int]) -> Path:
    """The path of a header: below ``[[name]]``, names go on in its latest element."""
    path: Path = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, names[-1])
    if repeated:
        counts[path] = counts.get(path, -1) + 1
        return (*path, counts[path])
    return path


def _end_of_value(text: str, place: int) -> int:
    """Where the value that begins at ``place`` ends: at the end of a line, outside strings and brackets."""
    depth = 0
    for token in _TOKEN.finditer(text, place):
        if token[0] == "\n" and depth <= 0:
            return token.start()
        depth += (token[0] in "[{") - (token[0] in "]}")
    return len(text)


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _parts(name: str) -> list[str]:
    return [_unquoted(part) for part in _PART.findall(name)]


def _unquoted(part: str) -> str:
    return part[1:-1] if part[0] in "\"'" else part
