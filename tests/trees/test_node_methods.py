from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from prunus.trees import METHODS, prune
from prunus.trees.examples import Examples, NodeLosses
from prunus.trees.grown import Grown
from prunus.trees.methods.error_based import predicted_errors
from trees.oracles import added_errors, cheapest, labelled, leaves_left, pruned_subtrees, walked

NODE_METHODS = [name for name in METHODS if "forest" not in METHODS[name].needs]
OWN_CHOICE = ["reduced-error", "error-based", "pessimistic-error", "minimum-error"]


def grow(data, kind=DecisionTreeClassifier, leaves=8, **parameters):
    return kind(max_leaf_nodes=leaves, random_state=0, **parameters).fit(*data)


def counts_of(tree):
    return tree.value[:, 0] * tree.weighted_n_node_samples[:, None]


# --- cost-complexity: scikit-learn itself is the oracle


@pytest.mark.parametrize("risk", ["gini", "entropy"])
def test_cost_complexity_gives_scikit_learns_trees_byte_for_byte(digits, risk):
    inputs, _, labels, _ = digits
    tree = DecisionTreeClassifier(criterion=risk, random_state=0).fit(inputs, labels)
    alphas = tree.cost_complexity_pruning_path(inputs, labels).ccp_alphas
    apart = np.flatnonzero(np.diff(alphas) > 1e-9)  # those that only rounding keeps apart are one threshold to us
    for alpha in [*((alphas[apart] + alphas[apart + 1]) / 2)[::9], alphas[-1], 0.0, 2.0]:
        whole = DecisionTreeClassifier(criterion=risk, random_state=0, ccp_alpha=alpha).fit(inputs, labels).tree_
        ours = prune(tree, "cost-complexity", alpha=alpha).tree_
        assert ours.__getstate__()["nodes"].tobytes() == whole.__getstate__()["nodes"].tobytes()
        assert np.array_equal(ours.value, whole.value)
        assert ours.max_depth == whole.max_depth


@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error", "poisson"])
def test_cost_complexity_agrees_for_regression_with_several_outputs_and_weights(criterion):
    inputs, targets = (part[:150] for part in load_diabetes(return_X_y=True))
    targets = targets if criterion == "absolute_error" else np.stack([targets, targets[::-1]], axis=1)
    weights = np.random.RandomState(0).randint(1, 4, len(targets))
    parameters = {"criterion": criterion, "random_state": 0}
    tree = DecisionTreeRegressor(**parameters).fit(inputs, targets, weights)
    path = tree.cost_complexity_pruning_path(inputs, targets, weights)
    for alpha in (path.ccp_alphas[5] + path.ccp_alphas[6]) / 2, path.ccp_alphas[-3] * 1.01:
        whole = DecisionTreeRegressor(**parameters, ccp_alpha=alpha).fit(inputs, targets, weights)
        assert np.array_equal(prune(tree, alpha=alpha).predict(inputs), whole.predict(inputs))


@settings(max_examples=25)
@given(labelled(), st.floats(0, 0.2))
def test_cost_complexity_by_errors_is_breimans_smallest_minimiser(data, alpha):
    tree = grow(data)
    counts = counts_of(tree.tree_)
    risk = (counts.sum(1) - counts.max(1)) / counts[0].sum()
    found = leaves_left(tree.tree_, prune(tree, alpha=alpha, risk="error").tree_)
    best = cheapest(tree.tree_, risk, alpha)
    assert math.isclose(sum(risk[list(found)]) + alpha * len(found), sum(risk[list(best)]) + alpha * len(best))
    assert len(found) <= len(best)


# --- reduced-error


@settings(max_examples=25)
@given(labelled(), labelled())
def test_reduced_error_finds_the_smallest_of_the_most_accurate_subtrees(data, held_out):
    tree = grow(data)
    inputs, labels = held_out

    def judged(leaves):
        predicted = tree.classes_[tree.tree_.value[walked(tree.tree_, leaves, inputs), 0].argmax(1)]
        return (predicted != labels).sum(), len(leaves)

    pruned = prune(tree, "reduced-error", validation=held_out)
    assert leaves_left(tree.tree_, pruned.tree_) == min(pruned_subtrees(tree.tree_), key=judged)
    assert pruned.score(*held_out) >= tree.score(*held_out)


@settings(max_examples=20)
@given(labelled(), labelled(), st.sampled_from(["squared_error", "absolute_error", "poisson"]))
def test_reduced_error_minimises_the_criterions_loss_for_regression(data, held_out, criterion):
    from sklearn.metrics import mean_absolute_error, mean_poisson_deviance, mean_squared_error

    tree = grow(data, DecisionTreeRegressor, leaves=6, criterion=criterion)
    inputs, targets = held_out
    loss = {
        "squared_error": mean_squared_error,
        "absolute_error": mean_absolute_error,
        "poisson": mean_poisson_deviance,
    }[criterion]
    weights = np.arange(len(targets)) % 3 + 1.0

    def judged(leaves):
        return loss(targets, tree.tree_.value[walked(tree.tree_, leaves, inputs), 0, 0], sample_weight=weights)

    pruned = prune(tree, "reduced-error", validation=(inputs, targets, weights))
    grown = Grown.of(tree)
    losses = NodeLosses.of(grown, Examples.of(grown, (inputs, targets, weights)))
    assert math.isclose(losses.total[0] / weights.sum(), judged({0}), rel_tol=1e-9)
    best = min(map(judged, pruned_subtrees(tree.tree_)))
    assert math.isclose(judged(leaves_left(tree.tree_, pruned.tree_)), best, rel_tol=1e-9)


def test_nodes_that_no_validation_example_reaches_go():
    tree = DecisionTreeClassifier(random_state=0).fit([[0], [1], [2], [3]], [0, 1, 0, 1])
    assert prune(tree, "reduced-error", validation=([[0], [0]], [0, 0])).tree_.node_count == 1


# --- error-based: Quinlan's own numbers, then brute force


@pytest.mark.parametrize(
    ("errors", "count", "limit"),
    [(0, 6, 0.206), (0, 9, 0.143), (0, 1, 0.750), (1, 16, 0.157)],
)
def test_the_limits_are_those_of_the_book(errors, count, limit):
    # C4.5: Programs for Machine Learning: the votes data
    found = predicted_errors(np.array([float(count)]), np.array([float(errors)]), 0.25)
    assert found[0] / count == pytest.approx(limit, abs=5e-4)


def test_the_subtree_of_the_book_has_more_predicted_errors_than_its_leaf():
    subtree = predicted_errors(np.array([6.0, 9.0, 1.0]), np.zeros(3), 0.25).sum()
    leaf = predicted_errors(np.array([16.0]), np.ones(1), 0.25).sum()
    assert (subtree, leaf) == (pytest.approx(3.273, abs=0.01), pytest.approx(2.512, abs=0.01))


@given(st.floats(0.1, 60), st.floats(0, 1), st.floats(0.002, 0.98))
def test_predicted_errors_are_those_of_the_program(count, share, confidence):
    errors = count * share
    found = predicted_errors(np.array([count]), np.array([errors]), confidence)[0]
    assert found == pytest.approx(errors + added_errors(count, errors, confidence), rel=1e-9, abs=1e-5)


@settings(max_examples=25)
@given(labelled(), st.sampled_from([0.05, 0.25, 0.6]))
def test_error_based_minimises_the_predicted_errors(data, confidence):
    tree = grow(data)
    counts = counts_of(tree.tree_)
    totals, errors = counts.sum(1), (counts.sum(1) - counts.max(1)).round(9)
    costs = [e + added_errors(n, e, confidence) for e, n in zip(errors, totals, strict=True)]
    found = leaves_left(tree.tree_, prune(tree, "error-based", confidence=confidence).tree_)
    best = cheapest(tree.tree_, costs)
    assert math.isclose(sum(costs[leaf] for leaf in found), sum(costs[leaf] for leaf in best))
    assert len(found) <= len(best)


# --- pessimistic error


@settings(max_examples=30)
@given(labelled(most=80), st.sampled_from([0.0, 0.5, 1.0]))
def test_pessimistic_error_follows_quinlan_from_the_root_down(data, standard_errors):
    tree = grow(data, leaves=12)
    whole = tree.tree_
    counts = counts_of(whole)
    errors = (counts.sum(1) - counts.max(1)).round(9)

    def leaves_below(node):
        if whole.children_left[node] < 0:
            return [node]
        return leaves_below(whole.children_left[node]) + leaves_below(whole.children_right[node])

    def kept(node):
        below = leaves_below(node)
        subtree = sum(errors[leaf] + 0.5 for leaf in below)
        error = math.sqrt(subtree * (whole.n_node_samples[node] - subtree) / whole.n_node_samples[node])
        if len(below) == 1 or errors[node] + 0.5 <= subtree + standard_errors * error + 1e-12:
            return {node}
        return kept(whole.children_left[node]) | kept(whole.children_right[node])

    pruned = prune(tree, "pessimistic-error", standard_errors=standard_errors)
    assert leaves_left(whole, pruned.tree_) == kept(0)


def test_weights_below_one_example_leave_no_standard_error():
    tree = DecisionTreeClassifier(random_state=0).fit([[0], [1], [2]], [0, 1, 0], [0.1, 0.1, 0.1])
    assert prune(tree, "pessimistic-error").tree_.node_count == 1


# --- minimum error


def test_minimum_error_reproduces_the_published_example():
    # static error 0.375 at the node of classes [4, 2], backed up 5/6 × 0.429 + 1/6 × 0.333 = 0.413: it becomes a leaf
    inputs = [[0]] * 5 + [[1]]
    tree = DecisionTreeClassifier(random_state=0).fit(inputs, [0, 0, 0, 1, 1, 0])
    assert counts_of(tree.tree_).round(9).tolist() == [[4, 2], [3, 2], [1, 0]]
    assert prune(tree, "minimum-error", m=None).tree_.node_count == 1


@settings(max_examples=25)
@given(labelled(), st.sampled_from([None, 0.0, 0.5, 2.0, 10.0]))
def test_minimum_error_minimises_the_expected_errors(data, m):
    tree = grow(data)
    counts = counts_of(tree.tree_)
    classes, n = counts.shape[1], counts.sum(1)
    strength, priors = (classes, np.full(classes, 1 / classes)) if m is None else (m, counts[0] / n[0])
    rates = [
        min((n[node] - counts[node, c] + (1 - priors[c]) * strength) / (n[node] + strength) for c in range(classes))
        for node in range(len(n))
    ]
    found = leaves_left(tree.tree_, prune(tree, "minimum-error", m=m).tree_)
    best = cheapest(tree.tree_, n * rates)
    assert math.isclose(sum(n[list(found)] * np.array(rates)[list(found)]), sum((n * rates)[list(best)]), abs_tol=1e-9)
    assert len(found) <= len(best)


# --- all of them


@pytest.mark.parametrize("method", NODE_METHODS)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.77, 0.95])
def test_every_method_removes_the_exact_share_of_the_nodes(method, sparsity, cancer):
    inputs, others, labels, other_labels = cancer
    forest = RandomForestClassifier(3, random_state=0).fit(inputs, labels)
    for whole in forest, forest.estimators_[0]:
        held_out = (others, other_labels if whole is forest else (other_labels == "malignant").astype(float))
        pruned = prune(whole, method, sparsity=sparsity, validation=held_out)
        before, after = (
            sum(each.tree_.node_count for each in getattr(one, "estimators_", [one])) for one in (whole, pruned)
        )
        assert before - after == 2 * round(sparsity * before / 2)


@pytest.mark.parametrize("method", OWN_CHOICE)
def test_a_forests_trees_are_pruned_each_for_itself(method, cancer):
    inputs, others, labels, other_labels = cancer
    forest = RandomForestClassifier(4, random_state=0).fit(inputs, labels)
    pruned = prune(forest, method, validation=(others, other_labels))
    codes = np.searchsorted(forest.classes_, other_labels).astype(float)
    for tree, smaller in zip(forest.estimators_, pruned.estimators_, strict=True):
        alone = prune(tree, method, validation=(others, codes))
        assert alone.tree_.__getstate__()["nodes"].tobytes() == smaller.tree_.__getstate__()["nodes"].tobytes()


@settings(max_examples=25)
@given(labelled(most=30), st.sampled_from(OWN_CHOICE))
def test_weights_count_as_repetitions(data, method):
    inputs, labels = data
    weights = np.arange(len(labels)) % 3 + 1
    repeated = (inputs.repeat(weights, axis=0), labels.repeat(weights))
    weighted = DecisionTreeClassifier(random_state=0).fit(inputs, labels, weights)
    held_out = (inputs[::-1], np.roll(labels, 3))
    assert np.array_equal(
        prune(weighted, method, validation=(*held_out, weights)).predict(inputs),
        prune(
            DecisionTreeClassifier(random_state=0).fit(*repeated),
            method,
            validation=tuple(part.repeat(weights, axis=0) for part in held_out),
        ).predict(inputs),
    )


def test_random_is_drawn_from_its_seed_and_every_order_can_come():
    random = np.random.RandomState(0)
    tree = grow((random.rand(40, 3), random.randint(0, 3, 40)), leaves=7)
    found, again = (
        {leaves_left(tree.tree_, prune(tree, "random", sparsity=0.3, seed=seed).tree_) for seed in range(60)}
        for _ in range(2)
    )
    size = len(next(iter(found)))
    possible = {leaves for leaves in pruned_subtrees(tree.tree_) if len(leaves) == size}
    assert len(possible) > 2
    assert found == again == possible


@pytest.mark.parametrize("method", NODE_METHODS)
def test_a_tree_of_one_node_stays(method):
    stump = DecisionTreeClassifier().fit([[0], [1]], [1, 1])
    assert prune(stump, method, sparsity=0.9, validation=([[0]], [1])).tree_.node_count == 1
