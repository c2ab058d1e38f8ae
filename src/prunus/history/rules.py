"""What must hold between the fields of a record."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from prunus.history.records import ExperimentRecord, RunRecord, StateRecord, TensorCount
from prunus.outcomes import ClassOutcome, Cost

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_id(text: str) -> bool:
    """Whether the text can name a record: letters, digits and ``_ . -``, for it becomes part of a file's name."""
    return _ID.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether the text is a SHA-256 in lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _class_outcome(outcome: ClassOutcome) -> str | None:
    if outcome.count < 1:
        return f"says that class {outcome.name!r} has no examples, so its accuracy cannot be told"
    if not 0 <= outcome.correct <= outcome.count:
        return f"says that {outcome.correct} of {outcome.count} examples of class {outcome.name!r} are right"
    return None


def _tensor_count(count: TensorCount) -> str | None:
    return None if 0 <= count.kept <= count.total and count.total else f"says that {count.kept} of {count.total} stay"


def _cost(cost: Cost) -> str | None:
    return None if min(cost.size_bytes, cost.dense_size_bytes) > 0 else "says that a file has no bytes"


def _state(state: StateRecord) -> str | None:
    for name, text in (("id", state.id), ("run", state.run), ("parent", state.parent)):
        if text is not None and not is_id(text):
            return f"has the {name} {text!r}, which cannot be part of a file's name"
    for name, text in (("weights", state.weights), ("masks", state.masks)):
        if text is not None and not is_digest(text):
            return f"has the {name} {text!r}, which is no digest"
    if state.kind not in ("initial", "trained", "pruned"):
        return f"has the kind {state.kind!r}: it must be 'initial', 'trained' or 'pruned'"
    if (state.kind == "pruned") != (state.pruning is not None):
        return f"is {state.kind}, but {'has a' if state.pruning else 'has no'} pruning step"
    if state.kind == "initial" and state.parent is not None:
        return "is an initialisation, but has a parent"
    if not _is_time(state.created):
        return f"has the time {state.created!r}: it must be ISO 8601"
    return None if 0 <= state.position < 10_000 else f"has the position {state.position}: it must lie in [0, 10000)"


def _named(record: RunRecord | ExperimentRecord) -> str | None:
    if not is_id(record.id):
        return f"has the id {record.id!r}, which cannot be part of a file's name"
    return None if _is_time(record.created) else f"has the time {record.created!r}: it must be ISO 8601"


# Class of a record → what is wrong with one of it, or None.
RULES: dict[type, Callable[[Any], str | None]] = {
    ClassOutcome: _class_outcome,
    TensorCount: _tensor_count,
    Cost: _cost,
    StateRecord: _state,
    RunRecord: _named,
    ExperimentRecord: _named,
}
