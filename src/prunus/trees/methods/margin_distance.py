"""Ordering a forest's trees by margin distance minimisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunus.errors import ArgumentError
from prunus.trees.method import OrderMethod, Votes


@dataclass(frozen=True)
class MarginDistance(OrderMethod):
    """Next comes the tree that brings the margins of the forest so far nearest to a small positive goal.

    A tree's signature has one entry for each validation example: 1 where it is right, −1 where it is wrong. The
    signatures chosen so far, summed and divided by the number of all trees, are the margins; the goal is a vector with
    the same entry everywhere. Examples that are safely right pull no more, so that those in doubt decide. Of equal
    trees the first is taken. For classifiers.

    Attributes:
        goal: p, the entry of the goal, in (0, 1).

    Source: Martínez-Muñoz & Suárez 2004, Aggregation ordering in bagging; Martínez-Muñoz, Hernández-Lobato
    & Suárez 2009, An analysis of ensemble pruning techniques based on ordered aggregation (IEEE PAMI 31(2)).
    """

    goal: float = 0.075

    def __post_init__(self) -> None:
        if not 0 < self.goal < 1:
            raise ArgumentError(f"goal must lie in (0, 1), got {self.goal}")

    def order(self, votes: Votes) -> list[int]:
        """The trees, greedily."""
        signatures = (2.0 * votes.right() - 1) / len(votes.outputs)
        remaining, order = list(range(len(signatures))), list[int]()
        missing = np.full(signatures.shape[1], self.goal)
        while remaining:
            distances = (missing - signatures[remaining]) ** 2 @ votes.weights
            chosen = remaining.pop(int(distances.argmin()))
            missing -= signatures[chosen]
            order.append(chosen)
        return order
