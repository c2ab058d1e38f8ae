"""What the techniques of an experiment have left, at every sparsity that they went through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunus.errors import SelectionError
from prunus.history.records import RunRecord, StateRecord
from prunus.history.state import State
from prunus.history.store import History
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.gathering import require_finished

if TYPE_CHECKING:
    from prunus.masks.masks import Masks

SAME_MASKS = ("reinitialised", "reordered", "untrained", "signed")  # controls whose masks are those of their tickets
NEAR = 5e-5  # two sparsities that read the same in per cent with two decimals
Found = Mapping[str, Mapping[int, "Masks"]]  # technique → seed → masks
Recorded = dict[float, dict[str, dict[int, str]]]  # sparsity that was asked for → technique → seed → digest of masks


@dataclass(frozen=True)
class Reached:
    """How sparse one technique's networks are, over seeds.

    Attributes:
        sparsity: fraction of the weights in scope that is removed.
        effective: fraction that is removed or on no path from the input to the output; None where that is not known.
    """

    sparsity: Interval
    effective: Interval | None


@dataclass(frozen=True)
class Round:
    """What is left at one sparsity.

    Attributes:
        sparsity: that was asked for, by the recipe, or by an iterative technique on its way.
        states: technique → seed → pruned state, in the order of the recipe.
        targets: number of the states that the recipe asks for.
    """

    sparsity: float
    states: Mapping[str, Mapping[int, State]]
    targets: int

    @property
    def masks(self) -> Found:
        """The masks, read from the history at every call.

        Raises:
            HistoryError, CorruptFileError: they are missing, or a byte of them has changed.
        """
        return {
            technique: {seed: _masks(state) for seed, state in states.items()}
            for technique, states in self.states.items()
        }

    @property
    def reached(self) -> dict[str, Reached]:
        """Technique → how sparse its networks are."""
        found = {}
        for technique, states in self.states.items():
            records = [state.record for state in states.values()]
            known = [each.effective_sparsity for each in records if each.effective_sparsity is not None]
            effective = mean_interval(known) if len(known) == len(records) else None
            found[technique] = Reached(mean_interval([each.sparsity for each in records]), effective)
        return found


def gather_rounds(history: History, experiment: str | None = None) -> list[Round]:
    """The pruned states of an experiment by rising sparsity, those between the recipe's sparsities among them.

    Args:
        history: of them.
        experiment: its id, or the beginning of it; the latest where None.

    Returns:
        one round for every sparsity that was asked for. Controls are left out whose masks are those of their tickets,
        and techniques that make their own choice of sparsity.

    Raises:
        UnknownNameError, ArgumentError: there is no such experiment, or several.
        SelectionError: nothing in it has masks.
    """
    record = history.experiment(experiment)
    view = history.restricted_to(record.id)
    runs = {run.id: run for run in view.runs() if run.sparsities and run.settings.get("ticket") not in SAME_MASKS}
    places = {run: place for place, run in enumerate(record.runs)}
    states = sorted(view.states(), key=lambda state: (places[state.run_id], state.position))
    found: dict[float, dict[str, dict[int, State]]] = {}
    targets: dict[float, int] = {}
    for state in states:
        if state.run_id in runs and state.record.masks:
            run, sparsity = runs[state.run_id], state.record.requested_sparsity
            found.setdefault(sparsity, {}).setdefault(run.technique, {})[run.seed] = state
            targets[sparsity] = targets.get(sparsity, 0) + (sparsity in run.sparsities)
    if not found:
        require_finished(history, record)
        raise SelectionError(f"the experiment {record.id} has no masks: nothing in it was pruned to a sparsity")
    return [Round(sparsity, found[sparsity], targets[sparsity]) for sparsity in sorted(found)]


def recorded_masks(runs: Iterable[RunRecord], states: Iterable[StateRecord]) -> Recorded:
    """Where the masks of every technique are, at the sparsities that the recipe asked for.

    Controls are left out whose masks are those of their tickets.

    Args:
        runs: of one experiment, in the order of its recipe.
        states: of these runs.
    """
    by_run: dict[str, list[StateRecord]] = {}
    for state in states:
        by_run.setdefault(state.run, []).append(state)
    found: Recorded = {}
    for run in runs:
        for state in by_run.get(run.id, ()) if run.settings.get("ticket") not in SAME_MASKS else ():
            if state.masks and state.requested_sparsity in run.sparsities:
                of_technique = found.setdefault(state.requested_sparsity, {}).setdefault(run.technique, {})
                of_technique[run.seed] = state.masks
    return found


def round_at(rounds: Sequence[Round], sparsity: float | None = None) -> Round:
    """The round of one sparsity.

    Args:
        rounds: at least one.
        sparsity: as the recipe asked for it, or as it is shown, to two decimals of a per cent; where None, the highest
            of those that most states of the recipe have.

    Raises:
        SelectionError: there is none.
    """
    if sparsity is None:
        return max(rounds, key=lambda each: (each.targets, each.sparsity))
    at = nearest([each.sparsity for each in rounds], sparsity)
    if at is None:
        there = ", ".join(f"{each.sparsity:.4g}" for each in rounds)
        raise SelectionError(f"the experiment has no masks at sparsity {sparsity}: it has some at {there}")
    return next(each for each in rounds if each.sparsity == at)


def nearest(there: Iterable[float], sparsity: float) -> float | None:
    """The one that is meant by a sparsity as the recipe or a table has it, to two decimals of a per cent; None without.

    Args:
        there: sparsities to look among.
        sparsity: that is asked for.
    """
    found = min(there, key=lambda each: abs(each - sparsity), default=None)
    return found if found is not None and abs(found - sparsity) <= NEAR else None


def found_masks(history: History, experiment: str | None = None, sparsity: float | None = None) -> tuple[float, Found]:
    """The masks of every technique of an experiment at one sparsity.

    Args, Raises: those of ``gather_rounds`` and ``round_at``.

    Returns:
        the sparsity, and the masks in the order of the recipe.
    """
    found = round_at(gather_rounds(history, experiment), sparsity)
    return found.sparsity, found.masks


def _masks(state: State) -> Masks:
    from prunus.masks.storage import masks_from_bytes

    return masks_from_bytes(state.history.blobs.get(state.record.masks or ""))
