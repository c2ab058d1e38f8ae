"""The ranking as the page and the terminal show it: who is ahead, by how much, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prunus.report.evidence import Evidence
from prunus.report.kinds import Kind
from prunus.report.words import difference, percent, plural, rank_range, spread
from prunus.selection.candidates import Candidate
from prunus.selection.constraints import ROUNDING
from prunus.selection.ranking import Ranked, Ranking
from prunus.selection.statistics import mean, mean_interval

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_STEPS = 7
_CLOSE = 0.1  # accuracy below the best within which a third of the techniques must lie to leave the others outside


@dataclass(frozen=True)
class Place:
    """One technique's line in the ranking.

    Attributes:
        technique: name.
        index: of its colour; None where it has none.
        chosen: whether this model was chosen.
        rank, ranks, sure_ranks: its own, those that it may have, and those with all comparisons held together.
        accuracy: mean over seeds, and half of its 95 % interval, in points.
        behind: paired difference to the best, in points, and its interval; empty for the best.
        half_width: of that interval, with its sign: ``"±1.9"``.
        is_behind: whether that interval excludes 0.
        mark: where mean and interval lie on the axis, in percent of its width: low, mean, high; None where unknown.
        note: why it has no rank; empty where it has one.
    """

    technique: str
    index: int | None
    chosen: bool
    rank: str
    ranks: str
    sure_ranks: str
    accuracy: tuple[str, str]
    behind: tuple[str, str]
    half_width: str
    is_behind: bool
    mark: tuple[float, float, float] | None
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """The accuracies over which the intervals are drawn.

    Attributes:
        low, high: its ends.
        step: between two lines of the grid.
        dense: where the dense model lies, in percent of the width; None where it is unknown or outside.
    """

    low: float
    high: float
    step: float
    dense: float | None

    def at(self, accuracy: float) -> float:
        """Percent of the width; below 0 or above 100 outside."""
        return 100 * (accuracy - self.low) / (self.high - self.low)

    @property
    def steps(self) -> int:
        """Number of spaces between lines of the grid."""
        return round((self.high - self.low) / self.step)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Every second line of the grid: percent of the width, and what to write there."""
        return [
            (100 * step / self.steps, percent(self.low + step * self.step, 0)) for step in range(0, self.steps + 1, 2)
        ]


@dataclass(frozen=True)
class Group:
    """The ranking of one kind of techniques at one sparsity.

    Attributes:
        kind: what is ranked.
        places: the best first; those without a rank last.
        axis: of the intervals; None where no accuracy is known.
        comparisons: that each technique has with others.
    """

    kind: Kind
    places: tuple[Place, ...]
    axis: Axis | None
    comparisons: int


@dataclass(frozen=True)
class Level:
    """The rankings at one sparsity; ``looked_at`` where it is the one at issue or the one of the comparisons."""

    sparsity: float
    looked_at: bool
    groups: tuple[Group, ...]


def levels(evidence: Evidence) -> list[Level]:
    """The rankings at every target and at the sparsities looked at, those looked at first, then by rising sparsity."""
    closely = (evidence.level, evidence.common)
    extra = {one for one in closely if all(abs(one - target) > ROUNDING for target in evidence.targets)}
    found = []
    for sparsity in sorted({*evidence.targets, *extra}):
        groups = tuple(group for kind in evidence.kinds if (group := _group(evidence, kind, sparsity)))
        looked_at = any(abs(sparsity - one) <= ROUNDING for one in closely)
        if groups:
            found.append(Level(sparsity, looked_at, groups))
    return sorted(found, key=lambda one: not one.looked_at)


def _group(evidence: Evidence, kind: Kind, sparsity: float) -> Group | None:
    ranking = evidence.ranking(kind, sparsity)
    if not ranking.rows and not ranking.unranked:
        return None
    axis = _axis(evidence, ranking)
    ranked = [_place(evidence, row, axis) for row in ranking.rows]
    seeds = len(ranking.rows[0].candidate.replicates) if ranking.rows else len(evidence.seeds)
    others = [_without_rank(evidence, candidate, seeds) for candidate in ranking.unranked]
    return Group(kind, (*ranked, *others), axis, max(0, len(ranked) - 1))


def _place(evidence: Evidence, row: Ranked, axis: Axis | None) -> Place:
    name = row.candidate.technique
    return Place(
        technique=name,
        index=evidence.index(name),
        chosen=evidence.choice is not None and evidence.choice.candidate == row.candidate,
        rank=str(row.rank),
        ranks=rank_range(row.first, row.last),
        sure_ranks=rank_range(row.sure_first, row.sure_last),
        accuracy=(percent(row.value.mean), spread(row.value)),
        behind=difference(row.to_best) if row.to_best else ("", ""),
        half_width=spread(row.to_best) if row.to_best else "",
        is_behind=row.to_best is not None and row.to_best.excludes_zero,
        mark=_mark(row, axis) if axis else None,
    )


def _mark(row: Ranked, axis: Axis) -> tuple[float, float, float]:
    low = row.value.mean if row.value.low is None else row.value.low
    high = row.value.mean if row.value.high is None else row.value.high
    inside = [min(100.0, max(0.0, axis.at(one))) for one in (low, high)]
    return inside[0], axis.at(row.value.mean), inside[1]


def _without_rank(evidence: Evidence, candidate: Candidate, seeds: int) -> Place:
    accuracy = mean_interval(candidate.reporting("accuracy"))
    known = math.isfinite(accuracy.mean)
    note = f"not ranked: {plural(len(candidate.replicates), 'seed')} of {seeds}" if known else "not ranked: diverged"
    if known and len(candidate.replicates) == seeds:
        note = "not ranked: other seeds"
    return Place(
        technique=candidate.technique,
        index=evidence.index(candidate.technique),
        chosen=evidence.choice is not None and evidence.choice.candidate == candidate,
        rank="–",
        ranks="–",
        sure_ranks="–",
        accuracy=(percent(accuracy.mean), spread(accuracy)),
        behind=("", ""),
        half_width="",
        is_behind=False,
        mark=None,
        note=note,
    )


def _axis(evidence: Evidence, ranking: Ranking) -> Axis | None:
    """An axis over all, or where a few far below would flatten the others, over those near the best."""
    if not ranking.rows:
        return None
    means = [row.value.mean for row in ranking.rows]
    near = [row for row in ranking.rows if row.value.mean >= means[0] - _CLOSE]
    cut = 3 * len(near) >= len(means) and len(near) < len(means)
    shown = near if cut else ranking.rows
    dense = mean(evidence.dense.reporting("accuracy")) if evidence.dense else math.nan
    tops = [row.value.mean if row.value.high is None else row.value.high for row in shown]
    bottoms = [row.value.mean if row.value.low is None or cut else row.value.low for row in shown]
    low, high = max(0.0, min(bottoms)), min(1.0, max([*tops, *([dense] if math.isfinite(dense) else [])]))
    step = next((one for one in _STEPS if (high - low) / one <= _MOST_STEPS - 1), _STEPS[-1])
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    top = max(top, bottom + step)
    found = Axis(bottom, top, step, None)
    inside = math.isfinite(dense) and bottom <= dense <= top
    return Axis(bottom, top, step, found.at(dense) if inside else None)
