"""Figures of a ticket and its controls: learning curves, and when each stops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from prunus.report.evidence import Evidence
from prunus.report.lottery.charts import accuracy_charts, learning_charts, stopping_charts
from prunus.report.lottery.series import Relatives, Series
from prunus.report.words import half_width, percent, sparsity_percent, spread
from prunus.selection.statistics import Interval
from prunus.tickets.gathering import Ticket, Tickets

_MOST_ROWS = 12  # of a table of steps


@dataclass(frozen=True)
class NumberTable:
    """The numbers of a figure.

    Attributes:
        across: what stands before the rows.
        columns: names of the lines.
        rows: what is before each, and a text for each line, empty where it has nothing there.
    """

    across: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        caption: what it shows.
        charts: it in two widths.
        numbers: that it shows.
    """

    caption: str
    charts: list[Markup]
    numbers: NumberTable


@dataclass(frozen=True)
class Family:
    """The figures of a ticket with its controls, at least one.

    Attributes:
        technique: that found it.
        index: of its mark.
        figures: in the order of the page.
        learns: whether how it learned is among them.
    """

    technique: str
    index: int | None
    figures: tuple[Figure, ...]
    learns: bool


def families_of(shown: Sequence[Ticket], tickets: Tickets, evidence: Evidence) -> tuple[Family, ...]:
    """The figures of these tickets; a ticket has none where nothing is known of how it learned.

    Args:
        shown: tickets that were found, at the sparsity that the learning curves are of.
        tickets: of the experiment.
        evidence: of it.
    """
    found = []
    for number, ticket in enumerate(shown):
        relatives = Relatives.of(ticket, tickets, evidence)
        figures = _figures(relatives, evidence, f"ticket-{number}")
        if figures:
            learns = _is_drawn(relatives.learning(), 1)
            found.append(Family(ticket.technique, evidence.index(ticket.technique), tuple(figures), learns))
    return tuple(found)


def _figures(relatives: Relatives, evidence: Evidence, identifier: str) -> list[Figure]:
    """Source: Frankle & Carbin 2019, figures 3 and 4 (arXiv:1803.03635), there with the extremes of the trials."""
    figures = []
    learning = relatives.learning()
    if _is_drawn(learning, 1):
        left = sparsity_percent(relatives.ticket.left)
        charts = learning_charts(learning, f"{identifier}-learning")
        numbers = _numbers(learning, "step", "{:,.0f}".format, _accuracy)
        figures.append(Figure(f"Test accuracy as training proceeds, {left} of the weights left", charts, numbers))
    stopping = relatives.stopping()
    if _is_drawn(stopping, 2):
        last = max((step for each in learning for step in each.values), default=math.inf)
        charts = stopping_charts(stopping, last, f"{identifier}-stopping")
        numbers = _numbers(stopping, "left", sparsity_percent, _step)
        figures.append(Figure("Step at which the validation loss is lowest", charts, numbers))
    accuracies = relatives.accuracies()
    named = all(evidence.index(one.technique) is not None for _, found in relatives.kinds.values() for one in found)
    if not named and _is_drawn(accuracies, 2):  # elsewhere the page has no chart of these lines
        charts = accuracy_charts(accuracies, f"{identifier}-accuracy")
        numbers = _numbers(accuracies, "left", sparsity_percent, _accuracy)
        caption = "Test accuracy at that step" if figures else "Test accuracy when training ends"
        figures.append(Figure(caption, charts, numbers))
    return figures


def _is_drawn(found: Sequence[Series], least: int) -> bool:
    """Whether a ticket has so many values."""
    return any(each.index is not None and len(each.values) >= least for each in found)


def _numbers(
    found: Sequence[Series], across: str, head: Callable[[float], str], text: Callable[[Interval], str]
) -> NumberTable:
    places = sorted({place for each in found for place in each.values}, reverse=across == "left")
    kept = places[::-1][:: math.ceil(len(places) / _MOST_ROWS)][::-1]
    rows = tuple((head(at), tuple(text(each.values[at]) if at in each.values else "" for each in found)) for at in kept)
    return NumberTable(across, tuple(each.name for each in found), rows)


def _accuracy(mean: Interval) -> str:
    return " ".join(filter(None, (percent(mean.mean), spread(mean))))


def _step(mean: Interval) -> str:
    half = half_width(mean)
    return f"{mean.mean:,.0f}" + (f" ±{half:,.0f}" if math.isfinite(half) else "")
