"""The table of runs, and the machine that they ran on."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prunus.history.records import RunRecord, StateRecord
from prunus.report.evidence import Evidence
from prunus.report.words import duration, listed, plural, sparsity_percent


@dataclass(frozen=True)
class RunRow:
    """One run.

    Attributes:
        id: of the run.
        technique: name; empty where the run has not begun.
        index: of the technique; None for the dense model and where it is not told apart.
        seed: as the recipe lists it; None where the run has not begun.
        states: ``"7 of 7"``.
        complete: whether all its states are recorded.
        time: that they took.
        notes: what was out of the ordinary.
    """

    id: str
    technique: str
    index: int | None
    seed: int | None
    states: str
    complete: bool
    time: str
    notes: tuple[str, ...]


def run_rows(evidence: Evidence) -> list[RunRow]:
    """Every run of the experiment, in its order; those that have not begun too."""
    begun = {run.id: run for run in evidence.runs}
    states: dict[str, list[StateRecord]] = {}
    for state in evidence.states.values():
        states.setdefault(state.run, []).append(state)
    return [
        _row(evidence, begun[run], states.get(run, []))
        if run in begun
        else RunRow(run, "", None, None, "none", False, "", ("not begun",))
        for run in evidence.experiment.runs
    ]


def _row(evidence: Evidence, run: RunRecord, states: Sequence[StateRecord]) -> RunRow:
    return RunRow(
        id=run.id,
        technique=run.technique,
        index=evidence.index(run.technique),
        seed=run.seed,
        states=f"{len(states)} of {run.states_planned}",
        complete=len(states) >= run.states_planned,
        time=duration(sum(state.seconds for state in states)),
        notes=tuple(_notes(states)),
    )


def _notes(states: Sequence[StateRecord]) -> list[str]:
    protected: dict[str, list[str]] = {}
    diverged = []
    for state in sorted(states, key=lambda one: one.position):
        at = sparsity_percent(state.requested_sparsity or state.sparsity)
        for name in state.pruning.protected if state.pruning else ():
            protected.setdefault(name, []).append(at)
        if state.test and not math.isfinite(state.test.loss):
            diverged.append(at)
    notes = [f"the protection kept {name} from being emptied at {listed(where)}" for name, where in protected.items()]
    return notes + ([f"training diverged at {listed(diverged)}"] if diverged else [])


def unfinished(rows: Sequence[RunRow]) -> str:
    """A sentence about the runs that are missing; empty where all are complete."""
    counted = Counter("not begun" if row.seed is None else "complete" if row.complete else "partial" for row in rows)
    if counted["complete"] == len(rows):
        return ""
    parts = []
    if counted["partial"]:
        parts.append(f"{plural(counted['partial'], 'run')} stopped half way")
    if counted["not begun"]:
        parts.append(f"{plural(counted['not begun'], 'run')} not begun")
    return (
        f"This experiment is not complete: {listed(parts)}. What is recorded is shown; run the recipe again to go on."
    )


def environment(evidence: Evidence) -> list[tuple[str, str]]:
    """What the runs ran on; several values where their machines differed."""
    found: dict[str, dict[str, None]] = {}
    for run in evidence.runs:
        for key, value in run.environment.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found.setdefault(key, {})[text] = None
    rows = [(key, " or ".join(values)) for key, values in found.items()]
    total = sum(state.seconds for state in evidence.states.values())
    return [*rows, ("time in all", duration(total))]
