"""Candidates in order of merit, each with the ranks that it may have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prunus.selection.candidates import Candidate
from prunus.selection.metrics import metric_named
from prunus.selection.statistics import Interval, mean_interval, paired_difference, rounding_spread

_CONFIDENCE = 0.95
_OF_EXAMPLES = ("accuracy", "accuracy_drop")
_DIGITS = 12  # of a mean; those behind them are rounding, not merit


@dataclass(frozen=True)
class Ranked:
    """One candidate and its place.

    Attributes:
        candidate: itself.
        rank: one more than the number of candidates whose mean is better; those with equal means share it.
        value: mean over seeds with its 95 % interval.
        to_best: paired difference, this one minus the best, with its 95 % interval; None for the best itself.
        first, last: ranks that it may have where each comparison is taken by itself: one more than the number of
            candidates that are clearly better, and the number of those that are not clearly worse, itself among them.
            Of two candidates one is clearly better where the 95 % interval of their paired difference excludes 0.
        sure_first, sure_last: the same with all comparisons of this candidate held to 95 % together.
    """

    candidate: Candidate
    rank: int
    value: Interval
    to_best: Interval | None
    first: int
    last: int
    sure_first: int
    sure_last: int


@dataclass(frozen=True)
class Ranking:
    """Candidates in order of merit.

    Attributes:
        metric: by which.
        rows: the best first; equals by name.
        unranked: those that cannot be placed, by name: their seeds are not those of the others, or their metric is not
            known in every seed.
    """

    metric: str
    rows: tuple[Ranked, ...]
    unranked: tuple[Candidate, ...]


def rank(candidates: Sequence[Candidate], metric: str = "accuracy") -> Ranking:
    """Rank candidates by the mean over seeds of a metric's test values.

    A candidate's ranks follow from its paired differences with the others: if each of these intervals covers the true
    difference, its true rank lies between ``first`` and ``last``. Each interval by itself does so with a probability
    of 95 %; all together with less, so that ``first`` to ``last`` is somewhat too narrow for a 95 % interval of the
    rank. For ``sure_first`` to ``sure_last`` every interval of the candidate's m comparisons has a confidence of
    1 − 0.05 / m, and all of them together hold with at least 95 % (Bonferroni), however the comparisons depend on each
    other. This is said of each candidate's rank, not of all ranks at once. Intervals are Student's, which assume
    that differences vary normally: with two or three seeds they are wide, and nothing can check the assumption.
    Without an interval, as with one seed, nothing is clear, and every candidate may have any rank. No interval of
    accuracies is narrower than the rounding to whole examples makes it, so that few seeds with the same difference
    decide nothing that one example could turn.

    The best is found by the same values, so it is flattered by chance, and the others' distance to it is too.

    Only candidates with the same seeds are compared: with the most seeds that any has; where several have as many
    but not the same ones, with those that the most candidates have.

    Args:
        candidates: to rank; comparable ones, each technique once.
        metric: name of what they are ranked by.

    Raises:
        UnknownNameError: there is no metric of that name.

    Source: ranks from simultaneous intervals of pairwise differences as in Mogstad, Romano, Shaikh and Wilhelm 2024,
    "Inference for ranks with applications to mobility across neighbourhoods and academic achievement across
    countries" (doi:10.1093/restud/rdad006), reviewed in arXiv:2401.15205; the widening as in Dunn 1961, "Multiple
    comparisons among means", JASA 56(293).
    """
    sign = 1 if metric_named(metric).better == "higher" else -1
    seeds = _seeds(candidates)
    known = [one for one in candidates if _seeds_of(one) == seeds and all(map(math.isfinite, one.reporting(metric)))]
    values = {id(one): one.reporting(metric) for one in known}
    means = {id(one): mean_interval(values[id(one)]) for one in known}
    least_spread = rounding_of(metric, known)
    merit = {id(one): round(sign * means[id(one)].mean, _DIGITS) for one in known}
    ordered = sorted(known, key=lambda one: (-merit[id(one)], one.technique, one.requested_sparsity))
    rows = []
    for one in ordered:
        others = [[sign * value for value in values[id(other)]] for other in ordered if other is not one]
        own = [sign * value for value in values[id(one)]]
        first, last = _ranks(own, others, _CONFIDENCE, least_spread)
        sure = _ranks(own, others, 1 - (1 - _CONFIDENCE) / max(1, len(others)), least_spread)
        place = 1 + sum(merit[id(other)] > merit[id(one)] for other in ordered)
        best = values[id(ordered[0])]
        to_best = None if one is ordered[0] else paired_difference(values[id(one)], best, least_spread=least_spread)
        rows.append(Ranked(one, place, means[id(one)], to_best, first, last, *sure))
    unranked = sorted(
        (one for one in candidates if id(one) not in values), key=lambda one: (one.technique, one.requested_sparsity)
    )
    return Ranking(metric, tuple(rows), tuple(unranked))


def rounding_of(metric: str, candidates: Sequence[Candidate]) -> float:
    """Spread that rounding to whole test examples gives a difference of these accuracies; 0 of other metrics."""
    examples = min((replicate.examples for one in candidates for replicate in one.replicates), default=0)
    return rounding_spread(1 / examples) if examples and metric in _OF_EXAMPLES else 0.0


def _ranks(
    own: Sequence[float], others: Sequence[Sequence[float]], confidence: float, least_spread: float
) -> tuple[int, int]:
    """The first and the last rank that these comparisons leave open; higher values are better."""
    differences = [paired_difference(other, own, confidence, least_spread) for other in others]
    clear = [one for one in differences if one.excludes_zero and round(one.mean, _DIGITS)]
    better = sum(one.mean > 0 for one in clear)
    return 1 + better, 1 + len(others) - (len(clear) - better)


def _seeds_of(candidate: Candidate) -> tuple[int, ...]:
    return tuple(replicate.seed for replicate in candidate.replicates)


def _seeds(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """The seeds to compare by: as many as any candidate has, and of such sets the one that the most have."""
    counted = Counter(map(_seeds_of, candidates))
    return max(sorted(counted), key=lambda seeds: (len(seeds), counted[seeds]), default=())
