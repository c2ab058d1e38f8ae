"""The history's folder: opened, locked and written to."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from prunus.errors import HistoryError
from prunus.files.atomic import write_atomically

FORMAT, LAYOUT = "prunus-history", 1
_ABANDONED_AFTER_SECONDS = 3600  # no write takes that long, so a part of that age has no writer any more
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_NOT_A_FOLDER = (errno.ENOTDIR, errno.EEXIST)


def default_folder() -> Path:
    """The folder that ``$PRUNUS_HISTORY`` names, else ``prunus-history`` in the current one."""
    return Path(os.environ.get("PRUNUS_HISTORY") or "prunus-history")


def open_folder(folder: Path, create: bool) -> None:
    """See that the folder is a history that this prunus reads, and make it one where it is new or empty.

    Raises:
        HistoryError: it is something else, of a later version, or cannot be made.
    """
    marker = folder / "FORMAT.json"
    try:
        content = marker.read_bytes()
    except FileNotFoundError:
        _make_history(folder, marker, create)
        return
    except OSError as error:
        raise explained(error, marker) from error
    try:
        found = json.loads(content)
        kind, version = found["format"], found["schema"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise HistoryError(
            f"{marker} is damaged; where {folder} is a prunus history, it holds "
            f'{{"format": "{FORMAT}", "schema": {LAYOUT}}}'
        ) from error
    if kind != FORMAT or type(version) is not int:
        raise HistoryError(f"{folder} is not a prunus history: its FORMAT.json names the format {kind!r}")
    if version > LAYOUT:
        raise HistoryError(
            f"the history {folder} has schema version {version}, this prunus reads up to {LAYOUT}: update prunus"
        )


def _make_history(folder: Path, marker: Path, create: bool) -> None:
    try:
        if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise HistoryError(
                f"{folder} is not a prunus history: it has no FORMAT.json but other files; name another folder, "
                "or set PRUNUS_HISTORY"
            )
    except OSError as error:
        raise explained(error, folder) from error
    if not create:
        raise HistoryError(f"there is no history at {folder}: run a recipe first, or set PRUNUS_HISTORY to its folder")
    write(marker, json.dumps({"format": FORMAT, "schema": LAYOUT}).encode() + b"\n")


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and make the folders above it.

    Raises:
        HistoryError: the disk is full, or the folder cannot be written; what was recorded before is untouched.
    """
    try:
        make_folder(path.parent)
        write_atomically(path, data)
    except OSError as error:
        raise explained(error, path) from error


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, so that they survive a power cut.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, blocking: bool = True) -> Iterator[bool]:
    """Hold the lock that a file stands for; the death of the process releases it.

    Args:
        path: the lock's file. It is never removed, for a lock on a removed file excludes nobody.
        shared: let other shared holders in.
        blocking: wait; without, the block sees False where somebody else holds the lock.

    Raises:
        OSError: the file cannot be opened.
    """
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if blocking else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left behind; what a living writer may still hold is left alone."""
    abandoned = time.time() - _ABANDONED_AFTER_SECONDS
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".part"):
                path = os.path.join(place, name)
                with contextlib.suppress(OSError):  # another process may have been quicker
                    if os.stat(path).st_mtime < abandoned:
                        os.unlink(path)


def explained(error: OSError, path: Path) -> HistoryError:
    """The error in words: what failed, that nothing recorded is lost, what to do."""
    safe = "nothing recorded before is lost"
    if error.errno in _FULL:
        return HistoryError(f"the disk is full: {path} was not written; {safe}; free some space and run again")
    if error.errno in _NOT_WRITABLE:
        return HistoryError(
            f"no permission for {path} ({error.strerror}): {safe}; make the history writable, or set PRUNUS_HISTORY to "
            "a folder that is"
        )
    if error.errno in _NOT_A_FOLDER:
        return HistoryError(f"{path} cannot be made: a file stands where the history needs a folder; name another one")
    return HistoryError(f"{path}: {error.strerror or error}; {safe}")
