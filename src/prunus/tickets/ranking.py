"""Whether one ticket is better than the others."""

from __future__ import annotations

from collections import Counter

from prunus.errors import SelectionError
from prunus.selection.candidates import Candidate, Replicate
from prunus.selection.ranking import Ranking, rank
from prunus.tickets.early_stopping import early_stop
from prunus.tickets.gathering import FOUND, Ticket, Tickets
from prunus.tickets.rounds import nearest


def rank_tickets(tickets: Tickets, sparsity: float | None = None, *, controls: bool = False) -> Ranking:
    """Rank the tickets of one sparsity by their test accuracy at the early-stopping step, paired by seed.

    One is shown to be better than all others where its ranks are the first alone with all comparisons held together,
    ``sure_last == 1``. That one which is not the best be called so has a probability of at most 2.5 %.

    Args:
        tickets: of one experiment; what several searches agree on is left out, for it has a sparsity of its own.
        sparsity: as the recipe asked for it, or as it is shown, to two decimals of a per cent; the highest that most
            tickets have where None.
        controls: rank the controls among them.

    Raises:
        SelectionError: there are no tickets at that sparsity.

    Source: see ``prunus.selection.ranking.rank``.
    """
    ranked = [
        each for each in tickets.tickets if each.sparsity and not each.is_voted and (controls or each.kind == FOUND)
    ]
    counted = Counter(each.sparsity for each in ranked)
    most = max(counted, key=lambda each: (counted[each], each), default=None)
    at = most if sparsity is None else nearest(counted, sparsity)
    candidates = [_candidate(each) for each in ranked if each.sparsity == at]
    if not candidates:
        there = ", ".join(f"{each:g}" for each in sorted(counted)) or "none"
        where = "" if sparsity is None else f" at sparsity {sparsity}: it has some at {there}"
        raise SelectionError(f"the experiment has no tickets{where}")
    return rank(candidates)


def _candidate(ticket: Ticket) -> Candidate:
    replicates = []
    for seed, state in sorted(ticket.states.items()):
        stop = early_stop(state)
        replicates.append(Replicate(seed, state.run, state.id, {}, {"accuracy": stop.accuracy}, stop.examples))
    return Candidate(ticket.technique, ticket.sparsity, tuple(replicates))
