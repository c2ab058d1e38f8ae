"""The tables of comparisons and of sizes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from prunus.report.evidence import DENSE, Evidence
from prunus.report.words import difference as in_points
from prunus.report.words import half_width
from prunus.selection.candidates import Candidate
from prunus.selection.constraints import ROUNDING
from prunus.selection.ranking import rounding_of
from prunus.selection.statistics import Interval, mean, mean_interval, paired_difference

SIZE_METRICS = (
    "sparsity",
    "worst_class_accuracy",
    "nonzero_parameters",
    "effective_parameters",
    "effective_flops",
    "size_bytes",
    "compression",
)


@dataclass(frozen=True)
class Comparison:
    """Two techniques at one sparsity.

    Attributes:
        first, second: names; the difference is first minus second.
        sparsity: asked for.
        looked_at: whether it is at the sparsity at issue or at the one at which the techniques are compared.
        difference: in words, in points.
        interval: in words, in points.
        seeds: that both have.
        clear: whether the interval excludes 0.
        verdict: in words.
        chosen: whether one of the two models was chosen.
    """

    first: str
    second: str
    sparsity: float
    looked_at: bool
    difference: str
    interval: str
    seeds: int
    clear: bool
    verdict: str
    chosen: bool = False


@dataclass(frozen=True)
class SizeRow:
    """One technique at one sparsity: means over seeds.

    Attributes:
        technique: name.
        index: of the technique; None for the dense model and where it is not told apart.
        chosen: whether this was chosen.
        accuracy: test accuracy.
        half_width: of its 95 % interval; nan where there is none.
        values: metric → mean over seeds; the size is the packed file's, of the dense model that of its plain file.
    """

    technique: str
    index: int | None
    chosen: bool
    requested: float
    accuracy: float
    half_width: float
    values: dict[str, float]


def comparisons(evidence: Evidence) -> list[Comparison]:
    """Every pair of techniques at every target and at the sparsities looked at, by rising sparsity.

    Where there are many techniques, only those at the sparsities looked at, of the chosen technique and of the best
    with each other of their kind: the ranking says the rest.

    Pairs that have no seed in common are left out; if that leaves none at the sparsities looked at, the nearest
    sparsity that has a pair is looked at.
    """
    chosen = evidence.choice.candidate if evidence.choice else None
    closely = (evidence.level, evidence.common)
    extra = {one for one in closely if all(abs(one - target) > ROUNDING for target in evidence.targets)}
    found = []
    for sparsity in sorted({*evidence.targets, *extra}):
        looked_at = any(abs(sparsity - one) <= ROUNDING for one in closely)
        for first, second in _pairs(evidence, sparsity, looked_at):
            difference = _difference(first, second)
            if difference:
                compared = _compared(first.technique, second.technique, sparsity, looked_at, difference)
                found.append(replace(compared, chosen=chosen in (first, second)))
    if found and not any(one.looked_at for one in found):
        nearest = min(found, key=lambda one: abs(one.sparsity - evidence.level)).sparsity
        found = [replace(one, looked_at=one.sparsity == nearest) for one in found]
    return found


def _pairs(evidence: Evidence, sparsity: float, looked_at: bool) -> list[tuple[Candidate, Candidate]]:
    if not evidence.is_crowded:
        measured = [one for name in evidence.techniques if (one := evidence.at(name, sparsity))]
        return list(itertools.combinations(measured, 2))
    if not looked_at:
        return []
    ranked = [row.candidate for row in evidence.ranking(evidence.kinds[0], sparsity).rows]
    chosen = [one for one in ranked if evidence.choice and one.technique == evidence.choice.candidate.technique]
    leading = [*chosen, *(one for one in ranked[:1] if one not in chosen)]
    others = [one for one in ranked if one not in leading]
    return [*itertools.combinations(leading, 2), *itertools.product(leading, others)]


def _difference(first: Candidate, second: Candidate) -> Interval | None:
    others = {replicate.seed: replicate.reporting["accuracy"] for replicate in second.replicates}
    pairs = [
        (replicate.reporting["accuracy"], others[replicate.seed])
        for replicate in first.replicates
        if replicate.seed in others
    ]
    if not pairs:
        return None
    rounding = rounding_of("accuracy", (first, second))
    return paired_difference([one for one, _ in pairs], [other for _, other in pairs], least_spread=rounding)


def _compared(first: str, second: str, sparsity: float, looked_at: bool, difference: Interval) -> Comparison:
    points, interval = in_points(difference)
    if difference.low is None:
        verdict = "one seed: no interval" if difference.count == 1 else "unknown: a model diverged"
    elif difference.excludes_zero:
        verdict = f"clear: interval excludes 0, the {'first' if difference.mean > 0 else 'second'} is better"
    else:
        verdict = "no clear difference"
    return Comparison(
        first=first,
        second=second,
        sparsity=sparsity,
        looked_at=looked_at,
        difference=points,
        interval=interval,
        seeds=difference.count,
        clear=difference.excludes_zero,
        verdict=verdict,
    )


def sizes(evidence: Evidence) -> list[SizeRow]:
    """Every candidate, the dense one first, then technique by technique by rising sparsity."""
    chosen = evidence.choice.candidate if evidence.choice else None
    rows = []
    for name in (DENSE, *evidence.techniques):
        for candidate in evidence.of(name):
            accuracy = mean_interval(candidate.reporting("accuracy"))
            values = {metric: mean(candidate.reporting(metric)) for metric in SIZE_METRICS}
            if name == DENSE:
                values |= {"size_bytes": _plain_size(evidence, candidate), "compression": 1.0}
            requested = candidate.requested_sparsity
            is_chosen = candidate == chosen
            rows.append(
                SizeRow(name, evidence.index(name), is_chosen, requested, accuracy.mean, half_width(accuracy), values)
            )
    return rows


def _plain_size(evidence: Evidence, dense: Candidate) -> float:
    costs = [evidence.states[replicate.state].cost for replicate in dense.replicates]
    return mean([cost.dense_size_bytes if cost else math.nan for cost in costs])


def sortable(value: float) -> str:
    """A number for the page's script to sort by; empty where it is unknown."""
    return repr(float(value)) if math.isfinite(value) else ""
