"""What tickets, their controls and the dense network have reached, over seeds, as numbers to draw and to list."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from prunus.history.records import StateRecord
from prunus.report.evidence import DENSE, Evidence
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.early_stopping import Stop, early_stop
from prunus.tickets.gathering import Ticket, Tickets

MOST_STEPS = 48  # of a learning curve


@dataclass(frozen=True)
class Series:
    """One network's means.

    Attributes:
        index: that gives its colour; None for the dense network.
        name: what a control has changed, ``"found"`` or ``"dense"``.
        values: step or density → mean over seeds, in the order in which they are drawn.
    """

    index: int | None
    name: str
    values: dict[float, Interval]


@dataclass(frozen=True)
class Relatives:
    """A ticket with its controls, at every sparsity, and the dense network.

    Attributes:
        ticket: that was found, at the sparsity that the learning curves are of.
        kinds: what a control has changed → its index and the control at every sparsity, by rising sparsity.
        dense: the trained dense networks.
    """

    ticket: Ticket
    kinds: dict[str, tuple[int, list[Ticket]]]
    dense: tuple[StateRecord, ...]

    @classmethod
    def of(cls, ticket: Ticket, tickets: Tickets, evidence: Evidence) -> Relatives:
        """The ticket and those of its family; who has no colour on the page gets one that no other has."""
        kinds: dict[str, tuple[int, list[Ticket]]] = {}
        told_apart = len(evidence.highlighted if evidence.is_crowded else evidence.techniques)
        for each in sorted(tickets.tickets, key=lambda one: one.sparsity):
            if each.family == ticket.family:
                index = evidence.index(each.technique)
                kinds.setdefault(each.kind, (told_apart + len(kinds) if index is None else index, []))[1].append(each)
        return cls(ticket, kinds, tuple(tickets.dense.values()))

    def learning(self) -> list[Series]:
        """Step → test accuracy, as training proceeds; the dense network last."""
        at = {
            kind: (index, next((one for one in found if one.sparsity == self.ticket.sparsity), None))
            for kind, (index, found) in self.kinds.items()
        }
        found = [Series(index, kind, _curve(one.states.values())) for kind, (index, one) in at.items() if one]
        return [each for each in [*found, Series(None, DENSE, _curve(self.dense))] if each.values]

    def stopping(self) -> list[Series]:
        """Density → step at which it stops; the dense network last."""
        return self._at_stops(lambda stop: stop.step)

    def accuracies(self) -> list[Series]:
        """Density → test accuracy at that step; the dense network last."""
        return self._at_stops(lambda stop: stop.accuracy)

    def _at_stops(self, of: Callable[[Stop], float | None]) -> list[Series]:
        def means(states: dict[float, Collection[StateRecord]]) -> dict[float, Interval]:
            found = {density: _mean([of(early_stop(one)) for one in several]) for density, several in states.items()}
            return {density: mean for density, mean in found.items() if mean}

        series = [
            Series(index, kind, means({each.left: each.states.values() for each in tickets}))
            for kind, (index, tickets) in self.kinds.items()
        ]
        return [each for each in [*series, Series(None, DENSE, means({1.0: self.dense}))] if each.values]


def _mean(values: Sequence[float | None]) -> Interval | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return mean_interval(known) if known else None


def _curve(states: Collection[StateRecord]) -> dict[float, Interval]:
    """The mean at the steps that all have measured, the last and as many before it as can be drawn."""
    curves = [{point.step: point.test_accuracy for point in state.curve} for state in states if state.curve]
    shared = sorted(set.intersection(*map(set, curves))) if curves else []
    thinned = shared[::-1][:: math.ceil(len(shared) / MOST_STEPS) or 1][::-1]
    means = {float(step): _mean([curve[step] for curve in curves]) for step in thinned}
    return {step: mean for step, mean in means.items() if mean}
