"""Tickets of one task that were trained on another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunus.errors import SelectionError
from prunus.history.records import ExperimentRecord, RunRecord, StateRecord
from prunus.history.store import History
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.early_stopping import accuracy_difference, early_stop
from prunus.tickets.gathering import FOUND, Ticket, paired, tickets_of

RANDOM = "shuffled"
BESPOKE = "bespoke"


@dataclass(frozen=True)
class Transfer:
    """Tickets that were found on one task and trained on another, or on the same; over seeds.

    Attributes:
        source, target: names of the tasks.
        carry: which weights came with the mask; ``"bespoke"`` where both tasks are one.
        origin: what all have in common that one search has found, whatever the task.
        sparsity: that was asked for.
        accuracy: on the target's test split at the early-stopping step.
        to_bespoke: accuracy less that of the ticket that was found on the target, paired by seed; None without one.
        to_random: accuracy less that of as many weights of each layer at random; None without such a control.
        to_dense: accuracy less that of the dense network; None without one.
    """

    source: str
    target: str
    carry: str
    origin: str
    sparsity: float
    accuracy: Interval
    to_bespoke: Interval | None
    to_random: Interval | None
    to_dense: Interval | None


def transfers(history: History, experiments: Sequence[str] = (), *, beside: str | None = None) -> list[Transfer]:
    """Every ticket that was taken to another task, and those that were found on these tasks themselves.

    Args:
        history: of them.
        experiments: their ids, or the beginnings of them; where there are none, all that take tickets from another task
            and train the network of the latest of these as it does. Where several speak of the same, the latest counts.
        beside: id of the experiment that takes the place of the latest, and counts before all others.

    Raises:
        UnknownNameError, ArgumentError: there is no such experiment, or several.
        SelectionError: no ticket was taken to another task, or these experiments do not train one network alike.
    """
    whole = History(history.folder, create=False)
    runs = {run.id: run for run in whole.runs()}
    chosen = [whole.experiment(each) for each in experiments]
    kinds = [_kind(runs[run]) for each in chosen for run in each.runs if run in runs]
    if any(kind != kinds[0] for kind in kinds):
        raise SelectionError("these experiments train other networks, or train otherwise: name those that do alike")
    chosen = chosen or _all_of_one_training(whole, runs, beside)
    found: dict[tuple[str, str, str, str, float], Transfer] = {}
    for record in sorted(chosen, key=lambda each: (each.id == beside, each.created)):
        of_one = _of_experiment(whole, [runs[each] for each in record.runs if each in runs])
        found |= {(each.source, each.target, each.carry, each.origin, each.sparsity): each for each in of_one}
    taken = {each.origin for each in found.values() if each.carry != BESPOKE}
    if not taken:
        raise SelectionError("no ticket was taken to another task: add a source to a technique with retrain = 'rewind'")
    return [each for each in found.values() if each.origin in taken]


def task_name(task: Mapping[str, Any]) -> str:
    """What a recorded task is called beside others: its data, the classes if not all are told apart, augmentation."""
    name = task.get("target") or task.get("data", "")
    name += f" ({', '.join(task['classes'])})" if task.get("classes") else ""
    return f"{name}, augmented" if task.get("augment") else name


def trained_otherwise(history: History) -> list[ExperimentRecord]:
    """Experiments that take tickets to other tasks, but train otherwise than the latest of them, the newest first."""
    runs = {run.id: run for run in history.runs()}
    alike = {each.id for each in _all_of_one_training(history, runs, None)}
    return [each for each in _takers(history, runs) if each.id not in alike]


def _all_of_one_training(history: History, runs: Mapping[str, RunRecord], beside: str | None) -> list[ExperimentRecord]:
    found = sorted(_takers(history, runs), key=lambda each: each.id != beside)
    alike = [_kind(next(runs[run] for run in each.runs if _takes(runs, run))) for each in found]
    return [each for each, kind in zip(found, alike, strict=True) if kind == alike[0]]


def _takers(history: History, runs: Mapping[str, RunRecord]) -> list[ExperimentRecord]:
    return [each for each in history.experiments() if any(_takes(runs, run) for run in each.runs)]


def _takes(runs: Mapping[str, RunRecord], run: str) -> bool:
    return run in runs and "source" in runs[run].settings


def _kind(run: RunRecord) -> tuple[dict[str, Any], str | None]:
    """What runs have alike whose accuracies may stand beside one another."""
    return run.training, run.task.get("model")


def _of_experiment(history: History, runs: Sequence[RunRecord]) -> Iterable[Transfer]:
    of = {run.id: run for run in runs}
    tickets = tickets_of(runs, [state.record for run in runs for state in history.states(run.id)])
    bespoke = {(each.origin, each.sparsity): each for each in tickets.tickets if _is_bespoke(each, of)}
    for ticket in tickets.tickets:
        one = next(iter(ticket.states.values()))
        if ticket.kind != FOUND or ticket.is_voted:
            continue
        taken = "source" in of[one.run].settings
        source = history.run(history.state(one.parent or "").run_id) if taken else of[one.run]
        own = bespoke.get((ticket.origin, ticket.sparsity))
        random = next((each for each in tickets.controls(ticket) if each.kind == RANDOM), None)
        yield Transfer(
            task_name(source.task),
            task_name(of[one.run].task),
            of[one.run].settings.get("carry", "initialisation") if taken else BESPOKE,
            ticket.origin,
            ticket.sparsity,
            mean_interval([early_stop(state).accuracy for state in ticket.states.values()]),
            _difference(ticket, own.states) if own and taken else None,
            _difference(ticket, random.states) if random else None,
            _difference(ticket, tickets.dense),
        )


def _is_bespoke(ticket: Ticket, of: Mapping[str, RunRecord]) -> bool:
    return ticket.kind == FOUND and "source" not in of[next(iter(ticket.states.values())).run].settings


def _difference(ticket: Ticket, others: Mapping[int, StateRecord]) -> Interval | None:
    pairs = [tuple(map(early_stop, pair)) for pair in paired(ticket.states, others)]
    return accuracy_difference(*zip(*pairs, strict=True)) if pairs else None
