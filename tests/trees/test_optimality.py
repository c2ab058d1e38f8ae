"""Methods against every pruned subtree of small trees."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from prunus.trees import METHODS, prune
from trees.oracles import labelled, leaf_costs, leaves_left, pruned_subtrees, walked

CHEAPEST = ["cost-complexity", "reduced-error", "error-based", "minimum-error"]  # the others are tested below


def least_costs(tree, costs):
    """Number of leaves → the least cost of a pruned subtree with so many."""
    least = {}
    for leaves in pruned_subtrees(tree):
        cost = sum(costs[leaf] for leaf in leaves)
        least[len(leaves)] = min(cost, least.get(len(leaves), math.inf))
    return least


def corners(least):
    """The numbers of leaves that a price for each leaf leads to: corners of the lower convex hull."""
    hull = []
    for size in sorted(least):
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], size, least):
            hull.pop()
        hull.append(size)
    return hull


def _turns_up(first, middle, last, least):
    before = (least[middle] - least[first]) / (middle - first)
    after = (least[last] - least[middle]) / (last - middle)
    return after < before + 1e-9


def test_every_node_method_has_its_oracle():
    of_nodes = {name for name in METHODS if "forest" not in METHODS[name].needs}
    assert of_nodes == {*CHEAPEST, "pessimistic-error", "random"}


@pytest.mark.parametrize("method", CHEAPEST)
@settings(max_examples=15)
@given(labelled(), labelled())
def test_at_the_sizes_that_a_price_leads_to_no_subtree_of_the_size_is_cheaper(method, data, held_out):
    whole = DecisionTreeClassifier(max_leaf_nodes=7, random_state=0).fit(*data)
    tree = whole.tree_
    codes = np.searchsorted(whole.classes_, held_out[1])
    costs = leaf_costs(method, tree, (held_out[0], codes))
    least = least_costs(tree, costs)
    for size in corners(least):
        sparsity = 2 * (tree.n_leaves - size) / tree.node_count
        pruned = prune(whole, method, sparsity=sparsity, validation=held_out)
        left = leaves_left(tree, pruned.tree_)
        assert len(left) == size
        assert math.isclose(sum(costs[leaf] for leaf in left), least[size], abs_tol=1e-9)


@pytest.mark.parametrize("method", CHEAPEST)
@settings(max_examples=10)
@given(labelled(), labelled())
def test_trees_of_a_forest_compete_for_the_nodes_that_stay(method, data, held_out):
    forest = RandomForestClassifier(2, max_leaf_nodes=4, random_state=0).fit(*data)
    first, second = (tree.tree_ for tree in forest.estimators_)
    codes = np.searchsorted(forest.classes_, held_out[1])
    least = [least_costs(tree, leaf_costs(method, tree, (held_out[0], codes))) for tree in (first, second)]
    together = {}
    for (one, cost), (other, more) in itertools.product(*(each.items() for each in least)):
        together[one + other] = min(cost + more, together.get(one + other, math.inf))
    nodes, leaves = first.node_count + second.node_count, first.n_leaves + second.n_leaves
    for size in corners(together):
        pruned = prune(forest, method, sparsity=2 * (leaves - size) / nodes, validation=held_out)
        found = [
            leaves_left(tree, small.tree_) for tree, small in zip((first, second), pruned.estimators_, strict=True)
        ]
        assert sum(map(len, found)) == size
        cost = sum(
            leaf_costs(method, tree, (held_out[0], codes))[[*left]].sum()
            for tree, left in zip((first, second), found, strict=True)
        )
        assert math.isclose(cost, together[size], abs_tol=1e-9)


@settings(max_examples=30)
@given(labelled(), st.sampled_from([0.0, 1.0, 2.0]))
def test_pessimistic_error_leaves_the_one_subtree_whose_nodes_all_fail_and_whose_new_leaves_all_pass(data, allowed):
    whole = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0).fit(*data)
    tree = whole.tree_
    errors = (tree.n_node_samples * (1 - tree.value[:, 0].max(axis=1))).round(9)
    grown = {node: frozenset(max(pruned_subtrees(tree, node), key=len)) for node in range(tree.node_count)}

    def passes(node):
        subtree, n = sum(errors[leaf] + 0.5 for leaf in grown[node]), tree.n_node_samples[node]
        return errors[node] + 0.5 <= subtree + allowed * math.sqrt(max(subtree * (n - subtree) / n, 0)) + 1e-12

    def above(leaves):
        return {node for node in range(tree.node_count) if not leaves & {node} and _beneath(tree, node) & leaves}

    fitting = [
        leaves
        for leaves in pruned_subtrees(tree)
        if not any(map(passes, above(leaves))) and all(passes(leaf) for leaf in leaves - grown[0])
    ]
    pruned = prune(whole, "pessimistic-error", standard_errors=allowed)
    assert fitting == [leaves_left(tree, pruned.tree_)]


def _beneath(tree, node):
    left, right = tree.children_left[node], tree.children_right[node]
    return {node} if left < 0 else {node} | _beneath(tree, left) | _beneath(tree, right)


@settings(max_examples=15)
@given(labelled(), labelled())
def test_cost_complexity_chooses_the_smallest_of_the_best_trees_of_its_path_on_held_out_examples(data, held_out):
    whole = DecisionTreeClassifier(max_leaf_nodes=7, random_state=0).fit(*data)
    tree = whole.tree_
    costs = leaf_costs("cost-complexity", tree, held_out)
    sizes = corners(least_costs(tree, costs))
    path = [prune(whole, sparsity=2 * (tree.n_leaves - size) / tree.node_count) for size in sizes]
    right = {each.get_n_leaves(): (each.predict(held_out[0]) == held_out[1]).sum() for each in path}
    best = min(size for size in right if right[size] == max(right.values()))
    assert prune(whole, validation=held_out).get_n_leaves() == best


@settings(max_examples=15)
@given(labelled(), st.floats(0, 0.5))
def test_cost_complexity_of_a_regression_is_the_smallest_of_the_cheapest(data, alpha):
    whole = DecisionTreeRegressor(max_leaf_nodes=7, random_state=0).fit(*data)
    tree = whole.tree_
    costs = tree.weighted_n_node_samples * tree.impurity / tree.weighted_n_node_samples[0] + alpha
    left = leaves_left(tree, prune(whole, alpha=alpha).tree_)
    least = min(sum(costs[leaf] for leaf in leaves) for leaves in pruned_subtrees(tree))
    assert math.isclose(sum(costs[leaf] for leaf in left), least, abs_tol=1e-9)
    ends = walked(tree, left, data[0])
    assert np.array_equal(prune(whole, alpha=alpha).predict(data[0]), tree.value[ends, 0, 0])
