"""What lies in the history's folder: its record files and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prunus.errors import HistoryError
from prunus.history.encoding import AnyRecord, Record, decode
from prunus.history.records import ExperimentRecord, RunRecord, StateRecord
from prunus.history.rules import is_id

_CLASSES: dict[str, type[Record]] = {"run": RunRecord, "state": StateRecord, "experiment": ExperimentRecord}


class Place(NamedTuple):
    """Where a record stands, and so what it must be.

    Attributes:
        path: of the file, relative to the history's folder.
        kind: ``"run"``, ``"state"`` or ``"experiment"``.
        id: of the record.
        run: id of the run it belongs to, empty for an experiment.
    """

    path: str
    kind: str
    id: str
    run: str


class Row(NamedTuple):
    """What the index keeps of a record file.

    Attributes:
        path, kind, id, run: those of its ``Place``.
        signature: of the file when it was read; another signature means another content.
        parent: of a state, else empty.
        position: of a state, else 0.
        created: the record's own.
        problem: what is wrong with it, else empty.
    """

    path: str
    kind: str
    id: str
    run: str
    signature: str
    parent: str
    position: int
    created: str
    problem: str

    @property
    def place(self) -> Place:
        """Where the file stands."""
        return Place(*self[:4])


def run_place(run: str) -> Place:
    """Where a run stands."""
    return Place(f"runs/{run}/run.json", "run", run, run)


def state_place(state: StateRecord) -> Place:
    """Where a state stands."""
    return Place(f"runs/{state.run}/states/{state.position:04}-{state.id}.json", "state", state.id, state.run)


def experiment_place(experiment: str) -> Place:
    """Where an experiment stands."""
    return Place(f"experiments/{experiment}/experiment.json", "experiment", experiment, "")


def scan(folder: Path, run: str | None = None) -> Iterator[tuple[str, str]]:
    """Path and signature of every file that may be a record, of one run or of all runs and experiments.

    This is asked before every answer, of every file, so it does no more than it must.

    Raises:
        OSError: a folder is there but cannot be listed.
    """
    found = [f"experiments/{name}/experiment.json" for name in _names(folder / "experiments")] if run is None else []
    root = str(folder)
    for name in _names(folder / "runs") if run is None else [run]:
        found.append(f"runs/{name}/run.json")
        states = f"runs/{name}/states"
        found += [f"{states}/{file}" for file in _names(f"{root}/{states}")]
    for path in found:
        try:
            status = os.stat(f"{root}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield path, f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def place_of(path: str) -> Place | None:
    """What a file of that path must be; None for what is no record."""
    top, owner, *below = path.split("/")
    if not is_id(owner):
        return None
    if len(below) == 1:
        return run_place(owner) if top == "runs" else experiment_place(owner)
    position, _, rest = below[1].partition("-")
    state = rest.removesuffix(".json")
    named = position.isdecimal() and is_id(state) and state != rest
    return Place(path, "state", state, owner) if named else None


def load(kind: type[AnyRecord], folder: Path, place: Place) -> AnyRecord | None:
    """The record that stands at that place; None where nothing does.

    Raises:
        HistoryError: it is damaged, misplaced, of a later schema, or cannot be read.
    """
    try:
        record = decode(kind, (folder / place.path).read_bytes(), place.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HistoryError(f"{place.path} cannot be read: {error.strerror or error}") from error
    if record.id != place.id or (isinstance(record, StateRecord) and state_place(record) != place):
        raise HistoryError(f"{place.path} is misplaced, for it holds the {place.kind} {record.id!r}: put it back")
    return record


def read(folder: Path, place: Place, signature: str) -> Row | None:
    """What the index keeps of a record file, a damaged one with its problem; None where the file has gone."""
    try:
        record: Record | None = load(_CLASSES[place.kind], folder, place)
    except HistoryError as error:
        # A piece of the damaged file may stand in the problem, and need not be text that can be stored.
        problem = str(error).encode(errors="backslashreplace").decode()
        return Row(*place, signature, parent="", position=0, created="", problem=problem)
    if record is None:
        return None
    parent, position = (record.parent or "", record.position) if isinstance(record, StateRecord) else ("", 0)
    return Row(*place, signature, parent, position, record.created, problem="")


def _names(folder: Path | str) -> list[str]:
    """Names in the folder, none where it is missing; a part that is being written begins with a dot."""
    try:
        return [name for name in os.listdir(folder) if name[0] != "."]
    except (FileNotFoundError, NotADirectoryError):
        return []
