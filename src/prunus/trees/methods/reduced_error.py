"""Reduced-error pruning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunus.trees.examples import NodeLosses
from prunus.trees.links import weakest_links
from prunus.trees.method import NodeMethod, Subject


@dataclass(frozen=True)
class ReducedError(NodeMethod):
    """A node becomes a leaf where that does not raise the error on validation examples.

    Bottom-up, this finds the smallest of the pruned trees that are most accurate on these examples. Nodes that none of
    them reaches go. A node's score is the rise of the error for each leaf that is saved; the own choice prunes up to a
    score of 0. For regression the error is the loss of the tree's criterion: squared, absolute, or Poisson deviance.

    In a forest each tree is pruned for itself.

    Source: Quinlan 1987, Simplifying decision trees (Int. J. Man-Machine Studies 27); that the result is the smallest:
    Esposito et al. 1997, A comparative analysis of methods for pruning decision trees (IEEE PAMI 19(5)).
    """

    def scores(self, subject: Subject) -> np.ndarray:
        """Rise of the validation loss for each leaf saved."""
        return weakest_links(subject.grown.nodes, NodeLosses.of(subject.grown, subject.held_out()).total)

    def threshold(self, subject: Subject, scores: np.ndarray) -> float:
        """0: the loss must not rise."""
        return 0.0
