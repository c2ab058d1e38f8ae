"""Recorded runs as candidates to choose among."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prunus.history.records import OWN_CHOICE, ExperimentRecord, RunRecord, StateRecord
from prunus.outcomes import Cost, SplitOutcome
from prunus.selection.candidates import Candidate, Replicate
from prunus.selection.statistics import mean

DENSE = "dense"


@dataclass(frozen=True)
class Comparison:
    """Runs that may be compared, for task and training are the same, with their states.

    Attributes:
        runs: id → run.
        states: id → state of one of these runs.
    """

    runs: Mapping[str, RunRecord]
    states: Mapping[str, StateRecord]

    def dense_of(self, state: StateRecord) -> StateRecord | None:
        """The trained dense model that this state descends from, else that of the same seeds; None without one."""
        ancestor: StateRecord | None = state
        for _ in self.states:
            if ancestor is None or self.runs[ancestor.run].technique == DENSE:
                break
            ancestor = self.states.get(ancestor.parent or "")
        if ancestor is not None and self.runs[ancestor.run].technique == DENSE:
            runs = [ancestor.run]  # of another seed's label where the seeds of its sources differ
        else:
            seeds = self.runs[state.run].seeds.items()
            runs = [run.id for run in self.runs.values() if run.technique == DENSE and run.seeds.items() <= seeds]
        return max(
            (other for other in self.states.values() if other.run in runs and is_measured(other, "trained")),
            key=lambda other: (other.position, other.created),
            default=None,
        )


def leading_run(runs: Iterable[RunRecord], experiments: Iterable[ExperimentRecord]) -> RunRecord | None:
    """The run whose task and training are looked at: one of the latest experiment, else the newest; None without runs.

    Args:
        runs: newest first.
        experiments: newest first.
    """
    by_id = {run.id: run for run in runs}
    latest = [run for experiment in experiments for run in experiment.runs if run in by_id]
    return next((by_id[run] for run in [*latest, *by_id]), None)


def same_work(first: RunRecord, second: RunRecord) -> bool:
    """Whether two runs may be compared: their task and their training are equal."""
    return first.task == second.task and first.training == second.training


def candidates_of(comparison: Comparison, shown: frozenset[str] | None = None) -> list[Candidate]:
    """The measured models by technique and requested sparsity, the dense one first.

    Runs of one technique are seeds of one candidate where their settings and their targets are the same. Where the
    technique makes its own choice, the candidate stands at the mean of the sparsities that were reached.

    Args:
        comparison: the runs and states.
        shown: ids of the runs to take candidates from; None for all. The others still serve as dense models.
    """
    groups: dict[tuple[str, float, str], dict[int, StateRecord]] = {}
    # Oldest first, so that of two runs with one seed, or two states with one sparsity, the later one stays.
    for state in sorted(comparison.states.values(), key=lambda state: (state.created, state.position)):
        run = comparison.runs[state.run]
        wanted = "trained" if run.technique == DENSE else "pruned"
        if is_measured(state, wanted) and (shown is None or run.id in shown):
            key = run.technique, state.requested_sparsity, _text([run.settings, run.sparsities])
            groups.setdefault(key, {})[run.seed] = state
    ordered = sorted(groups.items(), key=lambda group: (group[0][0] != DENSE, group[0]))
    return [
        Candidate(
            technique,
            _reached(states.values()) if sparsity == 0 or _chose(states.values()) else sparsity,
            tuple(_replicate(comparison, seed, states[seed]) for seed in sorted(states)),
        )
        for (technique, sparsity, _), states in ordered
    ]


def _reached(states: Iterable[StateRecord]) -> float:
    """The mean sparsity, to four digits where that is not all."""
    sparsity = mean([state.sparsity for state in states])
    rounded = round(sparsity, 4)
    return rounded if rounded < 1 else sparsity


def _chose(states: Iterable[StateRecord]) -> bool:
    """Whether the technique makes its own choice on the way from the sparsity that was asked for."""
    return any(state.pruning is not None and state.pruning.schedule == OWN_CHOICE for state in states)


def is_measured(state: StateRecord, kind: str) -> bool:
    """Whether the state is of that kind and was evaluated on both splits."""
    return state.kind == kind and state.validation is not None and state.test is not None


def _replicate(comparison: Comparison, seed: int, state: StateRecord) -> Replicate:
    dense = comparison.dense_of(state)
    shared = {"sparsity": state.sparsity, **_costs(state.cost)}
    return Replicate(
        seed=seed,
        run=state.run,
        state=state.id,
        choosing={**_outcome(state.validation, dense.validation if dense else None), **shared},
        reporting={**_outcome(state.test, dense.test if dense else None), **shared},
        examples=state.test.examples if state.test else 0,
    )


def _outcome(outcome: SplitOutcome | None, dense: SplitOutcome | None) -> dict[str, float]:
    """What a split's outcome says in the metrics of selection; nan for what it leaves open."""
    if outcome is None:
        return {}
    drops = []
    if dense is not None and {one.name for one in outcome.classes} == {one.name for one in dense.classes}:
        before = {one.name: one.accuracy for one in dense.classes}
        drops = [before[one.name] - one.accuracy for one in outcome.classes]
    return {
        "accuracy": outcome.accuracy,
        "loss": outcome.loss,
        "worst_class_accuracy": outcome.worst_class_accuracy if outcome.classes else math.nan,
        "accuracy_drop": dense.accuracy - outcome.accuracy if dense else math.nan,
        "worst_class_drop": max(drops, default=math.nan),
    }


def _costs(cost: Cost | None) -> dict[str, float]:
    names = ("parameters", "nonzero_parameters", "effective_parameters", "flops", "effective_flops", "size_bytes")
    if cost is None:
        return dict.fromkeys((*names, "compression"), math.nan)
    values = {name: getattr(cost, name) for name in names}
    known = {name: math.nan if value is None else float(value) for name, value in values.items()}
    return {**known, "compression": cost.dense_size_bytes / cost.size_bytes}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
