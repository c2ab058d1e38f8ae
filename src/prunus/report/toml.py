"""Plain values as TOML, so that a recipe can be copied from the page and run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_UNWRITTEN = re.compile("\x7f")  # JSON leaves it as it is, TOML does not take it


def to_toml(values: Mapping[str, Any]) -> str:
    """The values as a TOML document; None, for which TOML has no word, is left out.

    Args:
        values: JSON values under text keys.
    """
    return "\n".join(_table(values, ())).strip() + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines, below = [], []
    for key, value in values.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            below += ["", f"[{name}]", *_table(value, (*path, key))]
        elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
            for item in value:
                below += ["", f"[[{name}]]", *_table(item, (*path, key))]
        elif value is not None:
            lines.append(f"{_key(key)} = {_value(value)}")
    return lines + below


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value if item is not None) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return str(value) if isinstance(value, int) else _text(str(value))


def _text(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNWRITTEN.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
