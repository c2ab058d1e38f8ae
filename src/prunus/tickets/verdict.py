"""Whether a ticket wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.early_stopping import early_stop
from prunus.tickets.gathering import FOUND, Ticket, Tickets, paired

MARGIN = 0.005  # of accuracy, half a point
LATER = 0.1  # of the dense network's steps
LOSING = "losing"


@dataclass(frozen=True)
class Verdict:
    """A ticket against the dense network, over seeds.

    Attributes:
        ticket: that is judged.
        accuracy: on the test split at the early-stopping step, or at the end where there is no learning curve.
        to_dense: accuracy less that of the dense network, paired by seed.
        step: at which it stops; None without learning curves.
        later: by how much later it stops than the dense network, as a fraction of the latter's steps, paired by seed.
        word: ``"winning"``, ``"losing"``, ``"undecided"``, or ``"as accurate"`` where nothing is known of its steps.
        to_controls: what the control has changed → accuracy less that of the control, paired by seed.
    """

    ticket: Ticket
    accuracy: Interval
    to_dense: Interval
    step: Interval | None
    later: Interval | None
    word: str
    to_controls: Mapping[str, Interval]


def judge(tickets: Tickets, *, margin: float = MARGIN, later: float = LATER) -> list[Verdict]:
    """Judge every ticket that was found and whose dense network is known, by one rule.

    A ticket wins if it is shown to be at most ``margin`` less accurate than the dense network and to stop at most
    ``later`` later: the 95 % interval of each difference lies on that side. It loses if one of the intervals lies on
    the other side. Anything else is undecided, and more seeds may decide it.

    Args:
        tickets: of one experiment.
        margin: of accuracy, in [0, 1].
        later: fraction of the steps after which the dense network stops.

    Source: Frankle & Carbin 2019, section 1 (arXiv:1803.03635), for what a winning ticket is; that differences are
        tested against margins, and not for being none, is the usual test of non-inferiority.
    """
    return [
        _judged(each, tickets, margin, later)
        for each in tickets.tickets
        if each.kind == FOUND and each.states.keys() & tickets.dense.keys()
    ]


def _judged(ticket: Ticket, tickets: Tickets, margin: float, later: float) -> Verdict:
    stops = [tuple(map(early_stop, pair)) for pair in paired(ticket.states, tickets.dense)]
    to_dense = mean_interval([own.accuracy - dense.accuracy for own, dense in stops])
    steps = [(own.step, dense.step) for own, dense in stops if own.step is not None and dense.step is not None]
    delay = mean_interval([own / dense - 1 for own, dense in steps]) if len(steps) == len(stops) else None
    return Verdict(
        ticket,
        mean_interval([own.accuracy for own, _ in stops]),
        to_dense,
        mean_interval([own for own, _ in steps]) if delay else None,
        delay,
        _word(to_dense, delay, margin, later),
        {
            control.kind: _difference(ticket, control)
            for control in tickets.controls(ticket)
            if control.states.keys() & ticket.states.keys()
        },
    )


def _word(to_dense: Interval, delay: Interval | None, margin: float, later: float) -> str:
    if to_dense.low is None or to_dense.high is None:
        return "undecided"
    if to_dense.high < -margin or (delay and delay.low is not None and delay.low > later):
        return LOSING
    if to_dense.low < -margin:
        return "undecided"
    if delay is None:
        return "as accurate"
    return "winning" if delay.high is not None and delay.high <= later else "undecided"


def _difference(ticket: Ticket, control: Ticket) -> Interval:
    pairs = [tuple(map(early_stop, pair)) for pair in paired(ticket.states, control.states)]
    return mean_interval([own.accuracy - other.accuracy for own, other in pairs])
