"""The records of a history: written, and found by id."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import final

from prunus.errors import ArgumentError, HistoryError, UnknownNameError
from prunus.history.blobs import Blobs
from prunus.history.disk import explained, locked, remove_leftovers, write
from prunus.history.encoding import AnyRecord, encode
from prunus.history.index import Index
from prunus.history.records import ExperimentRecord, RunRecord, StateRecord
from prunus.history.rules import is_id
from prunus.history.scan import Place, Row, experiment_place, load, read, run_place, state_place

_MOST_LISTED = 5


@final
class Ledger:
    """Writes records, one writer at a time, and finds them.

    Args:
        folder: of the history.
        blobs: that the states refer to.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder, self._blobs = folder, blobs
        self._index = Index(folder)

    def begin(self, run: RunRecord) -> None:
        """See ``History.begin``."""
        data = encode(run)
        with self.locked("writing"):
            remove_leftovers(self._folder)
            place = run_place(run.id)
            first = load(RunRecord, self._folder, place)
            if first is None:
                write(self._folder / place.path, data)
                return
            again = dataclasses.replace(run, created=first.created, environment=first.environment)
            if encode(again) != encode(first):
                raise HistoryError(f"run {run.id!r} is recorded already, with other settings: an id stands for one run")

    def add(self, state: StateRecord) -> None:
        """See ``History.add``."""
        data, place = encode(state), state_place(state)
        with self.locked("writing"):
            known = load(StateRecord, self._folder, place)
            if known is None:
                self._check_place(state)
                write(self._folder / place.path, data)
            elif encode(known) != data:
                raise HistoryError(f"state {state.id!r} is recorded already, with another outcome")

    def record(self, experiment: ExperimentRecord) -> None:
        """See ``History.record``."""
        data = encode(experiment)
        with self.locked("writing"):
            write(self._folder / experiment_place(experiment.id).path, data)

    def select(self, condition: str, values: tuple[object, ...] = (), run: str | None = None) -> list[Row]:
        """The sound records that satisfy an SQL condition; see ``Index.select``."""
        return self._index.select(f"problem = '' AND {condition}", values, run)

    def problems(self) -> list[str]:
        """See ``History.problems``."""
        return [row.problem for row in self._index.select("problem != '' ORDER BY path")]

    def find(self, kind: str, prefix: str, runs: frozenset[str] | None = None) -> Row:
        """The record of that id, or of the only id that begins so.

        Args:
            kind: ``"run"``, ``"state"`` or ``"experiment"``.
            prefix: of the id.
            runs: ids of the runs to look at, None for all.

        Raises:
            UnknownNameError: there is none.
            ArgumentError: there are several.
            HistoryError: the record is damaged.
        """
        rows = self._exactly(kind, prefix) or self._index.select(
            "kind = ? AND id >= ? AND id < ? ORDER BY id, path", (kind, prefix, f"{prefix}\U0010ffff")
        )
        rows = [row for row in rows if runs is None or not row.run or row.run in runs]
        rows = [row for row in rows if row.id == prefix] or rows
        if not rows:
            lists = "`prunus history --experiments`" if kind == "experiment" else "`prunus history`"
            raise UnknownNameError(f"no {kind} has an id that begins with {prefix!r}: {lists} lists them")
        if len(rows) > 1:
            listed = ", ".join(row.id for row in rows[:_MOST_LISTED]) + (" …" if len(rows) > _MOST_LISTED else "")
            raise ArgumentError(
                f"{len(rows)} {kind}s have an id that begins with {prefix!r}: {listed}; give more of it"
            )
        if rows[0].problem:
            raise HistoryError(rows[0].problem)
        return rows[0]

    def _exactly(self, kind: str, record_id: str) -> list[Row]:
        # A run or an experiment of that very id has one place, so nothing need be looked through.
        if kind == "state" or not is_id(record_id):
            return []
        row = read(self._folder, run_place(record_id) if kind == "run" else experiment_place(record_id), "")
        return [row] if row else []

    @contextlib.contextmanager
    def locked(self, name: str, blocking: bool = True) -> Iterator[bool]:
        """Hold the history's lock of that name; see ``disk.locked``.

        Raises:
            HistoryError: the folder cannot be written.
        """
        path = self._folder / "locks" / name
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(locked(path, blocking=blocking))
            except OSError as error:
                raise explained(error, path) from error
            yield held

    def load(self, kind: type[AnyRecord], place: Place) -> AnyRecord:
        """The record at a place that the index knows.

        Raises:
            HistoryError: its file has gone or has been damaged since.
        """
        record = load(kind, self._folder, place)
        if record is None:
            raise HistoryError(f"{place.path} has gone since the history was last looked through")
        return record

    def _check_place(self, state: StateRecord) -> None:
        if load(RunRecord, self._folder, run_place(state.run)) is None:
            raise HistoryError(f"state {state.id!r} belongs to run {state.run!r}, which has not begun: begin it first")
        rivals = self._index.select(
            "kind = 'state' AND (id = ? OR path GLOB ?)",
            (state.id, f"runs/{state.run}/states/{state.position:04}-*"),
            run=state.run,
        )
        if rivals:
            raise HistoryError(
                f"state {state.id!r} cannot be at position {state.position} of run {state.run!r}: {rivals[0].path} has "
                "that id or that position already"
            )
        if state.parent is not None and not self._has_state(state.parent, state.run):
            raise HistoryError(
                f"state {state.id!r} has the parent {state.parent!r}, which is not recorded: add it first"
            )
        for name, digest in (("weights", state.weights), ("masks", state.masks)):
            if digest is not None and digest not in self._blobs:
                raise HistoryError(
                    f"the {name} of state {state.id!r} are not stored: give their bytes to history.blobs.put first"
                )

    def _has_state(self, state_id: str, run: str) -> bool:
        # Most parents are of the same run, whose folder is looked through much sooner than all.
        return any(self.select("kind = 'state' AND id = ?", (state_id,), only) for only in (run, None))
