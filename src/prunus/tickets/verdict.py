"""Whether a ticket wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prunus.errors import ArgumentError
from prunus.selection.statistics import Interval, mean, mean_interval, rounding_spread
from prunus.tickets.early_stopping import Stop, accuracy_difference, early_stop
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
    the other side. Anything else is undecided, and more seeds may decide it. No interval is narrower than the rounding
    of accuracies to one test example, and of steps to one measurement, makes it.

    Args:
        tickets: of one experiment.
        margin: of accuracy, in [0, 1].
        later: fraction of the steps after which the dense network stops.

    Raises:
        ArgumentError: ``margin`` or ``later`` is negative or no number.

    Source: Frankle & Carbin 2019, section 1 (arXiv:1803.03635), for what a winning ticket is; that differences are
        tested against margins, and not for being none, is the usual test of non-inferiority.
    """
    for name, value in (("margin", margin), ("later", later)):
        if not value >= 0:
            raise ArgumentError(f"{name} must be at least 0, got {value}")
    return [
        _judged(each, tickets, margin, later)
        for each in tickets.tickets
        if each.kind == FOUND and each.states.keys() & tickets.dense.keys()
    ]


def _judged(ticket: Ticket, tickets: Tickets, margin: float, later: float) -> Verdict:
    stops = [tuple(map(early_stop, pair)) for pair in paired(ticket.states, tickets.dense)]
    own, dense = zip(*stops, strict=True)
    to_dense = accuracy_difference(own, dense)
    delay = _delay(own, dense)
    return Verdict(
        ticket,
        mean_interval([each.accuracy for each in own]),
        to_dense,
        mean_interval([each.step for each in own if each.step is not None]) if delay else None,
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
    return accuracy_difference(*zip(*pairs, strict=True))


def _delay(own: Sequence[Stop], dense: Sequence[Stop]) -> Interval | None:
    """How much later than the dense network, as a fraction of its steps; None where it is not known of all."""
    steps = [(one.step, other.step) for one, other in zip(own, dense, strict=True) if one.step and other.step]
    if len(steps) < len(own):
        return None
    rounding = rounding_spread(max(each.every for each in (*own, *dense)) / mean([other for _, other in steps]))
    return mean_interval([one / other - 1 for one, other in steps], least_spread=rounding)
