"""The masks of one sparsity, read from the history as arrays."""

from __future__ import annotations

from collections.abc import Mapping

from prunus.errors import FileFormatError, HistoryError
from prunus.history.blobs import Blobs
from prunus.masks.storage import arrays_from_bytes
from prunus.tickets.overlap import Arrays


class RecordedMasks:
    """What the history has, read when it is asked for.

    Args:
        digests: technique → seed → digest of the masks.
        blobs: that hold them.

    Attributes:
        unread: digests of those that were asked for and cannot be read: the page is written without them.
    """

    def __init__(self, digests: Mapping[str, Mapping[int, str]], blobs: Blobs) -> None:
        self.digests, self.unread = digests, set[str]()
        self._blobs = blobs

    def of(self, technique: str) -> dict[int, Arrays]:
        """Seed → parameter name → bool array, True = kept."""
        found: dict[int, Arrays] = {}
        for seed, digest in sorted(self.digests.get(technique, {}).items()):
            try:
                found[seed] = arrays_from_bytes(self._blobs.get(digest))
            except (HistoryError, FileFormatError):
                self.unread.add(digest)
        return found
