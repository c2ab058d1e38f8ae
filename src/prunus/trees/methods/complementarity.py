"""Ordering a forest's trees by how they complement those chosen before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunus.trees.method import OrderMethod, Votes


@dataclass(frozen=True)
class Complementarity(OrderMethod):
    """Next comes the tree that is right on most validation examples on which the forest so far is wrong.

    The first is the best single tree. The forest is wrong as it predicts itself, by mean probabilities, where the
    paper's bags of trees vote. Of equal trees the first is taken. For classifiers.

    Source: Martínez-Muñoz & Suárez 2004, Aggregation ordering in bagging.
    """

    def order(self, votes: Votes) -> list[int]:
        """The trees, greedily."""
        right = votes.right()
        remaining, order = list(range(len(right))), list[int]()
        total = np.zeros(votes.outputs.shape[1:])
        wrong = votes.weights
        while remaining:
            chosen = remaining.pop(int((right[remaining] @ wrong).argmax()))
            total += votes.outputs[chosen]
            wrong = votes.weights * (total.argmax(axis=1) != votes.targets)
            order.append(chosen)
        return order
