"""Doing the work: one run, state by state, each recorded as soon as it is made."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import torch

from prunus.errors import DataError, UnknownNameError
from prunus.experiments.base_work import BaseWork
from prunus.experiments.environment import environment
from prunus.experiments.kinds import PERFORMERS
from prunus.experiments.performer import Finished, Performer
from prunus.history.records import RunRecord, StateRecord
from prunus.history.store import History


def perform(work: BaseWork, history: History) -> None:
    """Do what is missing of the run and record it; a run that is complete is left alone.

    Another process that does the same run is waited for. After the death of a process at any moment, the next call
    makes what is missing.

    Raises:
        PrunusError: the work cannot be done; what was recorded before stays.
    """
    with history.lock(work.id), one_thread():
        if history.complete(work.id):
            return
        check_data([work.dense, work], history)
        performer = _performer(work, history)
        history.begin(_run_record(work, performer))
        recorded = {state.position for state in history.states(work.id)}
        for position in sorted({*range(work.states_planned)} - recorded):
            started = time.perf_counter()
            finished = performer.make(position)
            history.add(_state_record(work, position, finished, history, started))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums split over more of them end in other last digits, and so in other weights.

    The cores are used by working on several runs at once.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check_data(works: Sequence[BaseWork], history: History) -> None:
    """Refuse to go on with, to compare with, or to answer with what was recorded of other data of the same name.

    The data are read and digested wherever one of the runs is recorded, complete or not: no time of a file and no name
    tells as much, and reading them takes little beside starting this program.

    Args:
        works: runs of one task.
        history: in which some of them may be recorded.

    Raises:
        DataError: a run was recorded with other data, or the data cannot be read.
        UserCodeError: the user's own function that makes them raises an error.
    """
    recorded = _recorded_runs(works, history)
    if not recorded:
        return
    try:
        with one_thread():  # a mean that a user's task subtracts must not depend on the threads
            digest = _performer(works[0], history).data_digest
    except DataError as error:
        raise DataError(
            f"{error}; what is recorded can be looked at without the data, by `prunus show` and `prunus report`"
        ) from error
    for run in recorded:
        before = run.environment.get("data", digest)
        if before != digest:
            name = run.task.get("target") or run.task.get("data")
            raise DataError(
                f"the data of {name!r} have changed since run {run.id} was recorded: their digest was {before} and now "
                f"is {digest}. What is recorded does not hold for them: give back the data of then, or use another "
                "history with --history or $PRUNUS_HISTORY"
            )


def _performer(work: BaseWork, history: History) -> Performer:
    performer: Performer = PERFORMERS[work.kind].load().of(work, history)
    return performer


def _recorded_runs(works: Sequence[BaseWork], history: History) -> list[RunRecord]:
    """The runs of these works that the history has."""
    found = []
    for work in works:
        with contextlib.suppress(UnknownNameError):
            found.append(history.run(work.id))
    return found


def _run_record(work: BaseWork, performer: Performer) -> RunRecord:
    """The run as the history knows it."""
    return RunRecord(
        id=work.id,
        technique=work.label,
        settings=work.technique.stated() | work.code if work.technique else {},
        task=work.task,
        training=work.stated_training,
        seed=work.seeds.label,
        seeds=work.seeds.stated,
        sparsities=work.sparsities,
        states_planned=work.states_planned,
        created=now(),
        environment=environment() | performer.versions | {"data": performer.data_digest},
    )


def _state_record(work: BaseWork, position: int, finished: Finished, history: History, started: float) -> StateRecord:
    """The state as the history knows it, its files stored."""
    return StateRecord(
        id=work.state_id(position),
        run=work.id,
        parent=finished.parent,
        kind=finished.kind,
        position=position,
        pruning=finished.pruning,
        retraining=finished.retraining,
        validation=finished.validation,
        test=finished.test,
        cost=finished.cost,
        weights=history.blobs.put(finished.weights),
        masks=history.blobs.put(finished.masks) if finished.masks else None,
        training_loss=finished.training_loss,
        created=now(),
        seconds=time.perf_counter() - started,
    )
