"""A SQLite index of the history's records.

The folder is the truth. The index says which files hold what, so that few of them need be opened; it can be removed
at any time, and before every answer it takes in the files that are new or have changed. Where it cannot be kept on
disk, it is kept in memory.

A connection lives for one question only, under a shared lock; so nobody has the index open when a damaged one is
removed under the exclusive lock, which is the one thing that SQLite does not survive.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import final

from prunus.history.disk import explained, locked
from prunus.history.records import SCHEMA
from prunus.history.scan import Row, place_of, read, scan

_VERSION = SCHEMA * 1000 + 1  # the last digits count the layouts of the table below
_WAIT_SECONDS = 30.0
# One table and no index of it: all of it is compared with the folder before every answer, so whatever a power cut
# takes from it comes back, which could not be said of an index.
_TABLE = (
    "CREATE TABLE records (path TEXT PRIMARY KEY, kind TEXT, id TEXT, run TEXT, signature TEXT, parent TEXT, "
    "position INTEGER, created TEXT, problem TEXT) WITHOUT ROWID"
)
_WITHIN = "path > ? AND path < ?"
_NOT_KEPT_ON_DISK = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


@final
class Index:
    """The index of one history; safe to use from several threads and processes.

    Args:
        folder: of the history.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path, self._lock = folder / "index.sqlite", folder / "locks" / "index"
        self._memory: sqlite3.Connection | None = None
        self._memory_lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Index], tuple[Path]]:
        return Index, (self._folder,)

    def select(self, condition: str, values: tuple[object, ...] = (), run: str | None = None) -> list[Row]:
        """The rows that satisfy an SQL condition, after taking in what has changed in the folder.

        Args:
            condition: what follows ``WHERE``.
            values: of its placeholders.
            run: look in this run's folder only.
        """
        for _ in range(2):
            if self._memory:
                break
            try:
                return self._answer_from_disk(condition, values, run)
            except OSError:
                break
            except sqlite3.DatabaseError as error:
                if _primary_code(error) in _NOT_KEPT_ON_DISK or not self._remove():
                    break
        return self._answer_from_memory(condition, values, run)

    def _answer_from_disk(self, condition: str, values: tuple[object, ...], run: str | None) -> list[Row]:
        with locked(self._lock, shared=True), contextlib.closing(_connect(self._path)) as connection:
            if _is_current(connection):
                return self._answer(connection, condition, values, run)
        with locked(self._lock), contextlib.closing(_connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            _make_table(connection)
            return self._answer(connection, condition, values, run)

    def _answer(
        self, connection: sqlite3.Connection, condition: str, values: tuple[object, ...], run: str | None
    ) -> list[Row]:
        _refresh(connection, self._folder, run)
        query = f"SELECT {', '.join(Row._fields)} FROM records WHERE {_WITHIN} AND {condition}"
        return [Row(*columns) for columns in connection.execute(query, (*_bounds(run), *values))]

    def _answer_from_memory(self, condition: str, values: tuple[object, ...], run: str | None) -> list[Row]:
        with self._memory_lock:
            if not self._memory:
                memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                weakref.finalize(self, memory.close)
                _make_table(memory)
                self._memory = memory
            try:
                return self._answer(self._memory, condition, values, run)
            except OSError as error:
                raise explained(error, self._folder) from error

    def _remove(self) -> bool:
        """Remove the damaged index; False where that cannot be done."""
        try:
            with locked(self._lock):
                for ending in ("", "-wal", "-shm"):
                    self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)


def _primary_code(error: sqlite3.DatabaseError) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_current(connection: sqlite3.Connection) -> bool:
    return connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION


def _make_table(connection: sqlite3.Connection) -> None:
    """Make the table, unless it is there in this version."""
    with _writing(connection):
        if not _is_current(connection):
            connection.execute("DROP TABLE IF EXISTS records")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {_VERSION}")


def _refresh(connection: sqlite3.Connection, folder: Path, run: str | None) -> None:
    """Take in the files that are new or have changed, and drop those that have gone."""
    # The rows are read before the folder: a row whose file is not there afterwards has lost it, whereas the file
    # of a row that another process adds in between is merely too new to be seen.
    known = dict(connection.execute(f"SELECT path, signature FROM records WHERE {_WITHIN}", _bounds(run)).fetchall())
    changed: list[Row] = []
    for path, signature in scan(folder, run):
        if (
            known.pop(path, None) != signature
            and (place := place_of(path)) is not None
            and (row := read(folder, place, signature)) is not None
        ):
            changed.append(row)
    if not changed and not known:
        return
    connection.execute("PRAGMA synchronous = OFF")  # what a power cut takes from the index, the folder gives back
    with _writing(connection):
        connection.executemany("DELETE FROM records WHERE path = ?", [(path,) for path in known])
        connection.executemany(f"INSERT OR REPLACE INTO records VALUES ({', '.join('?' * len(Row._fields))})", changed)


def _bounds(run: str | None) -> tuple[str, str]:
    """Texts between which the paths lie of one run, or of all records."""
    return ("", "~") if run is None else (f"runs/{run}/", f"runs/{run}/~")


@contextlib.contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite itself ends it where the disk is full
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
