"""The whole section, gathered for its template."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.history.blobs import Blobs
from prunus.report.evidence import Evidence
from prunus.report.lottery.agreement import AgreementMap, agreement_map
from prunus.report.lottery.families import Family, families_of
from prunus.report.lottery.masks import RecordedMasks
from prunus.report.lottery.pictures import TicketPictures, ticket_pictures
from prunus.report.lottery.verdicts import VerdictTable, telling_sparsity, verdict_table
from prunus.tickets.gathering import FOUND, tickets_of
from prunus.tickets.rounds import recorded_masks
from prunus.tickets.verdict import LOSING, judge

MOST_FAMILIES = 3  # whose charts and pictures are shown


@dataclass(frozen=True)
class Lottery:
    """The section on tickets.

    Attributes:
        verdicts: the table.
        sparsity: at which the figures show tickets.
        all_lose: whether each ticket is shown to lose, at every sparsity.
        families: tickets with their controls, those that stand best first.
        more_families: how many more there are.
        agreement: of the masks; None where there are no two to compare.
        pictures: of the masks of the same tickets.
        unread: masks that cannot be read.
    """

    verdicts: VerdictTable
    sparsity: float
    all_lose: bool
    families: tuple[Family, ...]
    more_families: int
    agreement: AgreementMap | None
    pictures: tuple[TicketPictures, ...]
    unread: int


def lottery(evidence: Evidence, blobs: Blobs) -> Lottery | None:
    """The section; None where no controls and no learning curves make it an experiment on tickets.

    Args:
        evidence: of the experiment.
        blobs: of its history, for the masks.
    """
    tickets = tickets_of(evidence.runs, evidence.states.values())
    if not any(
        ticket.kind != FOUND or any(state.curve for state in ticket.states.values()) for ticket in tickets.tickets
    ):
        return None
    verdicts = judge(tickets)
    if not verdicts:
        return None
    sparsity = telling_sparsity(verdicts)
    there = [each for each in verdicts if each.ticket.sparsity == sparsity]
    there.sort(key=lambda each: -each.accuracy.mean)
    shown = [each.ticket for each in there[:MOST_FAMILIES]]
    recorded = recorded_masks(evidence.runs, evidence.states.values()).get(sparsity, {})
    masks = RecordedMasks(recorded, blobs)
    return Lottery(
        verdict_table(verdicts, evidence),
        sparsity,
        all(each.word == LOSING for each in verdicts),
        families_of(shown, tickets, evidence),
        len(there) - len(shown),
        agreement_map(masks, evidence),
        tuple(found for ticket in shown if (found := ticket_pictures(ticket.technique, masks))),
        len(masks.unread),
    )
