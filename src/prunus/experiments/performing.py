"""Doing the work: one run, state by state, each recorded as soon as it is made."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import torch

from prunus.errors import DataError
from prunus.experiments.environment import environment
from prunus.experiments.making import DenseMaker, Made, Maker, TechniqueMaker, state_id
from prunus.experiments.work import Work, stated_plan
from prunus.experiments.workshop import Workshop
from prunus.history.records import RunRecord, StateRecord
from prunus.history.store import History
from prunus.masks.storage import masks_to_bytes
from prunus.packing.format import pack


def perform(work: Work, history: History) -> None:
    """Do what is missing of the run and record it; a run that is complete is left alone.

    Another process that does the same run is waited for. After the death of a process at any moment, the next call
    makes what is missing.

    Raises:
        PrunusError: the work cannot be done; what was recorded before stays.
    """
    with history.lock(work.id), one_thread():
        if history.complete(work.id):
            return
        maker = _maker(work, history)
        history.begin(run_record(work, maker.shop.data_digest))
        _check_data(work, history, maker.shop.data_digest)
        recorded = {state.position for state in history.states(work.id)}
        for position in sorted({*range(work.states_planned)} - recorded):
            started = time.perf_counter()
            _record(maker, position, maker.make(position), started)


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


def run_record(work: Work, data_digest: str) -> RunRecord:
    """The run as the history knows it."""
    return RunRecord(
        id=work.id,
        technique=work.label,
        settings=work.technique.stated() | work.code if work.technique else {},
        task=work.task,
        training=stated_plan(work.training),
        seed=work.seeds.label,
        seeds=work.seeds.stated,
        sparsities=work.sparsities,
        states_planned=work.states_planned,
        created=now(),
        environment=environment() | {"data": data_digest},
    )


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check_data(work: Work, history: History, data_digest: str) -> None:
    """Refuse to go on with, or to compare with, what was trained on other data of the same name."""
    for run_id in {work.id, work.dense.id}:
        recorded = history.run(run_id).environment.get("data", data_digest)
        if recorded != data_digest:
            raise DataError(
                f"the data of {work.task} have changed since run {run_id} was recorded (digest {recorded}, now "
                f"{data_digest}): results would be mixed; use another history with --history or $PRUNUS_HISTORY"
            )


def _maker(work: Work, history: History) -> Maker:
    shop = Workshop.of(work)
    return TechniqueMaker(work, shop, history, work.technique) if work.technique else DenseMaker(work, shop, history)


def _record(maker: Maker, position: int, made: Made, started: float) -> None:
    work, shop, blobs = maker.work, maker.shop, maker.history.blobs
    validation, test = shop.outcomes(made.model)
    state = StateRecord(
        id=state_id(work.id, position),
        run=work.id,
        parent=made.parent,
        kind=made.kind,
        position=position,
        pruning=made.pruning,
        retraining=made.retraining,
        validation=validation,
        test=test,
        cost=shop.cost(made.model, made.masks),
        weights=blobs.put(pack(made.model.state_dict(), made.masks)),
        masks=blobs.put(masks_to_bytes(made.masks)) if made.masks else None,
        training_loss=made.training_loss,
        created=now(),
        seconds=time.perf_counter() - started,
    )
    maker.history.add(state)
