"""The tickets of an experiment, as the history has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prunus.errors import SelectionError
from prunus.history.query import Comparison
from prunus.history.records import OWN_CHOICE, ExperimentRecord, RunRecord, StateRecord
from prunus.history.store import History
from prunus.selection.statistics import mean

FOUND, UNPRUNED = "found", "unpruned"
_ORIGIN = ("name", "ticket", "source", "carry")


@dataclass(frozen=True)
class Ticket:
    """One technique's subnetwork at one sparsity, trained from its first weights, or a control of it.

    Attributes:
        technique: its name.
        family: what a ticket and its controls have in common.
        kind: ``"found"``, or what the control has changed: see ``ticket`` of a recipe.
        sparsity: that was asked for; 0 of what is unpruned.
        states: seed → the trained ticket.
        rewind_step: step of the dense training whose weights were its first ones; of that on the other task where it
            has brought them.
        search: what tickets have in common that one search has found, whatever the step that it rewinds to.
        origin: what a ticket of another task has in common with those that the same search finds on the task itself.
    """

    technique: str
    family: str
    kind: str
    sparsity: float
    states: Mapping[int, StateRecord]
    rewind_step: int = 0
    search: str = ""
    origin: str = ""

    @property
    def is_voted(self) -> bool:
        """Whether it is what several searches agree on, or a control of that, as sparse as the vote has made it."""
        return any(state.pruning is not None and state.pruning.schedule == OWN_CHOICE for state in self.states.values())

    @property
    def left(self) -> float:
        """Fraction of the weights in scope that was to be left, or that the votes have left on average."""
        if not self.is_voted:
            return 1 - self.sparsity
        return 1 - mean([state.sparsity for state in self.states.values()])


@dataclass(frozen=True)
class Tickets:
    """Those of one experiment.

    Attributes:
        dense: seed → the trained dense network that its tickets descend from.
        tickets: in the order of the recipe, each technique's by rising sparsity; siblings of the dense network are
            among them, as what is left unpruned.
    """

    dense: Mapping[int, StateRecord]
    tickets: tuple[Ticket, ...]

    def controls(self, ticket: Ticket) -> list[Ticket]:
        """The ticket's controls at its sparsity."""
        return [
            each
            for each in self.tickets
            if each.kind != FOUND and (each.family, each.sparsity) == (ticket.family, ticket.sparsity)
        ]


def gather_tickets(history: History, experiment: str | None = None) -> Tickets:
    """The tickets of an experiment: what was trained from its first weights after it was pruned.

    Args:
        history: of them.
        experiment: its id, or the beginning of it; the latest where None.

    Raises:
        UnknownNameError, ArgumentError: there is no such experiment, or several.
        SelectionError: it has no tickets.
    """
    record = history.experiment(experiment)
    view = history.restricted_to(record.id)
    runs = {run.id: run for run in view.runs()}
    found = tickets_of([runs[each] for each in record.runs if each in runs], [each.record for each in view.states()])
    if not found.tickets:
        require_finished(history, record)
        raise SelectionError(
            f"the experiment {record.id} has no tickets: what was pruned and trained again from its first weights, by "
            "retrain = 'rewind'"
        )
    return found


def require_finished(history: History, experiment: ExperimentRecord) -> None:
    """Ensure that what an experiment lacks is not only still to come.

    Raises:
        SelectionError: some of its runs are not complete.
    """
    missing = history.missing(experiment)
    if missing:
        raise SelectionError(
            f"the experiment {experiment.id} has nothing to show yet: {missing} of its {len(experiment.runs)} runs are "
            "not complete; run the recipe again to go on"
        )


def tickets_of(runs: Iterable[RunRecord], states: Iterable[StateRecord]) -> Tickets:
    """The tickets among these states.

    Args:
        runs: of one experiment, in the order of its recipe.
        states: of these runs.
    """
    ordered, recorded = list(runs), list(states)
    comparison = Comparison({run.id: run for run in ordered}, {state.id: state for state in recorded})
    by_run: dict[str, list[StateRecord]] = {}
    for state in recorded:
        by_run.setdefault(state.run, []).append(state)
    dense: dict[int, StateRecord] = {}
    found: dict[tuple[str, float], dict[int, StateRecord]] = {}
    of: dict[str, RunRecord] = {}
    for run in ordered:
        for state in by_run.get(run.id, ()):
            if run.settings.get("retrain") == "rewind" and _is_ticket(state, run):
                if run.seed not in dense and (origin := comparison.dense_of(state)):
                    dense[run.seed] = origin
                of[run.technique] = run
                found.setdefault((run.technique, state.requested_sparsity), {})[run.seed] = state
    return Tickets(dense, tuple(_ticket(of[name], sparsity, its) for (name, sparsity), its in found.items()))


def _is_ticket(state: StateRecord, run: RunRecord) -> bool:
    """Whether a run that rewinds has asked for it, and it is not on the way there."""
    if run.settings.get("ticket") == UNPRUNED:
        return state.position == run.states_planned - 1
    return state.requested_sparsity in run.sparsities


def _ticket(run: RunRecord, sparsity: float, states: Mapping[int, StateRecord]) -> Ticket:
    settings = run.settings
    family, search = _without(settings, "name", "ticket"), _without(settings, "name", "ticket", "rewind_step")
    kind = settings.get("ticket", FOUND)
    begins_late = "source" not in settings or settings.get("carry") == "late"
    step = settings.get("rewind_step", 0) if begins_late else 0
    return Ticket(run.technique, family, kind, sparsity, states, step, search, _without(settings, *_ORIGIN))


def _without(settings: Mapping[str, Any], *keys: str) -> str:
    return json.dumps({key: value for key, value in settings.items() if key not in keys}, sort_keys=True)


def paired(first: Mapping[int, StateRecord], second: Mapping[int, StateRecord]) -> Iterator[tuple[StateRecord, ...]]:
    """The states of the seeds that both have."""
    return ((first[seed], second[seed]) for seed in sorted(first.keys() & second.keys()))
