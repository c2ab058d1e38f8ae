"""Reduce-error ordering of a forest's trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunus.trees.method import OrderMethod, Votes


@dataclass(frozen=True)
class ReduceErrorOrdering(OrderMethod):
    """Next comes the tree with which the forest so far errs least on validation examples.

    The first is the best single tree. Errors are those of the forest's own way to predict, by mean probabilities, where
    the paper's bags of trees vote; for regression the squared error. Of equal trees the first is taken.

    Source: Martínez-Muñoz & Suárez 2004, Aggregation ordering in bagging; Margineantu & Dietterich 1997,
    without backfitting; for regression Hernández-Lobato et al. 2006, Pruning in ordered regression bagging ensembles.
    """

    def order(self, votes: Votes) -> list[int]:
        """The trees, greedily."""
        remaining, order = list(range(len(votes.outputs))), list[int]()
        total = np.zeros(votes.outputs.shape[1:])
        while remaining:
            losses = votes.losses((total + votes.outputs[remaining]) / (len(order) + 1))
            chosen = remaining.pop(int(losses.argmin()))
            total += votes.outputs[chosen]
            order.append(chosen)
        return order
