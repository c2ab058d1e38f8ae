"""Weights and masks, each stored once under the digest of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import final

from prunus.errors import CorruptFileError, HistoryError
from prunus.history.disk import explained, write
from prunus.history.rules import is_digest


@final
class Blobs:
    """A store of bytes, addressed by their SHA-256; several processes may put and get at once.

    Args:
        folder: made when something is first put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, digest: str) -> bool:
        return is_digest(digest) and self.path(digest).is_file()

    def path(self, digest: str) -> Path:
        """Where the bytes of that digest lie, or would lie.

        Raises:
            HistoryError: it is no SHA-256 in hexadecimal digits.
        """
        if not is_digest(digest):
            raise HistoryError(f"a digest is 64 hexadecimal digits, got {digest!r}")
        return self.folder / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Store the bytes and return their digest; what is already there is not written again, unless it is damaged.

        Raises:
            HistoryError: the disk is full, or the folder cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        try:
            present = path.read_bytes() == data
        except FileNotFoundError:
            present = False
        except OSError as error:
            raise explained(error, path) from error
        if not present:
            write(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of that digest.

        Raises:
            HistoryError: there are none, or they cannot be read.
            CorruptFileError: their file is damaged.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise HistoryError(
                f"the history lacks {path}: it was removed by hand, or not copied with the rest"
            ) from error
        except OSError as error:
            raise explained(error, path) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise CorruptFileError(
                f"{path} is damaged: its bytes do not have the digest that it is named by; take it from a copy of the "
                "history, or remove the run's folder and run the recipe again"
            )
        return data
