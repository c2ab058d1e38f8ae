"""The tickets of an experiment, as the history has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prunus.errors import SelectionError
from prunus.history.records import RunRecord, StateRecord
from prunus.history.store import History

FOUND = "found"


@dataclass(frozen=True)
class Ticket:
    """One technique's subnetwork at one sparsity, trained from its first weights, or a control of it.

    Attributes:
        technique: its name.
        family: what a ticket and its controls have in common.
        kind: ``"found"``, or what the control has changed: see ``ticket`` of a recipe.
        sparsity: that was asked for.
        states: seed → the trained ticket.
    """

    technique: str
    family: str
    kind: str
    sparsity: float
    states: Mapping[int, StateRecord]


@dataclass(frozen=True)
class Tickets:
    """Those of one experiment.

    Attributes:
        dense: seed → the trained dense network.
        tickets: in the order of the recipe, each technique's by rising sparsity.
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
    ordered = [runs[each] for each in record.runs if each in runs]
    dense: dict[int, StateRecord] = {}
    found: dict[tuple[str, float], dict[int, StateRecord]] = {}
    of: dict[str, RunRecord] = {}
    for run in ordered:
        records = [state.record for state in view.states(run.id)]
        if run.technique == "dense":
            dense.update((run.seed, each) for each in records if each.kind == "trained")
        elif run.settings.get("retrain") == "rewind":
            of[run.technique] = run
            for each in records:
                if each.kind == "pruned" and each.requested_sparsity in run.sparsities:
                    found.setdefault((run.technique, each.requested_sparsity), {})[run.seed] = each
    if not found:
        raise SelectionError(
            f"the experiment {record.id} has no tickets: what was pruned and trained again from its first weights, by "
            "retrain = 'rewind'"
        )
    tickets = [
        Ticket(technique, _family(of[technique]), of[technique].settings.get("ticket", FOUND), sparsity, states)
        for (technique, sparsity), states in found.items()
    ]
    return Tickets(dense, tuple(tickets))


def _family(run: RunRecord) -> str:
    return repr(sorted((key, value) for key, value in run.settings.items() if key not in ("name", "ticket")))


def paired(first: Mapping[int, StateRecord], second: Mapping[int, StateRecord]) -> Iterator[tuple[StateRecord, ...]]:
    """The states of the seeds that both have."""
    return ((first[seed], second[seed]) for seed in sorted(first.keys() & second.keys()))
