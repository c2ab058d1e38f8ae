"""Weakest-link pruning for any cost that is a sum over leaves."""

from __future__ import annotations

import heapq

import numpy as np

from prunus.trees.nodes import Nodes

Link = tuple[float, float, int]  # minus the threshold, rise of the cost, leaves saved


def weakest_links(nodes: Nodes, costs: np.ndarray) -> np.ndarray:
    """The threshold at which each node becomes a leaf of the cheapest pruned tree.

    With the cost R(t) of each node t as a leaf, the cheapest pruned tree under the complexity parameter α minimises
    the sum of R(t) + α over its leaves t, and is the smallest of those that do. As α rises from −∞ to ∞ these trees
    are nested: t is a leaf, or has gone, as soon as α reaches its threshold or that of a node above it.

    Breiman's sequence prunes the link with the smallest g(t) = (R(t) − R(T_t)) / (|T_t| − 1) again and again. Here each
    threshold is found from those of the nodes beneath it, as pooled neighbours are in isotonic regression: a link that
    is not weaker than the one above never acts alone, and joins it.

    Args:
        nodes: of n nodes.
        costs: float (n,), of any sign.

    Returns:
        float64 (n,); −∞ for leaves.

    Source: Breiman et al. 1984, Classification and Regression Trees, section 3.3; time O(n log² n).
    """
    thresholds = np.full(len(nodes), -np.inf)
    left, right, cost = nodes.left.tolist(), nodes.right.tolist(), costs.tolist()
    links: dict[int, list[Link]] = {}  # of the subtrees whose parents are still to come, each a heap
    for level in reversed(nodes.levels):
        for node in level[nodes.inner[level]].tolist():
            below = _joined(links.pop(left[node], []), links.pop(right[node], []))
            rise, saved = cost[node] - cost[left[node]] - cost[right[node]], 1
            while below and -below[0][0] >= rise / saved:
                _, more, leaves = heapq.heappop(below)
                rise, saved = rise + more, saved + leaves
            thresholds[node] = rise / saved
            heapq.heappush(below, (-rise / saved, rise, saved))
            links[node] = below
    return thresholds


def _joined(first: list[Link], second: list[Link]) -> list[Link]:
    """The smaller heap poured into the larger."""
    small, large = sorted((first, second), key=len)
    for link in small:
        heapq.heappush(large, link)
    return large
