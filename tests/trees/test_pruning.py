from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
    export_graphviz,
    export_text,
)

from prunus.errors import ArgumentError, DataError, UnknownNameError
from prunus.trees import METHODS, prune
from prunus.trees.method import NodeMethod
from prunus.trees.methods.error_based import ErrorBased
from prunus.trees.pruning import count_nodes
from trees.oracles import labelled, leaves_left, walked

KINDS = [DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor]
FORESTS = [RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor]


@settings(max_examples=40)
@given(labelled(), st.sampled_from(KINDS), st.floats(0, 0.99), st.integers(0, 5))
def test_a_pruned_tree_predicts_what_the_node_above_says(data, kind, sparsity, seed):
    tree = kind(random_state=0).fit(*data)
    pruned = prune(tree, "random", sparsity=sparsity, seed=seed)
    assert type(pruned) is kind
    ends = walked(tree.tree_, leaves_left(tree.tree_, pruned.tree_), data[0])
    said = tree.tree_.value[ends, 0]
    if hasattr(tree, "classes_"):
        assert np.array_equal(pruned.predict_proba(data[0]), said)
        assert np.array_equal(pruned.predict(data[0]), tree.classes_[said.argmax(1)])
    else:
        assert np.array_equal(pruned.predict(data[0]), said[:, 0])
    assert pruned.get_n_leaves() == len(leaves_left(tree.tree_, pruned.tree_))
    assert pruned.get_depth() == pruned.tree_.compute_node_depths().max() - 1


@pytest.fixture
def tree(cancer):
    inputs, _, labels, _ = cancer
    return DecisionTreeClassifier(random_state=0).fit(inputs, labels)


def test_the_tree_that_is_pruned_stays_as_it_is(tree, cancer):
    before = pickle.dumps(tree)
    pruned = prune(tree, sparsity=0.6)
    pruned.fit(*cancer[0::2])
    assert pickle.dumps(tree) == before


def test_a_pruned_tree_does_all_that_a_tree_does(tree, cancer):
    inputs = cancer[0]
    pruned = prune(tree, sparsity=0.6)
    nodes = pruned.tree_.node_count
    assert nodes < tree.tree_.node_count
    assert pruned.apply(inputs).max() < nodes
    path = pruned.decision_path(inputs)
    assert path.shape == (len(inputs), nodes)
    assert set(np.flatnonzero(np.diff(path.tocsc().indptr))) == set(range(nodes))
    assert export_text(pruned).count("class:") == pruned.get_n_leaves()
    assert np.isclose(pruned.feature_importances_.sum(), 1)
    assert not hasattr(clone(pruned), "tree_")
    assert clone(pruned).get_params() == tree.get_params()
    for same in pickle.loads(pickle.dumps(pruned)), copy.deepcopy(pruned), copy.copy(pruned):
        assert np.array_equal(same.predict_proba(inputs), pruned.predict_proba(inputs))
        assert pickle.dumps(same.tree_) == pickle.dumps(pruned.tree_)


@pytest.mark.parametrize("kind", [*KINDS, *FORESTS])
def test_every_kind_pickles_without_prunus_clones_and_exports(kind, digits):
    inputs, others, labels, _ = digits
    size = {"n_estimators": 3} if kind in FORESTS else {}
    whole = kind(max_depth=6, random_state=0, **size).fit(inputs, labels)
    pruned = prune(whole, sparsity=0.5)
    stored = pickle.dumps(pruned)
    assert b"prunus" not in stored
    again = pickle.loads(stored)
    assert type(again) is kind
    assert np.array_equal(again.predict(others), pruned.predict(others))
    assert pruned.get_params() == whole.get_params()
    grown = clone(pruned).fit(inputs, labels)
    assert count_nodes(grown) == count_nodes(whole) > count_nodes(pruned)
    for tree in getattr(pruned, "estimators_", [pruned]):
        assert len(re.findall("class: |value: ", export_text(tree, max_depth=99))) == tree.get_n_leaves()
        assert export_graphviz(tree).count("[label=") >= tree.tree_.node_count


def test_feature_importances_are_those_of_the_splits_that_stay(tree):
    pruned = prune(tree, sparsity=0.6).tree_
    gains = np.zeros(pruned.n_features)
    risk = pruned.weighted_n_node_samples * pruned.impurity
    for node in np.flatnonzero(pruned.children_left >= 0):
        gains[pruned.feature[node]] += risk[node] - risk[pruned.children_left[node]] - risk[pruned.children_right[node]]
    assert np.allclose(pruned.compute_feature_importances(), gains / gains.sum())


def test_pruning_what_is_pruned_goes_on_from_there(tree):
    once = prune(tree, alpha=0.02)
    twice = prune(prune(tree, alpha=0.005), alpha=0.02)
    assert pickle.dumps(once.tree_) == pickle.dumps(twice.tree_)
    assert pickle.dumps(prune(once, alpha=0.02).tree_) == pickle.dumps(once.tree_)


def test_missing_values_go_the_way_they_went(cancer):
    inputs, others, labels, other_labels = (np.array(part) for part in cancer)
    inputs[::3, 20] = others[::2, 20] = np.nan
    tree = DecisionTreeClassifier(random_state=0).fit(inputs, labels)
    alpha = 0.004
    whole = DecisionTreeClassifier(random_state=0, ccp_alpha=alpha).fit(inputs, labels)
    assert tree.tree_.missing_go_to_left.any()
    assert np.array_equal(prune(tree, alpha=alpha).predict_proba(others), whole.predict_proba(others))
    pruned = prune(tree, "reduced-error", validation=(others, other_labels))
    assert pruned.score(others, other_labels) >= tree.score(others, other_labels)


def test_sparse_inputs_are_examples_like_dense_ones(digits):
    inputs, others, labels, other_labels = digits
    tree = DecisionTreeClassifier(random_state=0).fit(inputs, labels)
    forest = RandomForestClassifier(4, random_state=0).fit(inputs, labels)
    for estimator, method in ((tree, "reduced-error"), (forest, "complementarity")):
        dense = prune(estimator, method, validation=(others, other_labels))
        sparse = prune(estimator, method, validation=(csr_array(others), other_labels))
        assert np.array_equal(dense.predict_proba(others), sparse.predict_proba(others))


def test_labels_may_be_text_numbers_or_switches(cancer):
    inputs, others, labels, other_labels = cancer
    sizes = set()
    for kind in (lambda name: name, lambda name: (name == "benign") * 7, lambda name: name == "benign"):
        tree = DecisionTreeClassifier(random_state=0).fit(inputs, [kind(name) for name in labels])
        pruned = prune(tree, "reduced-error", validation=(others, [kind(name) for name in other_labels]))
        sizes.add(pruned.tree_.node_count)
    assert len(sizes) <= 2  # equal votes fall to another class when their order changes
    assert max(sizes) < tree.tree_.node_count


def test_a_class_that_was_never_seen_is_always_wrong(tree, cancer):
    _, others, _, other_labels = cancer
    strange = np.where(np.arange(len(others)) % 5 == 0, "unheard of", other_labels)
    known = strange != "unheard of"
    one, other = (
        prune(tree, "reduced-error", validation=held_out)
        for held_out in ((others, strange), (others[known], strange[known]))
    )
    assert one.score(others, strange) >= tree.score(others, strange)
    assert one.tree_.node_count >= other.tree_.node_count


def test_several_outputs_are_pruned_by_cost_complexity_and_refused_by_what_counts_errors(digits):
    inputs, others, labels, other_labels = digits
    both = np.stack([labels, labels % 2], axis=1)
    tree = DecisionTreeClassifier(random_state=0).fit(inputs, both)
    whole = DecisionTreeClassifier(random_state=0, ccp_alpha=0.01).fit(inputs, both)
    assert np.array_equal(prune(tree, alpha=0.01).predict(others), whole.predict(others))
    assert count_nodes(prune(tree, sparsity=0.5)) == count_nodes(tree) - 2 * round(count_nodes(tree) / 4)
    held_out = (others, np.stack([other_labels, other_labels % 2], axis=1))
    for method in "reduced-error", "error-based", "pessimistic-error", "minimum-error":
        with pytest.raises(ArgumentError, match="defined for one output, and the DecisionTreeClassifier has 2"):
            prune(tree, method, validation=held_out)


def test_reduced_error_prunes_a_regression_of_several_outputs(digits):
    inputs, others, labels, other_labels = digits
    tree = DecisionTreeRegressor(random_state=0).fit(inputs, np.stack([labels, -2 * labels], axis=1))
    held_out = (others, np.stack([other_labels, -2 * other_labels], axis=1))
    pruned = prune(tree, "reduced-error", validation=held_out)
    assert pruned.predict(others).shape == (len(others), 2)
    assert pruned.score(*held_out) > tree.score(*held_out)


@pytest.mark.parametrize("method", ["error-based", "pessimistic-error", "minimum-error"])
@pytest.mark.parametrize("kind", [DecisionTreeRegressor, RandomForestRegressor])
def test_a_regression_has_no_misclassified_examples(method, kind):
    fitted = kind().fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ArgumentError, match=f"which a {kind.__name__} has none of: use 'cost-complexity'"):
        prune(fitted, method, sparsity=0.5)


class Deepest(NodeMethod):
    def scores(self, subject):
        return -subject.grown.nodes.depth.astype(float)

    def threshold(self, subject, scores):
        return -3.0


def test_a_method_of_ones_own_is_a_class_or_an_instance(tree):
    assert prune(tree, Deepest()).get_depth() == prune(tree, Deepest).get_depth() == 3
    assert count_nodes(prune(tree, ErrorBased(confidence=0.05))) <= count_nodes(prune(tree, "error-based"))


def test_trees_never_need_torch_nor_their_tables_scikit_learn():
    code = (
        "import sys, prunus.trees; print('sklearn' in sys.modules); import prunus.trees.estimators, "
        "prunus.trees.evaluation; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_entry_says_what_it_is():
    for name, entry in METHODS.items():
        assert entry.summary.endswith("."), name
        assert entry.cost, name
        assert entry.source or name == "random", name
        assert entry.load()(), name
    assert next(iter(METHODS)) == "cost-complexity"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 50}, r"sparsity must lie in [0, 1), got 50"),
        ({"sparsity": True}, "sparsity must lie in"),
        ({"sparsity": 0.5, "alpha": 0.1}, "give one of them"),
        ({"alpha": -1}, "alpha must not be negative, got -1"),
        ({"risk": "errors"}, "risk must be 'impurity' or 'error', got 'errors'"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"standard_errors": -1.0}, "standard_errors must not be negative"),
        ({"method": "pessimistic-error", "standard_errors": -1.0}, "standard_errors must not be negative"),
        ({"method": "error-based", "confidence": 25}, "confidence must lie in (0, 1), got 25"),
        ({"method": "minimum-error", "m": -1}, "m must not be negative"),
        ({"method": "error-based", "confidense": 0.1}, "did you mean 'confidence'?"),
        ({"method": "error-base"}, "did you mean 'error-based'?"),
        ({"method": ErrorBased(), "confidence": 0.1}, "takes no more settings, got confidence"),
        ({"method": print}, "a method is a NodeMethod or an OrderMethod, got builtin_function_or_method"),
        ({"method": "random"}, "no choice of its own: give sparsity"),
        ({"method": "reduced-error"}, "give validation=(X, y)"),
    ],
)
def test_what_makes_no_sense_is_told(tree, arguments, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        prune(tree, **arguments)


@pytest.mark.parametrize(
    ("held_out", "error", "message"),
    [
        ("Xy", ArgumentError, "examples are given as (X, y) or (X, y, sample_weight)"),
        (([[1.0] * 30],), ArgumentError, "examples are given as"),
        (([[1.0] * 30], ["benign", "benign"]), ArgumentError, "as many examples, at least one; got 1, 2"),
        (([[1.0] * 30], ["benign"], [-1]), ArgumentError, "sample_weight must be finite, not negative"),
        (([[1.0] * 30], ["benign"], [0]), ArgumentError, "above 0 for at least one example"),
        (([[1.0] * 30], ["benign"], [1, 1]), ArgumentError, "weights of shape (2,)"),
        (([[1.0] * 30], [["benign", "benign"]]), ArgumentError, "y must have 1 outputs, as the estimator has, got 2"),
        (([[1.0] * 30], ["good"]), DataError, "no label of the validation examples is a class of the estimator"),
    ],
)
def test_examples_that_do_not_fit_are_told(tree, held_out, error, message):
    with pytest.raises(error, match=re.escape(message)):
        prune(tree, "reduced-error", validation=held_out)


def test_targets_of_a_regression_must_be_numbers_that_the_criterion_takes():
    tree = DecisionTreeRegressor(criterion="poisson").fit([[0.0], [1.0]], [1.0, 2.0])
    for targets, message in ((["a"], "must be numbers"), ([np.nan], "must be finite"), ([-1.0], "'poisson', got -1")):
        with pytest.raises(DataError, match=message):
            prune(tree, "reduced-error", validation=([[0.0]], targets))


def test_only_fitted_trees_and_forests_are_pruned():
    with pytest.raises(ArgumentError, match="got GradientBoostingClassifier"):
        prune(GradientBoostingClassifier())
    with pytest.raises(ArgumentError, match="the DecisionTreeClassifier is not fitted: call fit first"):
        prune(DecisionTreeClassifier())
    with pytest.raises(UnknownNameError):
        prune(DecisionTreeClassifier(), "no such")
