"""Records ⇄ JSON.

A file holds ``{"kind": …, "schema": …, "record": {field: value}}``. Nothing is guessed on the way back: a field
that is missing, unknown or of another type is an error that names the file and the field. JSON has no word for
nan and infinity, so the fields that may be either hold ``"nan"``, ``"inf"`` or ``"-inf"``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from prunus.errors import HistoryError
from prunus.history.migrations import migrate
from prunus.history.records import SCHEMA, ExperimentRecord, RunRecord, StateRecord
from prunus.history.rules import RULES

Record = RunRecord | StateRecord | ExperimentRecord
AnyRecord = TypeVar("AnyRecord", bound=Record)
Reader = Callable[[Any], Any]
KINDS: dict[type, str] = {RunRecord: "run", StateRecord: "state", ExperimentRecord: "experiment"}
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class _Mismatch(Exception):
    """A value that is not what its field must be; gathers the field's place on the way out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what, self.place = what, ""

    def __str__(self) -> str:
        return f"{self.place} {self.what}" if self.place else self.what

    def inside(self, name: object) -> _Mismatch:
        self.place = f"{name}.{self.place}" if self.place else f"{name}"
        return self


def encode(record: Record) -> bytes:
    """The record's file.

    Raises:
        HistoryError: a field does not hold what it must, so that it would not come back.
    """
    kind = KINDS[type(record)]
    source = f"the {kind} {record.id!r}"
    try:
        text = json.dumps(
            {"kind": kind, "schema": SCHEMA, "record": _plain(record)},
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        data = text.encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise HistoryError(f"{source} cannot be recorded: its settings must be plain JSON values: {error}") from error
    try:
        _reader(typing.cast("Any", type(record)))(_JSON.decode(text)["record"])
    except _Mismatch as mismatch:
        raise HistoryError(f"{source} cannot be recorded: {mismatch}") from mismatch
    return data


def decode(kind: type[AnyRecord], data: bytes | str, source: str) -> AnyRecord:
    """The record that a file holds.

    Args:
        kind: class of the record.
        data: of the file.
        source: the file's name, for messages.

    Raises:
        HistoryError: not JSON, not this kind of record, of a later schema, or a field is not as it must be.
    """
    try:
        content = _JSON.decode(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError) as error:
        raise _damaged(source, f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or content.keys() != {"kind", "schema", "record"}:
        raise _damaged(source, "a record is an object of kind, schema and record")
    if content["kind"] != KINDS[kind]:
        raise _damaged(source, f"it must hold a {KINDS[kind]}, not {content['kind']!r:.80}")
    if not isinstance(content["record"], dict):
        raise _damaged(source, "the record must be an object")
    fields = migrate(KINDS[kind], content["record"], content["schema"], source)
    reader: Reader = _reader(typing.cast("Any", kind))
    try:
        return reader(fields)
    except _Mismatch as mismatch:
        raise _damaged(source, str(mismatch)) from mismatch


def _damaged(source: str, what: str) -> HistoryError:
    return HistoryError(
        f"{source} is damaged: {what}; take it from a copy of the history, or remove it to have the work done again"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _plain(value: Any) -> Any:
    """The value in JSON's types; free-form settings are left for JSON itself to judge."""
    if dataclasses.is_dataclass(value):
        free = _free_form(typing.cast("Any", type(value)))
        return {
            field.name: getattr(value, field.name) if field.name in free else _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


@functools.cache
def _free_form(kind: type) -> frozenset[str]:
    """Names of the fields whose content is anybody's."""
    return frozenset(name for name, hint in typing.get_type_hints(kind).items() if hint == dict[str, Any])


@functools.cache
def _reader(hint: Any) -> Reader:
    """What turns a JSON value into a field of that type, or raises ``_Mismatch``."""
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(typing.cast("type", hint))
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is types.UnionType:
        some = _reader(next(argument for argument in arguments if argument is not types.NoneType))
        return lambda value: None if value is None else some(value)
    if typing.get_origin(hint) is tuple:
        return _tuple_reader(_reader(arguments[0]))
    return _dict_reader(_reader(arguments[1]))


def _dataclass_reader(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = [(field.name, _reader(hints[field.name])) for field in dataclasses.fields(kind)]
    names = {name for name, _ in readers}
    rule = RULES.get(kind)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch(f"must be an object, got {value!r:.80}")
        if value.keys() != names:
            raise _Mismatch(_names_differ(names, set(value)))
        values = []
        name = ""
        try:
            for name, reader in readers:
                values.append(reader(value[name]))
        except _Mismatch as mismatch:
            raise mismatch.inside(name) from None
        record = kind(*values)
        if rule and (broken := rule(record)):
            raise _Mismatch(broken)
        return record

    return read


def _names_differ(expected: set[str], found: set[str]) -> str:
    parts = []
    if missing := expected - found:
        parts.append(f"lacks the field {', '.join(map(repr, sorted(missing)))}")
    if unknown := found - expected:
        parts.append(f"has the unknown field {', '.join(map(repr, sorted(unknown)))}")
    return " and ".join(parts)


def _tuple_reader(item: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _Mismatch(f"must be a list, got {value!r:.80}")
        items: list[Any] = []
        try:
            for one in value:
                items.append(item(one))  # noqa: PERF401  # the length tells which one failed
        except _Mismatch as mismatch:
            raise mismatch.inside(len(items)) from None
        return tuple(items)

    return read


def _dict_reader(item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Mismatch(f"must be an object, got {value!r:.80}")
        key = ""
        items = {}
        try:
            for key, one in value.items():
                items[key] = item(one)
        except _Mismatch as mismatch:
            raise mismatch.inside(key) from None
        return items

    return read


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Mismatch(f"must be text, got {value!r:.80}")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise _Mismatch(f"must be a whole number, got {value!r:.80}")
    return value


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is str and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    raise _Mismatch(f"must be a number, got {value!r:.80}")


def _anything(value: Any) -> Any:
    return value


_SIMPLE: dict[Any, Reader] = {str: _text, int: _whole, float: _number, Any: _anything}
