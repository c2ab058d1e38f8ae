"""The history: every run, every state, and what came of them."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from prunus.errors import HistoryError
from prunus.history.blobs import Blobs
from prunus.history.disk import default_folder, open_folder
from prunus.history.ledger import Ledger
from prunus.history.query import Comparison, candidates_of, leading_run, same_work
from prunus.history.records import ExperimentRecord, RunRecord, StateRecord
from prunus.history.rules import is_id
from prunus.history.state import State
from prunus.selection.candidates import Candidate
from prunus.selection.choose import Choice, choose
from prunus.selection.constraints import parse_constraints
from prunus.selection.pareto import candidates_on_front

_NEWEST_FIRST = "ORDER BY created DESC, id"


@final
class History:
    """Everything that was tried, in one folder.

    The folder holds one JSON file for each run, state and experiment, and weights and masks by the digest of their
    bytes. Each file is written whole or not at all, so a process may die at any moment, and several may write at
    once. What cannot be read is left out of every listing and named in ``problems``.

    Args:
        folder: of the history; None for ``$PRUNUS_HISTORY``, else ``prunus-history`` in the current folder.
        create: make it where there is none.

    Attributes:
        folder: absolute.
        blobs: weights and masks.

    Raises:
        HistoryError: there is none, it is something else, it is of a later version, or it cannot be made.
    """

    def __init__(self, folder: Path | str | None = None, *, create: bool = True) -> None:
        self.folder = (default_folder() if folder is None else Path(folder)).expanduser().absolute()
        open_folder(self.folder, create)
        self.blobs = Blobs(self.folder / "blobs")
        self._ledger = Ledger(self.folder, self.blobs)
        self._experiment: ExperimentRecord | None = None
        self._shown: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"History({str(self.folder)!r})"

    def begin(self, run: RunRecord) -> None:
        """Record a run before its first state; again is fine, and leaves the first record as it is.

        Raises:
            HistoryError: another run of that id is recorded, or the folder cannot be written.
        """
        self._ledger.begin(run)

    def add(self, state: StateRecord) -> None:
        """Record a state whose blobs are stored and whose run has begun; the same again is fine.

        Raises:
            HistoryError: its run, its parent or a blob is not in the history, another state has its id or its
                position, or the folder cannot be written.
        """
        self._ledger.add(state)

    def record(self, experiment: ExperimentRecord) -> None:
        """Record an experiment; one of the same id gives way, so that the one last asked for is the latest.

        Raises:
            HistoryError: the folder cannot be written.
        """
        self._ledger.record(experiment)

    @contextlib.contextmanager
    def lock(self, run_id: str, *, blocking: bool = True) -> Iterator[bool]:
        """Keep other processes from working on the same run; the death of the process releases the lock.

        ``with history.lock(run.id, blocking=False) as held:`` has True where the lock is ours and False where
        somebody else works on the run. A blocking lock waits, and is always held.

        Raises:
            HistoryError: the id cannot be part of a file's name, or the folder cannot be written.
        """
        if not is_id(run_id):
            raise HistoryError(f"a run's id is made of letters, digits and '_.-', got {run_id!r}")
        with self._ledger.locked(f"run-{run_id}", blocking) as held:
            yield held

    def run(self, run_id: str) -> RunRecord:
        """The run of that id, or of the only id that begins so.

        Raises:
            UnknownNameError: there is none.
            ArgumentError: there are several.
            HistoryError: its record is damaged.
        """
        return self._ledger.load(RunRecord, self._ledger.find("run", run_id, self._shown).place)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        return [run for run in self._all_runs() if self._shows(run.id)]

    def states(self, run_id: str | None = None) -> list[State]:
        """The states of a run in the order in which it made them; with None those of all runs, run by run, which is
        much quicker than to ask for one run after the other.

        Raises:
            UnknownNameError, ArgumentError, HistoryError: as for ``run``.
        """
        if run_id is None:
            rows = self._ledger.select("kind = 'state' ORDER BY run, position")
        else:
            run = self.run(run_id).id
            rows = self._ledger.select("kind = 'state' ORDER BY position", run=run)
        return [State(self, row) for row in rows if self._shows(row.run)]

    def state(self, state_id: str) -> State:
        """The state of that id, or of the only id that begins so.

        Raises:
            UnknownNameError, ArgumentError, HistoryError: as for ``run``.
        """
        return State(self, self._ledger.find("state", state_id, self._shown))

    def record_of(self, state: State) -> StateRecord:
        """See ``State.record``."""
        return self._ledger.load(StateRecord, state.place)

    def parent_of(self, state: State) -> State | None:
        """See ``State.parent``."""
        parent = state.record.parent
        if parent is None:
            return None
        rows = self._ledger.select("kind = 'state' AND id = ?", (parent,))
        if not rows:
            raise HistoryError(f"the parent {parent!r} of state {state.id!r} has gone, or cannot be read")
        return State(self, rows[0])

    def children_of(self, state: State) -> list[State]:
        """See ``State.children``."""
        rows = self._ledger.select("kind = 'state' AND parent = ? ORDER BY created, id", (state.id,))
        return [State(self, row) for row in rows]

    def complete(self, run_id: str) -> bool:
        """Whether the run of exactly that id has begun and all the states that it planned are recorded."""
        rows = self._ledger.select("TRUE", run=run_id)
        planned = [self._ledger.load(RunRecord, row.place).states_planned for row in rows if row.kind == "run"]
        return bool(planned) and sum(row.kind == "state" for row in rows) >= planned[0]

    def missing(self, experiment: ExperimentRecord) -> int:
        """Number of the experiment's runs that are not complete."""
        return sum(not self.complete(run) for run in experiment.runs)

    def experiments(self) -> list[ExperimentRecord]:
        """All experiments, newest first."""
        if self._experiment:
            return [self._experiment]
        rows = self._ledger.select(f"kind = 'experiment' {_NEWEST_FIRST}")
        return [self._ledger.load(ExperimentRecord, row.place) for row in rows]

    def experiment(self, experiment_id: str | None = None) -> ExperimentRecord:
        """The experiment of that id, or of the only id that begins so; None for the latest.

        Raises:
            UnknownNameError, ArgumentError: as for ``run``.
            HistoryError: its record is damaged, or there is no experiment at all.
        """
        if experiment_id is not None:
            return self._ledger.load(ExperimentRecord, self._ledger.find("experiment", experiment_id).place)
        experiments = self.experiments()
        if not experiments:
            raise HistoryError(f"the history {self.folder} holds no experiment: run a recipe first")
        return experiments[0]

    def restricted_to(self, experiment_id: str | None = None) -> History:
        """The same history, showing only that experiment and its runs; None for the latest.

        A state's relatives are shown wherever they are.

        Raises:
            UnknownNameError, ArgumentError, HistoryError: as for ``experiment``.
        """
        view = copy.copy(self)
        view._experiment = self.experiment(experiment_id)
        view._shown = frozenset(view._experiment.runs)
        return view

    @property
    def problems(self) -> list[str]:
        """What cannot be read: a sentence for each file, which begins with the file's name."""
        return self._ledger.problems()

    def candidates(self, task: Mapping[str, Any] | None = None) -> list[Candidate]:
        """The measured models by technique and requested sparsity, each with a replicate for every seed.

        Runs are compared where task and training are equal. Where the history holds several such groups, the one
        of the latest experiment is taken, or of the newest run where there is no experiment. The dense model is the
        candidate ``"dense"`` at sparsity 0. Where there are experiments, runs that none of them shows are left out:
        searches whose tickets were put to a vote or taken to another task. Drops are against the trained dense model
        that a state descends from.
        Every metric of ``selection.METRICS`` is there; what is not known is nan.

        Args:
            task: resolved settings of the task to look at; None for any.
        """
        every, listed = self._all_runs(), {run for each in self.experiments() for run in each.runs}
        shown = [
            run
            for run in every
            if self._shows(run.id) and (run.id in listed or not listed) and (task is None or run.task == task)
        ]
        leading = leading_run(shown, self.experiments())
        if leading is None:
            return []
        # Dense models outside the view still serve to compare with.
        runs = {run.id: run for run in every if same_work(run, leading)}
        rows = self._ledger.select(
            "kind = 'state' AND run IN (SELECT value FROM json_each(?))", (json.dumps(list(runs)),)
        )
        states = {row.id: self._ledger.load(StateRecord, row.place) for row in rows}
        return candidates_of(Comparison(runs, states), frozenset(run.id for run in shown))

    def best(self, metric: str = "accuracy", **constraints: float) -> Choice:
        """The best model under constraints, judged on the validation mean over seeds.

        ``history.best(sparsity_at_least=0.9, metric="accuracy", worst_class_drop_at_most=0.02)``. Where the history
        holds several tasks or trainings, those of the latest experiment are looked at; see ``candidates``. The dense
        model may be chosen too, where it satisfies the constraints.

        Args:
            metric: name of what to optimise.
            constraints: ``<metric>_at_least`` or ``<metric>_at_most``, each with its limit.

        Raises:
            UnknownNameError: there is no metric of that name.
            ArgumentError: a constraint is malformed or out of bounds.
            SelectionError: nothing is recorded yet, or nothing satisfies the constraints; the message names the
                nearest candidate and what would let it pass.
        """
        limits = parse_constraints(constraints)
        return choose(self.candidates(), metric, limits)

    def pareto(self, first: str, second: str) -> list[Candidate]:
        """The candidates that no other beats in both metrics, judged on the validation mean over seeds.

        Args:
            first, second: names of metrics; the result runs from the best in the first to the worst.

        Raises:
            UnknownNameError: there is no metric of that name.
        """
        return candidates_on_front(self.candidates(), first, second)

    def _shows(self, run_id: str) -> bool:
        return self._shown is None or run_id in self._shown

    def _all_runs(self) -> list[RunRecord]:
        return [self._ledger.load(RunRecord, row.place) for row in self._ledger.select(f"kind = 'run' {_NEWEST_FIRST}")]
