"""Digests that identify work, and the seeds derived from them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from prunus.errors import ArgumentError

_loaded: dict[str, str] = {}  # module → digest of its source when it was last looked at


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of SHA-256 over the value as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derive_seed(*parts: Any) -> int:
    """A seed in [0, 2⁶³) for one purpose: no two purposes share a generator."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def source_digest(target: str) -> str:
    """Digest of the file that defines a user's ``"module:name"``: when it changes, work is done anew.

    Raises:
        ArgumentError: there is no such module, or it is the script that runs.
    """
    module = target.partition(":")[0]
    if module == "__main__":
        raise ArgumentError(
            f"{target!r} lies in the script that runs, which other processes cannot import: move it to a module"
        )
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ArgumentError(f"cannot find the module {module!r} of {target!r} on the import path")
    if not found.origin or not Path(found.origin).is_file():
        return ""
    source = hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()[:16]
    if module in sys.modules and _loaded.get(module, source) != source:
        importlib.reload(sys.modules[module])  # what runs must be what the digest speaks of
    _loaded[module] = source
    return source
