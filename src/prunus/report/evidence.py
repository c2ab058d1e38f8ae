"""What the history says about one experiment, gathered once for all sections of the page."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunus.errors import SelectionError
from prunus.history.records import ExperimentRecord, Pruning, RunRecord, StateRecord
from prunus.history.store import History
from prunus.outcomes import ClassOutcome
from prunus.report.kinds import Kind, kinds
from prunus.report.names import ShortNames, shortened
from prunus.selection.candidates import Candidate, Replicate
from prunus.selection.choose import Choice
from prunus.selection.constraints import ROUNDING, Constraint, parse_constraints
from prunus.selection.ranking import Ranking, rank
from prunus.selection.statistics import mean
from prunus.tickets.gathering import UNPRUNED

DENSE = "dense"
MANY = 8  # techniques that a chart and pairwise comparisons can show; more are ranked
_FROM_THE_TOP = 4  # of the best that are highlighted, the chosen one among them


@dataclass(frozen=True)
class Evidence:
    """One experiment.

    Attributes:
        experiment: its record.
        runs: begun, in the order of the experiment.
        states: id → record of every state of these runs.
        candidates: technique at requested sparsity, with a replicate for every seed that got there.
        metric: that the choice is made by.
        constraints: that it is made under.
        choice: what was chosen; None where nothing qualifies.
        refusal: why nothing was chosen; empty where something was.
        problems: of the history.
    """

    experiment: ExperimentRecord
    runs: tuple[RunRecord, ...]
    states: Mapping[str, StateRecord]
    candidates: tuple[Candidate, ...]
    metric: str
    constraints: tuple[Constraint, ...]
    choice: Choice | None
    refusal: str
    problems: tuple[str, ...]

    @functools.cached_property
    def techniques(self) -> tuple[str, ...]:
        """Names of the techniques that prune, in the order of the recipe."""
        pruning = [run.technique for run in self.runs if run.settings.get("ticket") != UNPRUNED]
        names = pruning + [candidate.technique for candidate in self.candidates]
        return tuple(name for name in dict.fromkeys(names) if name != DENSE)

    @functools.cached_property
    def targets(self) -> tuple[float, ...]:
        """Sparsities that the recipe asked for, rising."""
        return tuple(sorted({sparsity for run in self.runs for sparsity in run.sparsities}))

    @functools.cached_property
    def dense(self) -> Candidate | None:
        """The unpruned model."""
        return next((candidate for candidate in self.candidates if candidate.technique == DENSE), None)

    @functools.cached_property
    def seeds(self) -> tuple[int, ...]:
        """Every seed of the runs."""
        return tuple(sorted({run.seed for run in self.runs}))

    @functools.cached_property
    def level(self) -> float:
        """The sparsity at issue: the chosen one, else the first target that the constraints allow."""
        if self.choice and self.choice.candidate.technique != DENSE:
            return self.choice.candidate.requested_sparsity
        lowest = max(
            (limit.limit for limit in self.constraints if limit.metric == "sparsity" and limit.bound == "at_least"),
            default=0.0,
        )
        levels = self.targets or tuple(candidate.requested_sparsity for candidate in self.candidates)
        return next((level for level in levels if level >= lowest - ROUNDING), max(levels, default=0.0))

    @functools.cached_property
    def measured(self) -> tuple[str, ...]:
        """Names of the techniques that have a model."""
        return tuple(name for name in self.techniques if self.of(name))

    @functools.cached_property
    def common(self) -> float:
        """The sparsity at which the techniques are compared.

        It is the one at issue where every technique has a model there, else the nearest target that all have. Where
        there is no such target, it is the sparsity that the most techniques have.
        """
        requested = {
            self.level,
            *self.targets,
            *(one.requested_sparsity for name in self.measured for one in self.of(name)),
        }

        def rank(sparsity: float) -> tuple[int, bool, float]:
            shared = sum(self.at(name, sparsity) is not None for name in self.measured)
            intermediate = sparsity != self.level and sparsity not in self.targets
            return -shared, intermediate, _distance(sparsity, self.level)

        return self.level if len(self.measured) < 2 else min(sorted(requested), key=rank)

    @functools.cached_property
    def short(self) -> ShortNames:
        """The techniques' names without what nearly all of them share."""
        return shortened(self.techniques)

    @property
    def is_crowded(self) -> bool:
        """Whether there are so many techniques that they are ranked, and only the highlighted ones told apart."""
        return len(self.measured) > MANY

    @functools.cached_property
    def kinds(self) -> list[Kind]:
        """The techniques with a model by what they may be ranked against, the chosen one's first."""
        chosen = self.choice.candidate.technique if self.choice else ""
        return sorted(kinds(self.measured, self._pruning), key=lambda kind: chosen not in kind.techniques)

    def _pruning(self, technique: str) -> Pruning | None:
        return self.states[self.of(technique)[0].replicates[0].state].pruning

    def ranking(self, kind: Kind, sparsity: float) -> Ranking:
        """The techniques of a kind that have a model at that sparsity, ranked by test accuracy."""
        return rank([one for name in kind.techniques if (one := self.at(name, sparsity))])

    @functools.cached_property
    def highlighted(self) -> tuple[str, ...]:
        """Names of the techniques that are told apart where there are many.

        The chosen one, the best of its kind, the best of each other kind, and the random controls, at most ``MANY``.
        """
        orders = [[row.candidate.technique for row in self.ranking(kind, self.common).rows] for kind in self.kinds]
        name = self.choice.candidate.technique if self.choice else DENSE
        chosen = [name] if name != DENSE else []
        own = [*chosen, *(name for name in (orders or [[]])[0] if name not in chosen)][:_FROM_THE_TOP]
        controls = [name for order in orders for name in order if self._is_random(name)]
        others = [order[0] for order in orders[1:] if order]
        kept = [*dict.fromkeys([*own, *controls[:1], *others, *controls[1:]])][:MANY]
        return tuple(sorted(kept, key=lambda name: name in controls))

    @functools.cached_property
    def by_merit(self) -> tuple[str, ...]:
        """Names of the techniques by mean test accuracy at the common sparsity; those that lack it last."""

        def merit(name: str) -> tuple[bool, float]:
            candidate = self.at(name, self.common)
            accuracy = mean(candidate.reporting("accuracy")) if candidate else math.nan
            return math.isnan(accuracy), -accuracy

        return tuple(sorted(self.techniques, key=merit))

    def _is_random(self, technique: str) -> bool:
        pruning = self._pruning(technique)
        return pruning is not None and pruning.criterion == "random"

    def index(self, technique: str) -> int | None:
        """The number that gives the technique its colour and marker; None where it is not told apart."""
        told_apart = self.highlighted if self.is_crowded else self.techniques
        return told_apart.index(technique) if technique in told_apart else None

    @functools.cached_property
    def _by_technique(self) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        for candidate in sorted(self.candidates, key=lambda candidate: candidate.requested_sparsity):
            found.setdefault(candidate.technique, []).append(candidate)
        return found

    def of(self, technique: str) -> list[Candidate]:
        """The candidates of a technique, by rising sparsity."""
        return self._by_technique.get(technique, [])

    def near(self, technique: str, sparsity: float) -> Candidate | None:
        """The candidate of a technique whose density is nearest to that sparsity's; None where it has none."""
        return min(self.of(technique), key=lambda one: _distance(one.requested_sparsity, sparsity), default=None)

    def at(self, technique: str, sparsity: float) -> Candidate | None:
        """The candidate of a technique at that sparsity; None where it has none."""
        found = self.near(technique, sparsity)
        return found if found and abs(found.requested_sparsity - sparsity) <= ROUNDING else None

    def class_changes(self, replicate: Replicate) -> dict[str, float]:
        """Class → its change of test accuracy from the dense model of the same seed; empty where that is unknown."""
        dense = next((one for one in self.dense.replicates if one.seed == replicate.seed), None) if self.dense else None
        if dense is None:
            return {}
        before = {outcome.name: outcome.accuracy for outcome in self.test_classes(dense)}
        after = {outcome.name: outcome.accuracy for outcome in self.test_classes(replicate)}
        return {name: after[name] - before[name] for name in after} if before.keys() == after.keys() else {}

    def test_classes(self, replicate: Replicate) -> tuple[ClassOutcome, ...]:
        """How each class fared in the test split, in class order."""
        test = self.states[replicate.state].test
        return test.classes if test else ()


def _distance(first: float, second: float) -> float:
    """How far apart two sparsities are, as the ratio of their densities on a log scale."""
    return abs(math.log(max(1 - first, 1e-9) / max(1 - second, 1e-9)))


def gather(history: History, experiment_id: str | None) -> Evidence:
    """Read one experiment; None for the latest.

    Raises:
        UnknownNameError, ArgumentError, HistoryError: as for ``History.experiment``.
    """
    view = history.restricted_to(experiment_id)
    experiment = view.experiment()
    order = {run: index for index, run in enumerate(experiment.runs)}
    runs = sorted(view.runs(), key=lambda run: order[run.id])
    metric, limits = _asked(experiment.recipe)
    choice, refusal = None, ""
    try:
        choice = view.best(metric, **limits)
    except SelectionError as error:
        refusal = str(error)
    return Evidence(
        experiment=experiment,
        runs=tuple(runs),
        states={state.id: state.record for state in view.states()},
        candidates=tuple(view.candidates()),
        metric=metric,
        constraints=parse_constraints(limits),
        choice=choice,
        refusal=refusal,
        problems=tuple(view.problems),
    )


def _asked(recipe: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    choose = dict(recipe.get("choose", {}))
    return choose.pop("by", "accuracy"), choose
