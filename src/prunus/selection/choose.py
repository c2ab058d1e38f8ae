"""The best candidate under constraints, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prunus.errors import SelectionError
from prunus.selection.candidates import Candidate, Replicate
from prunus.selection.constraints import Constraint
from prunus.selection.metrics import METRICS, metric_named
from prunus.selection.statistics import Interval, mean, mean_interval


@dataclass(frozen=True)
class Choice:
    """What was chosen, and the evidence.

    Attributes:
        candidate: the best that satisfies the constraints.
        replicate: the seed's model to ship: the best by the metric among those that satisfy the constraints by
            themselves, among all where none does.
        metric: that was optimised.
        constraints: that were to be satisfied.
        missed: constraints that the replicate misses by itself, though the mean over seeds satisfies them.
        reported: metric → mean over seeds of the test values, with its interval. Test values took no part in choosing.
    """

    candidate: Candidate
    replicate: Replicate
    metric: str
    constraints: tuple[Constraint, ...]
    missed: tuple[Constraint, ...]
    reported: Mapping[str, Interval]


def choose(candidates: Sequence[Candidate], metric: str, constraints: Iterable[Constraint] = ()) -> Choice:
    """The candidate with the best metric among those that satisfy every constraint.

    Metric and constraints are judged on the mean over seeds of the validation values; a nan satisfies nothing and
    is never best. A candidate that lacks seeds which another one has gives way to it: a mean over fewer is no fair
    match. Of equals the sparser is taken, then the first by name.

    Args:
        candidates: to choose from; their replicates carry every metric of ``METRICS``.
        metric: name of what to optimise.
        constraints: from ``parse_constraints``; a limit to sparsity speaks of the requested one, see
            ``Constraint.met_by_sparsity``.

    Raises:
        UnknownNameError: there is no metric of that name.
        SelectionError: there is no candidate, or none satisfies the constraints; the message names the nearest,
            what it misses by how much, and what would let it pass.
    """
    limits = tuple(constraints)
    sign = -1 if metric_named(metric).better == "higher" else 1
    if not candidates:
        raise SelectionError("there is nothing to choose from: no finished model is recorded; run a recipe first")
    passing = [candidate for candidate in candidates if not _missed(candidate, candidate.replicates, limits)]
    if not passing:
        raise SelectionError(_refusal(candidates, limits, metric, sign))
    known = [candidate for candidate in passing if not math.isnan(_value(candidate, metric))]
    if not known:
        raise SelectionError(
            f"the {metric} of {_listed(passing)} is unknown: training diverged, or it was not measured; "
            "choose by another metric, or run again with other settings"
        )
    # The last digits of a mean are rounding, not evidence, so they must not decide between equals.
    best = min(
        known,
        key=lambda candidate: (
            -len(candidate.replicates),
            round(sign * _value(candidate, metric), 12),
            -round(_value(candidate, "sparsity"), 12),
            candidate.technique,
            -candidate.requested_sparsity,
        ),
    )
    replicate = _to_ship(best, metric, sign, limits)
    return Choice(
        candidate=best,
        replicate=replicate,
        metric=metric,
        constraints=limits,
        missed=tuple(_missed(best, [replicate], limits)),
        reported={name: mean_interval(best.reporting(name)) for name in METRICS},
    )


def _value(candidate: Candidate, metric: str) -> float:
    return mean(candidate.choosing(metric))


def _missed(candidate: Candidate, replicates: Sequence[Replicate], limits: Iterable[Constraint]) -> list[Constraint]:
    """The constraints that the mean over these replicates of the candidate does not satisfy."""
    missed = []
    for limit in limits:
        value = mean([replicate.choosing[limit.metric] for replicate in replicates])
        requested = candidate.requested_sparsity
        met = limit.met_by_sparsity(value, requested) if limit.metric == "sparsity" else limit.met_by(value)
        if not met:
            missed.append(limit)
    return missed


def _to_ship(candidate: Candidate, metric: str, sign: int, limits: Iterable[Constraint]) -> Replicate:
    limits = tuple(limits)
    alone = [replicate for replicate in candidate.replicates if not _missed(candidate, [replicate], limits)]
    return min(alone or candidate.replicates, key=lambda replicate: sign * replicate.choosing[metric])


def _refusal(candidates: Sequence[Candidate], limits: tuple[Constraint, ...], metric: str, sign: int) -> str:
    def distance(candidate: Candidate) -> tuple[bool, int, float, float, str, float]:
        missed = _missed(candidate, candidate.replicates, limits)
        miss = sum(limit.miss(_value(candidate, limit.metric)) for limit in missed)
        # Who asks for a sparse model is not helped by the dense one, near as it may be.
        unpruned = not candidate.requested_sparsity
        value = sign * _value(candidate, metric)
        worth = math.inf if math.isnan(value) else round(value, 12)
        return unpruned, len(missed), round(miss, 12), worth, candidate.technique, candidate.requested_sparsity

    nearest = min(candidates, key=distance)
    missed = _missed(nearest, nearest.replicates, limits)
    values = [(limit, _value(nearest, limit.metric)) for limit in missed]
    described = " and ".join(
        f"its {limit.metric} is {_number(value)}, the limit {limit.bound.replace('_', ' ')} {_number(limit.limit)}"
        for limit, value in values
    )
    known = [f"{limit.key}={_number(limit.loosened_to(value))}" for limit, value in values if math.isfinite(value)]
    unknown = [limit.metric for limit, value in values if not math.isfinite(value)]
    remedies = [f"it passes with {', '.join(known)}"] if known else []
    if unknown:
        remedies.append(
            f"its {' and '.join(unknown)} cannot be told, because training diverged or there is no dense model "
            "of the same seed to compare with: leave that constraint out or run again"
        )
    return (
        f"no candidate satisfies {' and '.join(map(str, limits))}; the nearest is {_listed([nearest])}, "
        f"judged on the validation mean of {_seeds(len(nearest.replicates))}: {described}; {'; '.join(remedies)}"
    )


def _listed(candidates: Iterable[Candidate]) -> str:
    return ", ".join(f"{candidate.technique} at sparsity {candidate.requested_sparsity:g}" for candidate in candidates)


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "unknown"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.6g}"
