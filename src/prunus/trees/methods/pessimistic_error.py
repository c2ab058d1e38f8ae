"""Pessimistic error pruning (PEP)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunus.errors import ArgumentError
from prunus.trees.method import NodeMethod, Subject


@dataclass(frozen=True)
class PessimisticError(NodeMethod):
    """A node becomes a leaf where its corrected errors are within one standard error of those of its subtree.

    Every leaf is charged half an error more than it makes on the training examples, the continuity correction of the
    binomial distribution: n'(t) = e(t) + ½ for a node t and n'(T) = Σ e(s) + ½ for each leaf s of its subtree T. With
    N examples at t, the standard error is √(n'(T) (N − n'(T)) / N). Nodes are looked at from the root down, subtrees
    always as they were grown. A node's score is (n'(t) − n'(T)) / standard error. For classifiers.

    Not to be confused with C4.5's pessimistic pruning, which is ``"error-based"``.

    Attributes:
        standard_errors: up to this score nodes become leaves; 1 as published.

    Source: Quinlan 1987, Simplifying decision trees (Int. J. Man-Machine Studies 27); the names as in Esposito et al.
    1997 (IEEE PAMI 19(5)).
    """

    standard_errors: float = 1.0

    def __post_init__(self) -> None:
        if not self.standard_errors >= 0:
            raise ArgumentError(f"standard_errors must not be negative, got {self.standard_errors}")

    def scores(self, subject: Subject) -> np.ndarray:
        """How many standard errors each node is worse than its subtree."""
        grown = subject.grown
        alone = grown.errors + 0.5
        subtree = grown.nodes.summed_over_leaves(alone)
        error = np.sqrt(np.maximum(subtree * (grown.weights - subtree) / grown.weights, 0))
        # Weights below one example leave no standard error: then a rise is never worth it, and no rise always.
        never = np.where(alone > subtree, np.inf, -np.inf)
        return np.divide(alone - subtree, error, out=never, where=error > 0)

    def threshold(self, subject: Subject, scores: np.ndarray) -> float:
        """The number of standard errors."""
        return self.standard_errors
