"""Which settings about tickets go together, and which do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prunus.experiments.technique_labels import ABOUT_TICKETS
from prunus.masks.pattern_names import read_pattern

if TYPE_CHECKING:
    from prunus.experiments.technique_settings import TechniqueSettings

Wrong = Iterator[tuple[str, str]]  # key, and what is wrong with it


def wrong_ticket(technique: TechniqueSettings) -> Wrong:
    """Every setting about tickets that does not go with the others."""
    stated = technique.stated()
    given = [key for key in ABOUT_TICKETS if key in stated]
    yield from _ownerless(technique, given)
    if technique.finds and technique.ticket == "found":
        return
    key = given[0]
    if (technique.timing, technique.retrain) != ("after", "rewind"):
        yield key, f"{_written(technique, key)} trains again from the first weights: it needs retrain = 'rewind'"
    if technique.control or technique.sanity_checks or technique.penalty:
        yield (
            key,
            f"{_written(technique, key)} takes tickets that are found elsewhere: leave out control, sanity_checks and "
            "penalty",
        )
    if technique.ticket == "inverted" and (technique.votes or technique.source):
        yield "ticket", "ticket = 'inverted' is about one search on the recipe's own task"
    if technique.votes:
        yield from _wrong_vote(technique)


def _ownerless(technique: TechniqueSettings, given: list[str]) -> Wrong:
    if "vote" in given and not technique.votes:
        yield "vote", "vote goes with several searches, or with tasks"
    if technique.ticket == "bespoke" and not technique.votes:
        yield "ticket", "ticket = 'bespoke' is of the sparsity of a consensus: it goes with searches, or with tasks"
    if "carry" in given and technique.source is None:
        yield "carry", "carry goes with a source"
    if technique.carry == "late" and technique.source and not technique.rewind_step:
        yield "carry", "carry = 'late' takes the weights of rewind_step: say which, such as rewind_step = 100"


def _wrong_vote(technique: TechniqueSettings) -> Wrong:
    if technique.source:
        yield "source", "source takes one ticket to another task, and searches or tasks put several to a vote"
    if len(technique.tasks) == 1:
        yield "tasks", "tasks are several: one alone is a source"
    if technique.rewind_step:
        yield "rewind_step", "tickets are put to a vote that begin with the same first weights: rewind_step must be 0"
    if read_pattern(technique.pattern).fixed_sparsity is not None:
        yield "pattern", f"what several masks keep is no longer {technique.pattern}: a vote needs another pattern"


def _written(technique: TechniqueSettings, key: str) -> str:
    value = technique.stated()[key]
    return key if isinstance(value, dict | list) else f"{key} = {value!r}"
