"""How stable the training of tickets is: to the order of the data, and over its course."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunus.errors import SelectionError
from prunus.history.records import StateRecord
from prunus.history.store import History
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.connectivity import POINTS, Path, linear_path, relative_change, same_signs
from prunus.tickets.gathering import FOUND, Ticket, Tickets, paired

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunus.masks.masks import Masks
    from prunus.tasks.task import Task

SIBLING = "reordered"
_BATCH = 500


@dataclass(frozen=True)
class Stability:
    """A ticket beside its sibling, which began with the same weights and saw the data in another order; over seeds.

    Attributes:
        ticket: that was found.
        paths: error on the test split along the straight line between the two, one for each seed.
        barrier: rise of the error along it.
        signs: fraction of the kept weights that end with the sign with which they began.
        change: by how much they have changed, relative to what they were.
        sibling_signs: fraction of the kept weights that have the same sign in both.
    """

    ticket: Ticket
    paths: tuple[Path, ...]
    barrier: Interval
    signs: Interval
    change: Interval
    sibling_signs: Interval


def stability(history: History, tickets: Tickets, points: int = POINTS) -> list[Stability]:
    """Measure every ticket that has a sibling.

    Args:
        history: in which the tickets are recorded.
        tickets: of one experiment.
        points: on each line, its ends included.

    Raises:
        SelectionError: none has a sibling.
        DataError: the data cannot be read.

    Source: Frankle et al. 2020 (arXiv:1912.05671) for the barrier; that kept weights tend to keep their sign is of
        Zhou et al. 2019 (arXiv:1905.01067).
    """
    siblings = [
        (ticket, sibling)
        for ticket in tickets.tickets
        if ticket.kind == FOUND
        for sibling in tickets.controls(ticket)
        if sibling.kind == SIBLING
    ]
    if not siblings:
        raise SelectionError(
            "no ticket of this experiment has a sibling: add ticket = 'reordered' to the technique, such as by "
            "each = {ticket = ['found', 'reordered']}"
        )
    return [_stability(history, ticket, sibling, points) for ticket, sibling in siblings]


def _stability(history: History, ticket: Ticket, sibling: Ticket, points: int) -> Stability:
    from prunus.tasks.load import recorded_task

    pairs = list(paired(ticket.states, sibling.states))
    task = recorded_task(history.run(pairs[0][0].run).task)
    found = [_measured(history, task, own, other, points) for own, other in pairs]
    paths, *numbers = zip(*found, strict=True)
    return Stability(
        ticket, paths, mean_interval([path.barrier for path in paths]), *(mean_interval(each) for each in numbers)
    )


def _measured(
    history: History, task: Task, own: StateRecord, other: StateRecord, points: int
) -> tuple[Path, float, float, float]:
    model = task.build()
    weights, masks = _restored(history, own.id, model)
    others, _ = _restored(history, other.id, model)
    start, _ = _restored(history, _start(history, own), model)
    path = linear_path(model, weights, others, lambda one: _error(one, task), points)
    kept = same_signs(start, weights, masks), relative_change(start, weights, masks)
    return path, *kept, same_signs(weights, others, masks)


def _start(history: History, record: StateRecord) -> str:
    """Id of the state to whose weights the ticket was set back."""
    run = history.run(record.run)
    if run.settings.get("rewind_step"):
        return history.states(run.id)[0].id
    return history.state(record.id).lineage()[0].id


def _restored(history: History, state: str, model: nn.Module) -> tuple[dict[str, Tensor], Masks]:
    masks = history.state(state).restore(model)
    return {name: each.clone() for name, each in model.state_dict().items()}, masks


def _error(model: nn.Module, task: Task) -> float:
    from prunus.evaluation.accuracy import evaluate

    return 1 - evaluate(model, task.data.test.batches(_BATCH), loss=task.loss, class_names=()).accuracy
