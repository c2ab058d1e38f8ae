"""Records of older versions of the schema, brought up to the present one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prunus.errors import HistoryError
from prunus.history.records import SCHEMA

Fields = dict[str, Any]
Migration = Callable[[str, Fields], Fields]

# Version → what brings a record of that version to the next: from the record's kind ("run", "state" or
# "experiment") and its fields to its new fields. A change of history/records.py raises SCHEMA and adds a line here.
MIGRATIONS: dict[int, Migration] = {}


def _add_curve(kind: str, fields: Fields) -> Fields:
    return fields | {"curve": []} if kind == "state" else fields


def _add_voters_and_effective_kept(kind: str, fields: Fields) -> Fields:
    if kind != "state":
        return fields
    cost = fields.get("cost")
    return fields | {"voters": [], "cost": cost | {"effective_kept": None} if isinstance(cost, dict) else cost}


MIGRATIONS[1] = _add_curve
MIGRATIONS[2] = _add_voters_and_effective_kept


def migrate(kind: str, fields: Fields, version: object, source: str) -> Fields:
    """The fields as the present schema has them.

    Args:
        kind: ``"run"``, ``"state"`` or ``"experiment"``.
        fields: as they were written.
        version: of the schema they were written in.
        source: file they come from, for messages.

    Raises:
        HistoryError: the version is newer than this prunus, or so old that no migration is left for it.
    """
    if type(version) is not int:
        raise HistoryError(f"{source}: the schema version must be a whole number, got {version!r}")
    if version > SCHEMA:
        raise HistoryError(f"{source} has schema version {version}, this prunus reads up to {SCHEMA}: update prunus")
    for older in range(version, SCHEMA):
        if older not in MIGRATIONS:
            raise HistoryError(f"{source} has schema version {version}, which this prunus no longer reads")
        fields = MIGRATIONS[older](kind, fields)
    return fields
