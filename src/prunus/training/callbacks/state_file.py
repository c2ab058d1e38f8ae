"""A pruner's state as a file beside a library's checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError
from prunus.files.atomic import write_atomically
from prunus.files.sealed import read_file
from prunus.packing.format import pack, unpack

_VALUES = "state"


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state, whole or not at all: tensors, numbers and texts in dictionaries, as deep as they come.

    Raises:
        ArgumentError: it holds something else, as the state of a criterion of one's own may.
        FileFormatError: it cannot be written.
    """
    tensors, values = {}, []
    for keys, value in _leaves(state, ()):
        if isinstance(value, Tensor):
            tensors[json.dumps(keys)] = value
        elif value is None or isinstance(value, bool | int | float | str | Mapping):
            values.append([keys, value])
        else:
            raise ArgumentError(
                f"{' → '.join(keys)} in the pruner's state is of type {type(value).__name__}: a state can hold "
                "tensors, numbers, texts and dictionaries of them"
            )
    try:
        write_atomically(path, pack(tensors, {}, {_VALUES: json.dumps(values)}))
    except OSError as error:
        raise FileFormatError(f"cannot write the pruner's state to {path}: {error.strerror or error}") from error


def read_state(path: Path) -> dict[str, Any]:
    """The state that was written.

    Raises:
        FileFormatError: there is no such file, or it is of another kind.
        CorruptFileError: a byte has changed.
    """
    unpacked = unpack(read_file(path))
    if _VALUES not in unpacked.metadata:
        raise FileFormatError(f"{path} holds no pruner's state")
    state: dict[str, Any] = {}
    try:
        leaves = [(json.loads(name), tensor) for name, tensor in unpacked.tensors.items()]
        for keys, value in [*leaves, *json.loads(unpacked.metadata[_VALUES])]:
            *parents, last = keys
            place = state
            for key in parents:
                place = place.setdefault(key, {})
            place[last] = value
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"the pruner's state in {path} cannot be read: {error}") from error
    return state


def _leaves(state: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value with its keys; a dictionary is one if there is nothing in it."""
    for key, value in state.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
