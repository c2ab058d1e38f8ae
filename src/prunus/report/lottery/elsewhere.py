"""Tickets that come of several searches, or of another task, as the page shows them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prunus.errors import HistoryError, SelectionError, UnknownNameError
from prunus.history.store import History
from prunus.report.evidence import Evidence
from prunus.report.heat_map import Cell, Head, HeatMap, legend
from prunus.report.lottery.verdicts import Shown, shown_difference
from prunus.report.palette import heat_name
from prunus.report.words import UNKNOWN, half_width, mean_and_half, percent, signed, sparsity_percent
from prunus.tickets.agreeing import Agreed, consensus
from prunus.tickets.gathering import tickets_of
from prunus.tickets.transferring import BESPOKE, Transfer, transfers

CARRIES = {"mask": "the mask alone", "initialisation": "mask and first weights", "late": "mask and late weights"}


@dataclass(frozen=True)
class ConsensusRow:
    """What enough of several searches keep.

    Attributes:
        technique: its name.
        index: of its mark.
        searched: what each search has left.
        votes: how many of how many must keep a weight.
        left, by_chance: what the vote leaves, and would by chance.
        accuracy, to_bespoke, to_random: see ``Agreed``.
        seconds: side by side, one by one, and of the bespoke ticket.
    """

    technique: str
    index: int | None
    searched: str
    votes: str
    left: str
    by_chance: str
    accuracy: str
    to_bespoke: Shown
    to_random: Shown
    seconds: tuple[str, str, str]


@dataclass(frozen=True)
class TransferMap:
    """Source by target.

    Attributes:
        carry: what comes with the mask.
        sparsity: that was asked for.
        map: accuracies, coloured by the difference to the bespoke ticket.
    """

    carry: str
    sparsity: float
    map: HeatMap


@dataclass(frozen=True)
class Elsewhere:
    """The section on tickets that were found elsewhere.

    Attributes:
        rows: of what was put to a vote.
        maps: of what was taken to other tasks, over all experiments of the history that train as this.
        unread: why some of it cannot be shown; empty where all can.
    """

    rows: tuple[ConsensusRow, ...]
    maps: tuple[TransferMap, ...]
    unread: str


def elsewhere(evidence: Evidence, history: History) -> Elsewhere | None:
    """The section; None where the experiment takes no tickets from elsewhere."""
    tickets = tickets_of(evidence.runs, evidence.states.values())
    voted = any(ticket.is_voted for ticket in tickets.tickets)
    taken = any("source" in run.settings for run in evidence.runs)
    rows: tuple[ConsensusRow, ...] = ()
    maps: tuple[TransferMap, ...] = ()
    unread = ""
    try:
        with contextlib.suppress(SelectionError):  # there are controls alone
            rows = tuple(_row(each, evidence) for each in consensus(history, tickets)) if voted else ()
        with contextlib.suppress(SelectionError):
            maps = transfer_maps(transfers(history, beside=evidence.experiment.id)) if taken else ()
    except (HistoryError, UnknownNameError) as error:
        unread = str(error)
    return Elsewhere(rows, maps, unread) if rows or maps or unread else None


def transfer_maps(found: Sequence[Transfer]) -> tuple[TransferMap, ...]:
    """One for each thing that comes with a mask, at the highest sparsity that most tickets have."""
    counted = Counter(each.sparsity for each in found)
    sparsity = max(counted, key=lambda each: (counted[each], each))
    there = [each for each in found if each.sparsity == sparsity]
    maps = []
    for origin in dict.fromkeys(each.origin for each in there):
        for carry, said in CARRIES.items():
            alike = [each for each in there if each.origin == origin and each.carry in (carry, BESPOKE)]
            if any(each.carry == carry for each in alike):
                maps.append(TransferMap(said, sparsity, _map(alike, said)))
    return tuple(maps)


def _map(found: Sequence[Transfer], carry: str) -> HeatMap:
    cells = {(each.source, each.target): each for each in found}
    sources, targets = (tuple(dict.fromkeys(getattr(each, key) for each in found)) for key in ("source", "target"))
    rows = tuple(tuple(_cell(cells.get((source, target))) for target in targets) for source in sources)
    return HeatMap(
        f"Test accuracy in % of tickets found on one task and trained on another: {carry}",
        tuple(map(Head, sources)),
        tuple(map(Head, targets)),
        rows,
        "found on",
        "trained on",
        legend(rows, " points"),
    )


def _cell(each: Transfer | None) -> Cell:
    if each is None:
        return Cell(UNKNOWN, "none")
    accuracy = f"{100 * each.accuracy.mean:.1f}"
    words = f"found on {each.source}, trained on {each.target}: {accuracy} %"
    if each.to_bespoke is None:
        return Cell(accuracy, "none", words=words, framed=each.carry == BESPOKE)
    points, half = 100 * each.to_bespoke.mean, 100 * half_width(each.to_bespoke)
    difference = signed(points) + (f" ±{half:.1f}" if half == half else "")
    clear = each.to_bespoke.excludes_zero
    return Cell(accuracy, heat_name(points), (difference,), f"{words}, {difference} points to bespoke", clear)


def _row(each: Agreed, evidence: Evidence) -> ConsensusRow:
    ticket, verdict = each.verdict.ticket, each.verdict
    bespoke, random = (verdict.to_controls.get(kind) for kind in ("bespoke", "shuffled"))
    return ConsensusRow(
        ticket.technique,
        evidence.index(ticket.technique),
        sparsity_percent(1 - ticket.sparsity),
        f"{each.votes} of {each.of}",
        sparsity_percent(1 - each.sparsity.mean),
        sparsity_percent(1 - each.by_chance.mean),
        percent(verdict.accuracy.mean),
        shown_difference(bespoke, 100) if bespoke else (UNKNOWN, "", False),
        shown_difference(random, 100) if random else (UNKNOWN, "", False),
        (mean_and_half(each.apart, 1, 0), mean_and_half(each.together, 1, 0), mean_and_half(each.bespoke, 1, 0)),
    )
