"""Error-based pruning, the pessimistic pruning of C4.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunus.errors import ArgumentError
from prunus.trees.links import weakest_links
from prunus.trees.method import NodeMethod, Subject

# Confidence levels and the standard deviations above the mean that belong to them: C4.5 release 8, stats.c.
_LEVELS = (0.0, 0.001, 0.005, 0.01, 0.05, 0.10, 0.20, 0.40, 1.00)
_DEVIATIONS = (4.0, 3.09, 2.58, 2.33, 1.65, 1.28, 0.84, 0.25, 0.00)


@dataclass(frozen=True)
class ErrorBased(NodeMethod):
    """A node becomes a leaf where its predicted errors are no more than those of the leaves beneath it.

    The predicted errors of a leaf with N training examples, E of them wrong, are N times the upper limit U_CF(E, N) of
    the confidence interval of a binomial distribution. A node's score is the rise of their sum for each leaf that is
    saved; the own choice prunes up to a score of 0. For classifiers.

    C4.5 itself may also replace a node by its most frequent child, which would change the splits and is not done here,
    and its release 8 accepts up to 0.1 errors more.

    Attributes:
        confidence: CF, in (0, 1); smaller prunes more.

    Source: Quinlan 1993, C4.5: Programs for Machine Learning; the limit as its program computes it.
    """

    confidence: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ArgumentError(f"confidence must lie in (0, 1), got {self.confidence}")

    def scores(self, subject: Subject) -> np.ndarray:
        """Rise of the predicted errors for each leaf saved."""
        grown = subject.grown
        return weakest_links(grown.nodes, predicted_errors(grown.weights, grown.errors, self.confidence))

    def threshold(self, subject: Subject, scores: np.ndarray) -> float:
        """0: the predicted errors must not rise."""
        return 0.0


def predicted_errors(counts: np.ndarray, errors: np.ndarray, confidence: float) -> np.ndarray:
    """N × U_CF(E, N), as C4.5 computes it: exact for E = 0, else a normal approximation, corrected for continuity.

    Between no error and one, which weights can make, it is linear.

    Args:
        counts: N, float, above 0.
        errors: E, float, of the same shape; up to N.
        confidence: CF.
    """
    none = counts * (1 - confidence ** (1 / counts))
    below_one = none + errors * (_from_one(counts, np.ones_like(errors), confidence) - none)
    return np.where(errors < 0.9999, below_one, _from_one(counts, errors, confidence))


def _from_one(counts: np.ndarray, errors: np.ndarray, confidence: float) -> np.ndarray:
    """The same for one error or more."""
    square = np.interp(confidence, _LEVELS, _DEVIATIONS) ** 2
    corrected = errors + 0.5
    variance = np.maximum(corrected * (1 - corrected / counts) + square / 4, 0)
    limit = counts * (corrected + square / 2 + np.sqrt(square * variance)) / (counts + square)
    return np.where(corrected >= counts, errors + 0.67 * (counts - errors), limit)
