"""Choosing how much to prune by examples that the tree was not grown from: held out, or each in its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils import check_array

from prunus.errors import DataError
from prunus.trees.collapse import ROUNDING, scores_of_inner
from prunus.trees.examples import Examples, NodeLosses
from prunus.trees.grown import Grown


@dataclass(frozen=True, eq=False)
class Estimate:
    """How the trees of K thresholds fare on examples.

    Attributes:
        total: float64 (K,), the sum of weight × loss.
        squared: float64 (K,), the sum of (weight × loss)².
        crossed: float64 (K,), the sum of weight² × loss.
        weights: float64 (N,), of the examples.
    """

    total: np.ndarray
    squared: np.ndarray
    crossed: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, grown: Grown, scores: np.ndarray, examples: Examples, thresholds: np.ndarray) -> Estimate:
        """Of one grown tree, pruned at each of the thresholds."""
        nodes, losses = grown.nodes, NodeLosses.of(grown, examples)
        lowest = nodes.lowest_on_the_way(scores_of_inner(nodes, scores))
        # A node is a leaf from its own threshold on, or always, until its parent's, which a root has not.
        begins = np.where(nodes.inner, lowest, -np.inf)
        ends = np.where(nodes.parent >= 0, lowest[nodes.parent], np.inf)
        rounding = ROUNDING * np.abs(lowest[np.isfinite(lowest)]).max(initial=0.0)
        at = np.minimum(thresholds, np.finfo(np.float64).max) + rounding
        total, squared, crossed = (
            _up_to(at, begins, values) - _up_to(at, ends, values)
            for values in (losses.total, losses.squared, losses.crossed)
        )
        return cls(total, squared, crossed, losses.weights)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.total + other.total,
            self.squared + other.squared,
            self.crossed + other.crossed,
            np.concatenate([self.weights, other.weights]),
        )

    @property
    def means(self) -> np.ndarray:
        """float64 (K,), weighted mean loss."""
        return self.total / self.weights.sum()

    @property
    def standard_errors(self) -> np.ndarray:
        """float64 (K,), of the means; √(R (1 − R) / N) for errors of equal weight."""
        means = self.means
        spread = self.squared - 2 * means * self.crossed + means**2 * (self.weights**2).sum()
        return np.sqrt(np.maximum(spread, 0)) / self.weights.sum()

    def smallest_within(self, standard_errors: float) -> int:
        """The index of the highest threshold whose mean is no more than so many standard errors above the lowest.

        Source: Breiman et al. 1984, section 3.4; 1 is their 1 SE rule, 0 takes the best tree.
        """
        means = self.means
        best = int(means.argmin())
        limit = means[best] + standard_errors * self.standard_errors[best] + ROUNDING * np.abs(means).max()
        return int(np.flatnonzero(means <= limit)[-1])


def path_of(grown: Grown, scores: np.ndarray) -> np.ndarray:
    """float64 (K,), rising: every threshold from 0 on at which the tree changes; 0 comes first in any case.

    Thresholds that differ by rounding alone are one.
    """
    nodes = grown.nodes
    lowest = np.unique(nodes.lowest_on_the_way(scores_of_inner(nodes, scores))[nodes.inner])
    rounding = ROUNDING * np.abs(lowest).max(initial=0.0)
    above = lowest[lowest > rounding]
    return np.concatenate([[0.0], above[np.diff(above, prepend=0.0) > rounding]])


def between(path: np.ndarray) -> np.ndarray:
    """float64 (K,), a threshold that stands for each tree of a path: the geometric mean of its interval's ends.

    The last, which leaves the root alone, is ∞. Source: Breiman et al. 1984, section 3.4.
    """
    return np.append(np.sqrt(path[:-1] * path[1:]), np.inf)


def cross_validated(
    estimator: Any,
    training: Sequence[Any],
    score: Callable[[Grown], np.ndarray],
    thresholds: np.ndarray,
    folds: int,
    seed: int,
) -> Estimate:
    """How trees that are grown without a part of the training examples fare on that part, pruned at each threshold.

    Args:
        estimator: is cloned and fitted for each part.
        training: ``(X, y)`` or ``(X, y, sample_weight)``.
        score: the nodes' scores.
        thresholds: float (K,).
        folds: number of parts; each holds every class in its proportion.
        seed: of the parts.

    Raises:
        DataError: there are fewer than two examples.

    Source: Breiman et al. 1984, section 3.4.
    """
    inputs = check_array(training[0], accept_sparse="csr", dtype=np.float32, ensure_all_finite=False)
    targets = np.asarray(training[1])
    weights = np.asarray(training[2], np.float64) if len(training) == 3 else np.ones(len(targets))
    counted = weights > 0
    inputs, targets, weights = inputs[counted], targets[counted], weights[counted]
    if len(targets) < 2:
        raise DataError(f"cross-validation needs at least two examples that count, got n_samples = {len(targets)}")
    part = _parts(targets if is_classifier(estimator) else None, len(targets), folds, seed)
    estimates = []
    for held_out in range(part.max() + 1):
        away, here = np.flatnonzero(part != held_out), np.flatnonzero(part == held_out)
        fitted = clone(estimator).fit(inputs[away], targets[away], sample_weight=weights[away])
        grown = Grown.of(fitted)
        examples = Examples.of(grown, (inputs[here], targets[here], weights[here]))
        estimates.append(Estimate.of(grown, score(grown), examples, thresholds))
    return sum(estimates[1:], start=estimates[0])


def _parts(labels: np.ndarray | None, count: int, folds: int, seed: int) -> np.ndarray:
    """int (N,), the part of each example, those of one class dealt out in turn."""
    order = np.random.RandomState(seed).permutation(count)  # its stream is promised to stay
    if labels is not None:
        order = order[np.argsort(np.unique(labels, return_inverse=True)[1].reshape(-1)[order], kind="stable")]
    part = np.empty(count, np.intp)
    part[order] = np.arange(count) % min(folds, count)
    return part


def _up_to(limits: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each limit, the sum of the values whose key is at most it."""
    order = np.argsort(keys)
    sums = np.concatenate([[0.0], np.cumsum(values[order])])
    return sums[np.searchsorted(keys[order], limits, side="right")]
