"""Changes to a recipe from the command line."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Sequence
from typing import Any

from prunus.errors import RecipeError


def override(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The values with every ``"key.key=value"`` applied; ``technique.0.fraction=0.5`` reaches into a list.

    Raises:
        RecipeError: a change has no ``=``, or its path leads through something that has no keys.
    """
    result = copy.deepcopy(values)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path.strip():
            raise RecipeError(f"expected KEY=VALUE, such as training.epochs=2, got {change!r}")
        _set(result, path.strip().split("."), _value(text.strip()), change)
    return result


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(place: Any, keys: list[str], value: Any, change: str) -> None:
    *path, last = keys
    for key in path:
        place = place.setdefault(key, {}) if isinstance(place, dict) else _element(place, key, change)
    if isinstance(place, dict):
        place[last] = value
    else:
        _element(place, last, change)
        place[int(last)] = value


def _element(place: Any, key: str, change: str) -> Any:
    if not isinstance(place, list):
        raise RecipeError(f"{change!r} leads through {place!r}, which has no key {key!r}")
    if not key.isdecimal() or int(key) >= len(place):
        raise RecipeError(f"{change!r}: the list has elements 0 to {len(place) - 1}, not {key!r}")
    return place[int(key)]
