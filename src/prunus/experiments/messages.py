"""What is wrong with a recipe, in sentences: key, line, what is allowed, what was perhaps meant."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from prunus.experiments.lines import key_lines, line_of


def explain(error: ValidationError, name: str, text: str, root: type[BaseModel]) -> str:
    """One line for every mistake.

    Args:
        error: what the validation found.
        name: of the recipe.
        text: its TOML, for line numbers; empty where there is none.
        root: the model that was validated.
    """
    lines = key_lines(text)
    found = []
    for problem in error.errors():
        if problem["type"] == "too_short" and problem["input"]:
            continue  # it seems empty only because each of its elements has a mistake, told on its own
        path = tuple(part for part in problem["loc"] if not _is_branch(part))
        line = line_of(path, lines)
        place = f"{name}:{line}" if line else name
        key = ".".join(map(str, path)) or "recipe"
        found.append(f"{place}: {key}: {_sentence(problem, path, root)}")
    return "\n".join(dict.fromkeys(found))


def _sentence(problem: Any, path: tuple[str | int, ...], root: type[BaseModel]) -> str:
    given = problem.get("input")
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            allowed = _keys(root, path[:-1])
            nearest = difflib.get_close_matches(str(path[-1]), allowed, n=1)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
            return f"there is no such key: allowed are {', '.join(sorted(allowed))}{hint}"
        case "missing":
            return "is missing"
        case "value_error":
            return str(limits["error"])
        case "literal_error":
            nearest = difflib.get_close_matches(str(given), _quoted(limits["expected"]), n=1)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
            return f"must be {limits['expected']}, got {given!r}{hint}"
        case _:
            message = problem["msg"]
            return f"{message[0].lower()}{message[1:]}, got {given!r}"


def _keys(root: type, path: tuple[str | int, ...]) -> list[str]:
    """Names of the keys of the table that the path leads to."""
    table: Any = root
    for part in path:
        if isinstance(part, str):
            table = _table_of(_annotation(table, part))
    if dataclasses.is_dataclass(table):
        return [each.name for each in dataclasses.fields(table)]
    return list(table.model_fields)


def _annotation(table: Any, key: str) -> Any:
    return table.model_fields[key].annotation


def _table_of(annotation: Any) -> Any:
    """The table inside ``Table``, ``tuple[Table, …]`` or ``int | Table``."""
    for part in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(part, type) and (dataclasses.is_dataclass(part) or issubclass(part, BaseModel)):
            return part
    raise TypeError(f"no table in {annotation}")


def _is_branch(part: str | int) -> bool:
    """Whether the part names a branch of a union instead of a key."""
    return isinstance(part, str) and (part in ("int", "float", "str") or part.endswith("Settings"))


def _quoted(text: str) -> list[str]:
    return text.split("'")[1::2]
