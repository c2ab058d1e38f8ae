"""The verdicts on lottery tickets, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunus.report.evidence import Evidence
from prunus.report.words import half_width, percent, signed, sparsity_percent
from prunus.selection.statistics import Interval
from prunus.tickets.verdict import LATER, LOSING, MARGIN, Verdict

Shown = tuple[str, str, bool]  # the mean, half its interval, and whether that excludes zero


@dataclass(frozen=True)
class TicketRow:
    """One ticket at one sparsity.

    Attributes:
        technique: that found it.
        index: of its mark.
        left: what is left of the weights.
        accuracy, to_dense, step, later: see ``Verdict``.
        word: the verdict.
        to_controls: one for each control of the section; empty texts where the ticket has none.
    """

    technique: str
    index: int | None
    left: str
    accuracy: Shown
    to_dense: Shown
    step: Shown
    later: Shown
    word: str
    to_controls: tuple[Shown, ...]


@dataclass(frozen=True)
class VerdictTable:
    """The table of verdicts.

    Attributes:
        rows: by technique and rising sparsity.
        controls: what the controls have changed.
        margin: of accuracy, in points.
        later: in per cent of the dense network's steps.
    """

    rows: tuple[TicketRow, ...]
    controls: tuple[str, ...]
    margin: str
    later: str


def verdict_table(verdicts: Sequence[Verdict], evidence: Evidence) -> VerdictTable:
    """The verdict on every ticket, as the page shows it."""
    controls = tuple(dict.fromkeys(kind for each in verdicts for kind in each.to_controls))
    rows = tuple(_row(each, evidence, controls) for each in verdicts)
    return VerdictTable(rows, controls, f"{100 * MARGIN:g}", f"{100 * LATER:g}")


def telling_sparsity(verdicts: Sequence[Verdict]) -> float:
    """The highest sparsity at which a ticket is not shown to lose; the lowest of all where each loses."""
    standing = [each.ticket.sparsity for each in verdicts if each.word != LOSING]
    return max(standing) if standing else min(each.ticket.sparsity for each in verdicts)


def _row(verdict: Verdict, evidence: Evidence, controls: tuple[str, ...]) -> TicketRow:
    ticket = verdict.ticket
    return TicketRow(
        ticket.technique,
        evidence.index(ticket.technique),
        sparsity_percent(ticket.left),
        (percent(verdict.accuracy.mean), _half(verdict.accuracy, 100), False),
        shown_difference(verdict.to_dense, 100),
        (f"{verdict.step.mean:,.0f}", _half(verdict.step, 1, 0), False) if verdict.step else ("–", "", False),
        shown_difference(verdict.later, 100, 0) if verdict.later else ("–", "", False),
        verdict.word,
        tuple(
            shown_difference(verdict.to_controls[kind], 100) if kind in verdict.to_controls else ("", "", False)
            for kind in controls
        ),
    )


def shown_difference(interval: Interval, factor: float, decimals: int = 1) -> Shown:
    """The mean difference, half its interval, and whether that excludes zero."""
    return signed(factor * interval.mean, decimals), _half(interval, factor, decimals), interval.excludes_zero


def _half(interval: Interval, factor: float, decimals: int = 1) -> str:
    return "" if interval.high is None else f"±{factor * half_width(interval):.{decimals}f}"
