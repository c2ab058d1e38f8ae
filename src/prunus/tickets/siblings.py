"""How stable training is: to the order of the data, and over its course."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from prunus.errors import DataError, SelectionError
from prunus.history.records import RunRecord, StateRecord
from prunus.history.state import State
from prunus.history.store import History
from prunus.selection.statistics import Interval, mean_interval, rounding_spread
from prunus.tickets.connectivity import POINTS, Path, linear_path, relative_change, same_signs
from prunus.tickets.gathering import FOUND, UNPRUNED, Ticket, Tickets, paired
from prunus.tickets.transferring import task_name
from prunus.training.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunus.tasks.task import Task

SIBLING = "reordered"
_BATCH = 500


@dataclass(frozen=True)
class Stability:
    """A network beside its sibling, which began with the same weights and saw the data in another order; over seeds.

    Attributes:
        ticket: that was found, or the dense network, whose sparsity is 0.
        paths: error on the test split along the straight line between the two, one for each seed.
        barrier: rise of the error along it; no interval is narrower than the rounding to one test example makes it.
        sibling_signs: fraction of the kept weights that have the same sign in both.
        apart: how far their kept weights are from one another, relative to those of the first.
        signs: fraction of the kept weights that end with the sign with which they began.
        change: by how much they have changed, relative to what they were.
    """

    ticket: Ticket
    paths: tuple[Path, ...]
    barrier: Interval
    sibling_signs: Interval
    apart: Interval
    signs: Interval
    change: Interval


def stability(history: History, tickets: Tickets, points: int = POINTS) -> list[Stability]:
    """Measure the dense network and every ticket that has a sibling.

    Of the dense network those weights count that can be pruned.

    Args:
        history: in which the tickets are recorded.
        tickets: of one experiment.
        points: on each line, its ends included.

    Raises:
        SelectionError: none has a sibling.
        DataError: the data cannot be read, or have changed since.

    Source: Frankle et al. 2020 (arXiv:1912.05671) for the barrier, of networks that are spawned from step k as in
        figure 1; that kept weights tend to keep their sign is of Zhou et al. 2019 (arXiv:1905.01067).
    """
    siblings = [
        (ticket, sibling)
        for ticket in tickets.tickets
        if ticket.kind == FOUND
        for sibling in tickets.controls(ticket)
        if sibling.kind == SIBLING
    ]
    dense = [
        (Ticket("dense", sibling.family, UNPRUNED, 0.0, tickets.dense, sibling.rewind_step, sibling.search), sibling)
        for sibling in tickets.tickets
        if sibling.kind == UNPRUNED
    ]
    if not siblings and not dense:
        raise SelectionError(
            "nothing in this experiment has a sibling: add ticket = 'reordered' to the technique for those of its "
            "tickets, and 'unpruned' for that of the dense network, such as by "
            "each = {ticket = ['found', 'reordered', 'unpruned']}"
        )
    pairs = [(ticket, list(paired(ticket.states, sibling.states))) for ticket, sibling in [*dense, *siblings]]
    return [_stability(history, ticket, states, tickets, points) for ticket, states in pairs if states]


def _stability(
    history: History, ticket: Ticket, pairs: list[tuple[StateRecord, ...]], tickets: Tickets, points: int
) -> Stability:
    task = _task(history.run(pairs[0][0].run))
    paths, numbers = [], []
    for own, other in pairs:
        first = _first_weights(history, other if ticket.kind == UNPRUNED else own, tickets, task.build())
        path, measured = _measured(task, first, history.state(own.id), history.state(other.id), points)
        paths.append(path)
        numbers.append(measured)
    examples = len(task.data.test.targets.flatten())
    barrier = mean_interval([path.barrier for path in paths], least_spread=rounding_spread(1 / examples))
    return Stability(ticket, tuple(paths), barrier, *map(mean_interval, zip(*numbers, strict=True)))


def _task(run: RunRecord) -> Task:
    """The task of the run, with the code and the data that it was recorded with.

    Raises:
        DataError: they have changed.
    """
    from prunus.tasks.code import code_digests
    from prunus.tasks.load import recorded_task

    named = code_digests(*(run.task.get(key) for key in ("data", "model", "target")))
    for name, digest in named.items():
        if run.task.get(name, digest) != digest:
            raise DataError(
                f"the {name} has changed since run {run.id} was recorded, so that what is measured now would not be of "
                "what was trained then: give back the code of then"
            )
    with one_thread():
        task = recorded_task(run.task)
    if run.environment.get("data", task.data.digest) != task.data.digest:
        raise DataError(
            f"the data of {task_name(run.task)!r} have changed since run {run.id} was recorded, so that what is "
            "measured now would not be of what was trained then: give back the data of then"
        )
    return task


def _measured(
    task: Task, start: Mapping[str, Tensor], own: State, other: State, points: int
) -> tuple[Path, tuple[float, ...]]:
    from prunus.masks.scope import Scope

    model = task.build()
    others, _ = _restored(other, model)
    weights, masks = _restored(own, model)
    kept = masks or {name: torch.ones_like(each, dtype=torch.bool) for name, each in Scope().parameters(model).items()}
    path = linear_path(model, weights, others, lambda one: _error(one, task), points)
    return path, (
        same_signs(weights, others, kept),
        relative_change(weights, others, kept),
        same_signs(start, weights, kept),
        relative_change(start, weights, kept),
    )


def _first_weights(history: History, record: StateRecord, tickets: Tickets, model: nn.Module) -> Mapping[str, Tensor]:
    """The weights to which a network was set back: its task's, or those that a ticket of another task has brought."""
    whole = History(history.folder, create=False)
    run, origin = whole.run(record.run), whole.state(record.id)
    taken = record.kind == "pruned" and "source" in run.settings
    if taken or record.voters:
        own = _restored(whole.state(tickets.dense[run.seed].id).lineage()[0], model)[0]
        carry = run.settings.get("carry", "initialisation") if taken else "mask"
        if carry == "mask":
            return own
        ticket = whole.state(record.parent or "")
        brought = _unpacked(whole.states(ticket.run_id)[0] if carry == "late" else ticket.lineage()[0])
        alike = {name: each for name, each in brought.items() if name in own and own[name].shape == each.shape}
        return {**own, **alike}
    if run.settings.get("rewind_step"):
        return _restored(whole.states(run.id)[0], model)[0]
    return _restored(origin.lineage()[0], model)[0]


def _unpacked(state: State) -> dict[str, Tensor]:
    from prunus.packing.format import unpack

    return unpack(state.weights()).tensors


def _restored(state: State, model: nn.Module) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
    masks = state.restore(model)
    return {name: each.clone() for name, each in model.state_dict().items()}, masks


def _error(model: nn.Module, task: Task) -> float:
    from prunus.evaluation.accuracy import evaluate

    return 1 - evaluate(model, task.data.test.batches(_BATCH), loss=task.loss, class_names=()).accuracy
