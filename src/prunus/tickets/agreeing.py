"""What several searches agree on, and what it cost to find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prunus.errors import SelectionError
from prunus.history.records import Pruning, StateRecord
from prunus.history.store import History
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.gathering import Ticket, Tickets
from prunus.tickets.verdict import Verdict, judge
from prunus.tickets.voting import kept_by_chance, votes_needed

BESPOKE = "bespoke"


@dataclass(frozen=True)
class Agreed:
    """What enough of several searches keep; over seeds.

    Attributes:
        verdict: on the ticket, with what it is more accurate than its controls.
        votes: how many of the searches must keep a weight.
        of: number of searches.
        sparsity: that comes of the vote.
        by_chance: sparsity that would come of masks that keep as many weights of each layer at random.
        apart: seconds until it is trained where every search has a core of its own: those of the longest.
        together: seconds of work in all, those of every search.
        bespoke: seconds until the ticket of equal sparsity that one search finds is trained; None without one.
    """

    verdict: Verdict
    votes: int
    of: int
    sparsity: Interval
    by_chance: Interval
    apart: Interval
    together: Interval
    bespoke: Interval | None


def consensus(history: History, tickets: Tickets) -> list[Agreed]:
    """Every ticket that several searches agree on.

    Seconds are those of the runs, each of which computes on one thread, so that they tell the time on a machine where
    nothing else is at work; what a search does after its last pruning is not counted, for its vote is cast by then.

    Args:
        history: in which the tickets are recorded, and the searches.
        tickets: of one experiment.

    Raises:
        SelectionError: none of them was put to a vote.
    """
    voted = [verdict for verdict in judge(tickets) if all(_voters(verdict.ticket))]
    if not voted:
        raise SelectionError(
            "nothing in this experiment was put to a vote: add searches = 5, or tasks, to a technique with "
            "retrain = 'rewind'"
        )
    whole = History(history.folder, create=False)
    return [_agreed(whole, verdict, tickets) for verdict in voted]


def _voters(ticket: Ticket) -> list[tuple[str, ...]]:
    return [state.voters for state in ticket.states.values()]


def _agreed(history: History, verdict: Verdict, tickets: Tickets) -> Agreed:
    ticket = verdict.ticket
    share = history.run(next(iter(ticket.states.values())).run).settings.get("vote", 1.0)
    chance, apart, together = [], [], []
    for state in ticket.states.values():
        searches = [_way_to(history, voter) for voter in state.voters]
        chance.append(_by_chance(state.pruning, [way[-1].pruning for way in searches], share))
        ways = [{one.id: one.seconds for one in way[:-1]} for way in searches]
        apart.append(max(sum(way.values()) for way in ways) + state.seconds)
        together.append(sum(_joined(ways).values()) + state.seconds)
    own = next((each for each in tickets.controls(ticket) if each.kind == BESPOKE), None)
    alone = [sum(one.seconds for one in _way_to(history, state.id)) for state in own.states.values()] if own else []
    return Agreed(
        verdict,
        votes_needed(share, len(searches)),
        len(searches),
        mean_interval([state.sparsity for state in ticket.states.values()]),
        mean_interval(chance),
        mean_interval(apart),
        mean_interval(together),
        mean_interval(alone) if alone else None,
    )


def _way_to(history: History, state: str) -> list[StateRecord]:
    return [each.record for each in history.state(state).lineage()]


def _joined(ways: Iterable[Mapping[str, float]]) -> dict[str, float]:
    return {state: seconds for way in ways for state, seconds in way.items()}


def _by_chance(agreed: Pruning | None, voters: Sequence[Pruning | None], share: float) -> float:
    """Sparsity of what is kept by chance; a layer that no search has in this shape is whole."""
    if agreed is None:
        return 0.0
    kept, total = 0.0, 0
    for name, tensor in agreed.tensors.items():
        alike = [each.tensors[name] for each in voters if each is not None and name in each.tensors]
        densities = [each.kept / each.total for each in alike if each.shape == tensor.shape]
        kept += tensor.total * (kept_by_chance(votes_needed(share, len(densities)), densities) if densities else 1)
        total += tensor.total
    return 1 - kept / total
