"""Running a recipe on this machine, and going on where it stopped."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunus.errors import ArgumentError, PrunusError, TrainingError
from prunus.experiments.base_work import BaseWork, with_elsewhere
from prunus.experiments.environment import available_cores
from prunus.experiments.performing import Failure, Performed, check_data, now, perform_some
from prunus.experiments.recipe import Recipe
from prunus.experiments.workshop import forget_tasks
from prunus.history.records import ExperimentRecord
from prunus.history.store import History
from prunus.tickets.transferring import task_name

POLL_SECONDS = 0.2
SLICE_SECONDS = 3.0  # for which a run is worked on while others wait


@dataclass(frozen=True)
class Progress:
    """How far an experiment has come.

    Attributes:
        done: states recorded.
        planned: states of all its runs.
    """

    done: int
    planned: int


Watcher = Callable[[Progress], None]


def run(
    recipe: Recipe | Path | str | Mapping[str, Any],
    *,
    history: History | Path | str | None = None,
    jobs: int | None = None,
    watch: Watcher | None = None,
) -> History:
    """Do all the work of a recipe that is not recorded yet.

    Every state is recorded as soon as it is made. Stopped at any moment, even by ``kill -9``, the same call goes on
    where it stopped and repeats nothing; two calls at once share the work.

    Args:
        recipe: a recipe, the path of its TOML file, the name of a shipped one, or its values.
        history: where to record, and what is recorded already; see ``History``.
        jobs: processes to use, each computing on one thread; None uses one for every core, but no more than there
            are runs. It does not change the results.
        watch: called now and then with the progress.

    Returns:
        the history, showing this experiment alone.

    Raises:
        RecipeError: the recipe does not say what it must.
        DataError: the data are not those with which some of its runs are recorded, be they complete or not.
        PrunusError: a run could not be done; the others are done and recorded, and stay.
    """
    recipe = _recipe(recipe)
    # A history that was given may show a part of itself alone.
    history = History(history.folder if isinstance(history, History) else history)
    if jobs is not None and jobs < 1:
        raise ArgumentError(f"jobs must be at least 1, got {jobs}")
    works = recipe.works()
    everything = with_elsewhere(works)
    forget_tasks()  # another file, or another $PRUNUS_DATA, may lie behind the name by now
    for _, of_task in itertools.groupby(sorted(everything, key=_task), _task):
        check_data([*of_task], history)
    history.record(
        ExperimentRecord(recipe.id, recipe.title, recipe.model_dump(mode="json"), tuple(w.id for w in works), now())
    )
    missing = [work for work in everything if not history.complete(work.id)]
    jobs = min(jobs or available_cores(), len(missing))
    progress = _Counter(history, everything, watch)
    progress.tell()
    failures = _in_processes(missing, history, jobs, progress) if jobs > 1 else _here(missing, history, progress)
    progress.tell()
    if failures:
        places = {work.id: place for place, work in enumerate(everything)}
        failures.sort(key=lambda failure: places[failure[0].id])
        raise _summary(failures, everything, history)
    return history.restricted_to(recipe.id)


class _Counter:
    """Tells a watcher how many of the planned states are recorded."""

    def __init__(self, history: History, works: list[BaseWork], watch: Watcher | None) -> None:
        self._history, self._watch = history, watch
        self._planned = sum(work.states_planned for work in works)
        self._runs = {work.id for work in works}

    def tell(self) -> None:
        if self._watch is not None:
            done = sum(state.run_id in self._runs for state in self._history.states())
            self._watch(Progress(done, self._planned))


def _here(works: list[BaseWork], history: History, progress: _Counter) -> list[Failure]:
    failures: list[Failure] = []
    waiting = list(works)
    while ready := list(_ready(waiting, [], [work for work, _ in failures])):
        group = _group(ready, 1, {})
        done = perform_some(group, history)
        for work in group:
            if work not in done.left:
                waiting.remove(work)
        failures += done.failures
        progress.tell()
    return failures


def _in_processes(works: list[BaseWork], history: History, jobs: int, progress: _Counter) -> list[Failure]:
    """Runs in processes of their own; a technique starts when the dense network of its seed is trained.

    Where there are more runs than processes, each is put back after a while, so that the last ones end together and no
    process is idle while another has several to do.
    """
    from loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(jobs, initializer=_die_with_parent, initargs=(os.getpid(),))
    running: dict[Future[tuple[Performed, list[str]]], list[BaseWork]] = {}
    failures: list[Failure] = []
    waiting = list(works)
    at_once: dict[str | None, int] = {}
    task: dict[str, Any] = {}  # of what has ended last, which the process that is free has in its memory
    try:
        while waiting or running:
            at_work = [work for group in running.values() for work in group]
            while (free := jobs - len(running)) and (
                ready := list(_ready(waiting, at_work, [each for each, _ in failures]))
            ):
                group = _group(sorted(ready, key=lambda work: work.task != task), free, at_once)
                for work in group:
                    waiting.remove(work)
                seconds = SLICE_SECONDS if waiting else None
                with _interruptions_held_back():  # which the process begun here keeps
                    running[executor.submit(_perform_apart, group, history.folder, seconds)] = group
                at_work += group
            for future in [each for each in running if each.done()]:
                group = running.pop(future)
                task = group[0].task
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    raise TrainingError(
                        "a process died at work, perhaps for want of memory: use fewer at once (jobs); "
                        "what is recorded stays"
                    ) from error
                done, tracebacks = future.result()
                for (_, failure), told in zip(done.failures, tracebacks, strict=True):
                    failure.__cause__ = _Traceback(told)
                failures += done.failures
                waiting += done.left
                if len(group) > done.at_once:
                    at_once[group[0].beside] = done.at_once
            progress.tell()
            wait(running, POLL_SECONDS, FIRST_COMPLETED)
    finally:
        executor.shutdown(wait=False, kill_workers=True)
    return failures


def _group(ready: list[BaseWork], processes: int, at_once: Mapping[str | None, int]) -> list[BaseWork]:
    """The first, and of those that may be done beside it so many that each process gets as many.

    Args:
        ready: that can be begun.
        processes: that are free.
        at_once: what they have in common → how many are done side by side, where that is known to be fewer.
    """
    first = ready[0]
    if first.beside is None:
        return [first]
    beside = [work for work in ready if work.beside == first.beside]
    return beside[: min(-(-len(beside) // processes), at_once.get(first.beside, len(beside)))]


def _ready(waiting: list[BaseWork], running: list[BaseWork], failed: list[BaseWork]) -> Iterator[BaseWork]:
    """Work of which all that it needs is done; what needs something that failed is dropped."""
    broken = {work.id for work in failed}
    while dropped := [work for work in waiting if _needed(work) & broken]:
        broken |= {work.id for work in dropped}
        waiting[:] = [work for work in waiting if work not in dropped]
    pending = {work.id for work in [*waiting, *running]}
    yield from (work for work in waiting if not _needed(work) & pending)


def _needed(work: BaseWork) -> set[str]:
    return {each.id for each in (*work.needs, *work.elsewhere)}


@contextlib.contextmanager
def _interruptions_held_back() -> Iterator[None]:
    """Ctrl-C inside arrives at the end; processes that are begun inside never see it, and are ended by this one.

    While they import torch, which takes seconds, it would end them with a traceback of their own.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent(parent: int) -> None:
    """End this process soon after its parent, which may be killed without a chance to stop it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Traceback(Exception):
    """The traceback of an error in another process, which is its cause here: tracebacks cannot be sent."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _perform_apart(works: list[BaseWork], folder: Path, seconds: float | None) -> tuple[Performed, list[str]]:
    done = perform_some(works, History(folder, create=False), seconds)
    return done, ["".join(traceback.format_exception(failure)) for _, failure in done.failures]


def _task(work: BaseWork) -> str:
    return json.dumps(work.task, sort_keys=True)


def _recipe(recipe: Recipe | Path | str | Mapping[str, Any]) -> Recipe:
    if isinstance(recipe, Path | str):
        return Recipe.load(recipe)
    return Recipe.of(recipe) if isinstance(recipe, Mapping) else recipe


def _summary(failures: list[Failure], works: list[BaseWork], history: History) -> PrunusError:
    """The first failure, which says what else failed, each message once, and that the rest stays."""
    seeds: dict[str, dict[str, list[int]]] = {}  # message → technique → seeds
    for work, error in failures:
        where = "" if work.task == works[0].task else f" on {task_name(work.task)}"
        seeds.setdefault(str(error), {}).setdefault(f"{work.label!r}{where}", []).append(work.seeds.label)
    told = "; ".join(
        f"{' and '.join(f'{label} with {_listed(found)}' for label, found in techniques.items())}: {message}"
        for message, techniques in seeds.items()
    )
    done, first = sum(history.complete(work.id) for work in works), failures[0][1]
    first.args = (f"{told} ({done} of {len(works)} runs are done; what is recorded stays)",)
    return first


def _listed(seeds: list[int]) -> str:
    """``seed 3``, or ``seeds 0–3, 7``."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1][1:] = [seed]
        else:
            ranges.append([seed])
    return f"seed{'s' * (len(seeds) > 1)} {', '.join('–'.join(map(str, each)) for each in ranges)}"
