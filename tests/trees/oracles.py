"""Independent ways to the same answers: every pruned subtree, walked example by example."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st


@st.composite
def labelled(draw, classes=3, least=12, most=40):
    """Noisy examples with few values, so that there are many ties."""
    count = draw(st.integers(least, most))
    random = np.random.RandomState(draw(st.integers(0, 10_000)))
    inputs = random.randint(0, 6, (count, 3)).astype(float)
    labels = (inputs[:, 0] + random.randint(0, 4, count)).astype(int) % classes
    labels[:classes] = np.arange(classes)
    return inputs, labels


def pruned_subtrees(tree, node=0):
    """Every way to prune below the node, each as the set of its leaves."""
    left, right = tree.children_left[node], tree.children_right[node]
    yield frozenset([node])
    if left >= 0:
        for one, other in itertools.product(pruned_subtrees(tree, left), pruned_subtrees(tree, right)):
            yield one | other


def leaves_left(tree, pruned, node=0, at=0):
    """The nodes of the tree that are leaves in its pruned form; both must split alike above them."""
    if pruned.children_left[at] < 0:
        return frozenset([node])
    assert (tree.feature[node], tree.threshold[node]) == (pruned.feature[at], pruned.threshold[at])
    sides = ((tree.children_left, pruned.children_left), (tree.children_right, pruned.children_right))
    return frozenset().union(*(leaves_left(tree, pruned, whole[node], small[at]) for whole, small in sides))


def walked(tree, leaves, inputs):
    """The node of ``leaves`` at which each example ends, found by walking from the root."""
    ends = []
    for row in np.asarray(inputs, np.float32):
        node = 0
        while node not in leaves:
            goes_left = row[tree.feature[node]] <= tree.threshold[node]
            node = tree.children_left[node] if goes_left else tree.children_right[node]
        ends.append(node)
    return np.array(ends)


def cheapest(tree, costs, alpha=0):
    """The pruned subtree with the least Σ cost + α over its leaves, the smallest of those."""
    return min(pruned_subtrees(tree), key=lambda leaves: (sum(costs[leaf] + alpha for leaf in leaves), len(leaves)))


def added_errors(n, e, cf):
    """C4.5's extra errors of a leaf of n examples, e of them wrong, after the published program."""
    levels = [0, 0.001, 0.005, 0.01, 0.05, 0.10, 0.20, 0.40, 1.00]
    deviations = [4.0, 3.09, 2.58, 2.33, 1.65, 1.28, 0.84, 0.25, 0.00]
    i = next(index for index, level in enumerate(levels) if cf <= level)
    slope = (deviations[i] - deviations[i - 1]) / (levels[i] - levels[i - 1])
    square = (deviations[i - 1] + slope * (cf - levels[i - 1])) ** 2
    if e < 1e-6:
        return n * (1 - math.exp(math.log(cf) / n))
    if e < 0.9999:
        none = n * (1 - math.exp(math.log(cf) / n))
        return none + e * (added_errors(n, 1.0, cf) - none)
    if e + 0.5 >= n:
        return 0.67 * (n - e)
    root = math.sqrt(square * ((e + 0.5) * (1 - (e + 0.5) / n) + square / 4))
    return n * (e + 0.5 + square / 2 + root) / (n + square) - e


def leaf_costs(method, tree, held_out):
    """What each node would cost as a leaf by a method whose tree is the cheapest, from the tree's counts alone."""
    n = tree.weighted_n_node_samples
    counts = tree.value[:, 0] * n[:, None]
    errors = (n - counts.max(axis=1)).round(9)
    match method:
        case "cost-complexity":
            return n * tree.impurity / n[0]
        case "error-based":
            return np.array([e + added_errors(total, e, 0.25) for e, total in zip(errors, n, strict=True)])
        case "minimum-error":
            likeliest = (counts + 2.0 * counts[0] / n[0]).max(axis=1) / (n + 2.0)
            return n * (1 - likeliest)
        case "reduced-error":
            inputs, labels = held_out
            reached = [walked(tree, {*_line(tree, node)}, inputs) == node for node in range(tree.node_count)]
            wrong = counts.argmax(axis=1)[:, None] != labels
            return np.array([(reached[node] & wrong[node]).sum() for node in range(tree.node_count)], float)
    raise AssertionError(f"no costs are known for {method}")


def _line(tree, node):
    """The node, and all that hang beside the way to it: leaves of a pruned tree that has the node as a leaf."""
    if node == 0:
        return [0]
    parent, siblings = next(
        (parent, [left, right])
        for parent, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True))
        if node in (left, right)
    )
    return [*(each for each in _line(tree, parent) if each != parent), *siblings]
