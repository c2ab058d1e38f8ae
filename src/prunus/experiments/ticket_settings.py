"""Which tickets a technique takes, and what it changes in them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from prunus.experiments.settings import Number, Settings, Whole
from prunus.experiments.task_settings import SourceSettings
from prunus.experiments.technique_labels import ABOUT_TICKETS, told

Ticket = Literal[
    "found",
    "reinitialised",
    "shuffled",
    "redrawn",
    "inverted",
    "reordered",
    "untrained",
    "signed",
    "bespoke",
    "unpruned",
]
Carry = Literal["mask", "initialisation", "late"]


class TicketSettings(Settings):
    """What of a technique's settings is about tickets that other runs have found.

    Attributes:
        name: as it appears in tables; made from the settings where empty.
        ticket: ``"found"`` trains what the technique has found; the others train a control of each: ``"reinitialised"``
            has new weights, ``"shuffled"`` as many weights of each layer at random, ``"redrawn"`` both, ``"inverted"``
            the weights with the highest scores removed, ``"reordered"`` sees the data in another order, ``"untrained"``
            is not trained at all, and neither is ``"signed"``, whose weights are one constant in each layer with the
            signs of the first ones. The technique without it is run too. ``"bespoke"`` is the ticket that one search
            finds at the sparsity of a consensus. ``"unpruned"`` trains the whole network from the weights to rewind to,
            on the data in another order.
        searches: how many searches there are, each with another order of the data from the same first weights; the
            tickets of several are put to a vote.
        tasks: on which the searches are made, from the same first weights; the recipe's own where there are none.
        vote: share of the searches that must keep a weight: 1 is the intersection of their tickets.
        source: task on which the tickets are found that are trained on the recipe's.
        carry: what comes with them: the ``"mask"`` alone, or weights too, those of the ``"initialisation"`` or the
            ``"late"`` ones of ``rewind_step``.
    """

    name: str = ""
    ticket: Ticket = "found"
    searches: Whole = Field(1, ge=1)
    tasks: tuple[SourceSettings, ...] = ()
    vote: Number = Field(1.0, gt=0, le=1)
    source: SourceSettings | None = None
    carry: Carry = "initialisation"

    @property
    def votes(self) -> bool:
        """Whether it puts the tickets of several searches to a vote."""
        return self.searches > 1 or bool(self.tasks)

    @property
    def finds(self) -> bool:
        """Whether it takes no tickets that other runs have found."""
        return self.ticket == "unpruned" or (self.ticket == "found" and self.source is None and not self.votes)

    @property
    def finding(self) -> Self:
        """The technique that finds the tickets which this takes."""
        name = self.name
        for part in filter(None, (told(key, getattr(self, key)) for key in ABOUT_TICKETS)):
            before, _, after = name.partition(f", {part}")
            name = before + after if after[:1] in ("", ",") else name
        plain = {key: type(self).model_fields[key].default for key in ABOUT_TICKETS}
        return self.model_copy(update={**plain, "name": name if name != self.name else ""})
