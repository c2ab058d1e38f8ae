"""Which techniques agree with one another more than with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prunus.tickets.comparison import Comparison

LEAST = 3  # techniques, below which there is nothing to group


@dataclass(frozen=True)
class Group:
    """Techniques that were joined.

    Attributes:
        name: of a technique by itself; empty where several are joined.
        height: mean distance between a technique of the one part and one of the other: 0 where they keep the same, 1
            where they are as alike as chance.
        parts: the two groups that are joined here; none of a technique by itself.
    """

    name: str = ""
    height: float = 0.0
    parts: tuple[Group, ...] = ()

    @property
    def names(self) -> list[str]:
        """Those in it, so that techniques that agree stand beside one another."""
        return [self.name] if not self.parts else [name for part in self.parts for name in part.names]


def grouped(comparisons: Sequence[Comparison]) -> Group | None:
    """Join techniques, the closest first, until they are one group: a dendrogram.

    Average linkage over ``Comparison.distance``.

    Args:
        comparisons: at one sparsity.

    Returns:
        the group of all; None where there are fewer than three techniques, or two of them cannot be compared because
        no seed has both.

    Source: Sokal & Michener 1958, "A statistical method for evaluating systematic relationships" (UPGMA).
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    names = _names(comparisons)
    distances = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(distances, 0)
    for each in comparisons:
        if each.first != each.second:
            row, column = names.index(each.first), names.index(each.second)
            distances[row, column] = distances[column, row] = each.distance
    if len(names) < LEAST or np.isnan(distances).any():
        return None
    groups = [Group(name) for name in names]
    for first, second, height, _ in linkage(squareform(distances), "average", optimal_ordering=True):
        groups.append(Group("", float(height), (groups[int(first)], groups[int(second)])))
    return groups[-1]


def clustered(comparisons: Sequence[Comparison]) -> list[str]:
    """Names of the techniques so that those that agree stand beside one another; in their order without groups."""
    found = grouped(comparisons)
    return found.names if found else _names(comparisons)


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(name for each in comparisons for name in (each.first, each.second)))
