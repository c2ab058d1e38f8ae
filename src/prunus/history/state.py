"""One recorded state, and the way back to its model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, final

from prunus.errors import HistoryError
from prunus.history.records import StateRecord
from prunus.history.scan import Row

if TYPE_CHECKING:
    from torch import nn

    from prunus.history.store import History
    from prunus.masks.masks import Masks


@final
class State:
    """A state of the history: its record, its relatives, and its model. ``History.state`` makes it.

    Attributes:
        id: of the state.
        run_id: id of the run it belongs to.
        position: in the order in which the run made its states.
        place: of its record in the history's folder.
        history: that holds it.
    """

    def __init__(self, history: History, row: Row) -> None:
        self.history, self.place = history, row.place
        self.id, self.run_id, self.position = row.id, row.run, row.position

    def __repr__(self) -> str:
        return f"State({self.id!r}, run={self.run_id!r}, position={self.position})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return (self.history.folder, self.id) == (other.history.folder, other.id)

    def __hash__(self) -> int:
        return hash((self.history.folder, self.id))

    @functools.cached_property
    def record(self) -> StateRecord:
        """What was recorded of it, read when it is first asked for.

        Raises:
            HistoryError: its file has gone or has been damaged since the state was found.
        """
        return self.history.record_of(self)

    def restore(self, model: nn.Module) -> Masks:
        """Give the model exactly the weights and buffers of this state, in place.

        Args:
            model: of the architecture of the run, in any state; nothing is written unless everything fits.

        Returns:
            the masks of this state, empty where nothing is pruned.

        Raises:
            HistoryError: the weights or masks are missing.
            CorruptFileError: a byte of them has changed.
            FileFormatError: they do not fit the model.
        """
        from prunus.masks.masks import Masks
        from prunus.masks.storage import masks_from_bytes
        from prunus.packing.model import load

        blobs, record = self.history.blobs, self.record
        masks = masks_from_bytes(blobs.get(record.masks)) if record.masks else Masks({})
        blobs.get(record.weights)  # reading it checks its digest
        load(model, blobs.path(record.weights))
        return masks

    def weights(self) -> bytes:
        """The packed file of its model, as ``prunus.load`` reads it, or ``prunus.trees.unpack`` where it is of trees.

        Raises:
            HistoryError: it is missing.
            CorruptFileError: a byte of it has changed.
        """
        return self.history.blobs.get(self.record.weights)

    def parent(self) -> State | None:
        """The state it was made from, perhaps of another run; None for an initialisation.

        Raises:
            HistoryError: its record has gone or is damaged.
        """
        return self.history.parent_of(self)

    def children(self) -> list[State]:
        """The states that were made from it, of all runs, oldest first."""
        return self.history.children_of(self)

    def lineage(self) -> list[State]:
        """The states that led here, from the first to this one.

        Raises:
            HistoryError: the record of an ancestor has gone or is damaged, or the states go round in a circle.
        """
        states, seen = [self], {self.id}
        while parent := states[-1].parent():
            if parent.id in seen:
                raise HistoryError(f"state {parent.id!r} is its own ancestor: its record has been changed by hand")
            states.append(parent)
            seen.add(parent.id)
        return states[::-1]
