"""Doing the work: one run, state by state, each recorded as soon as it is made."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from prunus.errors import DataError, HistoryError, PrunusError, UnknownNameError
from prunus.experiments.base_work import BaseWork
from prunus.experiments.environment import environment
from prunus.experiments.kinds import PERFORMERS
from prunus.experiments.performer import Finished, Performer
from prunus.history.records import RunRecord, StateRecord
from prunus.history.store import History
from prunus.training.threads import one_thread
from prunus.training.together.advance import fit_together
from prunus.training.together.fit import Fit, Outcome

Failure = tuple[BaseWork, PrunusError]


def perform(work: BaseWork, history: History) -> None:
    """Do what is missing of the run and record it; a run that is complete is left alone.

    Another process that does the same run is waited for. After the death of a process at any moment, the next call
    makes what is missing.

    Raises:
        PrunusError: the work cannot be done; what was recorded before stays.
    """
    for _, error in perform_together([work], history).failures:
        raise error


class Performed(NamedTuple):
    """What came of some runs.

    Attributes:
        left: the runs that were not begun, or are not complete.
        failures: the runs that could not be done, each with its error.
        at_once: how many were done side by side.
    """

    left: list[BaseWork]
    failures: list[Failure]
    at_once: int


def perform_some(works: Sequence[BaseWork], history: History, seconds: float | None = None) -> Performed:
    """Do as many of the runs side by side as is quicker than one by one, from the first on.

    Args:
        works: runs that may be done side by side.
        history: where they are recorded.
        seconds: after which each ends with the state that it is making; None does them to the end.

    Raises:
        HistoryError: nothing can be recorded.
    """
    count = 1
    if len(works) > 1:
        with contextlib.suppress(PrunusError):  # what is wrong with it is told when it is done
            count = min(len(works), _performer(works[0], history).at_once)
    done = perform_together(works[:count], history, seconds)
    return done._replace(left=[*works[count:], *done.left])


def perform_together(works: Sequence[BaseWork], history: History, seconds: float | None = None) -> Performed:
    """Do several runs side by side, and what they train at the same time as one model where that is quicker.

    Each ends as it ends by itself, and one that cannot be done leaves the others alone.

    Args:
        works, history, seconds: see ``perform_some``.

    Raises:
        HistoryError: nothing can be recorded.
    """
    failures: list[Failure] = []
    with one_thread(), contextlib.ExitStack() as at_end:
        until = time.perf_counter() + (math.inf if seconds is None else seconds)
        # In order of their ids, so that two processes that share work do not wait for one another.
        runs = [_Run(work, history, until) for work in sorted(works, key=lambda work: work.id)]
        for run in runs:
            at_end.callback(run.states.close)
        answers: dict[_Run, Outcome | None] = dict.fromkeys(runs)
        while answers:
            asked = {}
            for run, answer in answers.items():
                try:
                    asked[run] = run.go_on(answer)
                except StopIteration:
                    pass
                except HistoryError:
                    raise  # nothing else could be recorded either
                except PrunusError as error:
                    failures.append((run.work, error))
            started = time.perf_counter()
            answers = dict(zip(asked, fit_together([*asked.values()]), strict=True))
            for run in asked:
                run.charge((time.perf_counter() - started) / len(asked))
    return Performed([run.work for run in runs if run.stopped], failures, len(runs))


class _Run:
    """A run that is being done, with a clock that stands still while others are at work.

    Args:
        work: the run.
        history: where its states are recorded.
        until: when it makes no further state.
    """

    def __init__(self, work: BaseWork, history: History, until: float) -> None:
        self.work, self._history, self._until = work, history, until
        self.stopped = False
        self.states = self._record_states()
        self._seconds = self._since = 0.0

    def go_on(self, answer: Outcome | None) -> Fit:
        """Work until the next training has to be done.

        Args:
            answer: what came of the last one; None at the beginning.

        Raises:
            StopIteration: the run is complete.
            PrunusError: it cannot be done.
        """
        self._since = time.perf_counter()
        try:
            return self.states.throw(answer) if isinstance(answer, Exception) else self.states.send(answer)
        finally:
            self.charge(time.perf_counter() - self._since)

    def charge(self, seconds: float) -> None:
        """Count time that was worked for this run."""
        self._seconds += seconds

    def _record_states(self) -> Generator[Fit, list[float] | None, None]:
        work, history = self.work, self._history
        with history.lock(work.id):
            if history.complete(work.id):
                return
            check_data([work.dense, work], history)
            performer = _performer(work, history)
            history.begin(_run_record(work, performer))
            recorded = {state.position for state in history.states(work.id)}
            for number, position in enumerate(sorted({*range(work.states_planned)} - recorded)):
                if number and time.perf_counter() > self._until:
                    self.stopped = True
                    return
                self._seconds, self._since = 0.0, time.perf_counter()
                finished = yield from performer.make(position)
                seconds = self._seconds + time.perf_counter() - self._since
                history.add(_state_record(work, position, finished, history, seconds))


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


def _state_record(work: BaseWork, position: int, finished: Finished, history: History, seconds: float) -> StateRecord:
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
        seconds=seconds,
        curve=finished.curve,
        voters=finished.voters,
    )
