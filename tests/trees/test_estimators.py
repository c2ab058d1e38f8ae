from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from prunus.errors import ArgumentError, DataError
from prunus.trees import PrunedTreeClassifier, PrunedTreeRegressor, prune

DRAWN = "which examples are held out is drawn by their number: one of weight 2 is not held out as two of weight 1 are"


def expected_failures(estimator):
    if estimator.method in ("error-based", "pessimistic-error", "minimum-error"):
        return {}
    return dict.fromkeys(
        ["check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"], DRAWN
    )


@parametrize_with_checks(
    [
        PrunedTreeClassifier(settings={"folds": 3}),
        PrunedTreeClassifier(method="error-based"),
        PrunedTreeClassifier(method="pessimistic-error"),
        PrunedTreeClassifier(method="minimum-error"),
        PrunedTreeRegressor(settings={"folds": 3}),
        PrunedTreeRegressor(method="reduced-error"),
        PrunedTreeRegressor(RandomForestRegressor(3), method="reduce-error-ordering"),
        PrunedTreeClassifier(RandomForestClassifier(3), method="complementarity"),
        PrunedTreeClassifier(RandomForestClassifier(3), method="margin-distance"),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_own_checks_pass(estimator, check):
    assert check(estimator) is None


@parametrize_with_checks(
    [
        prune(kind().fit([[0.0], [1.0], [2.0]], [0, 1, 0]), sparsity=0.5)
        for kind in (DecisionTreeClassifier, DecisionTreeRegressor)
    ]
)
def test_what_prune_returns_passes_the_checks_of_its_own_class(estimator, check):
    assert check(estimator) is None


def test_it_prunes_as_prune_does_what_it_has_grown(cancer):
    inputs, _, labels, _ = cancer
    model = PrunedTreeClassifier(DecisionTreeClassifier(random_state=1), method="error-based").fit(inputs, labels)
    tree = prune(DecisionTreeClassifier(random_state=1).fit(inputs, labels), "error-based")
    assert np.array_equal(model.predict_proba(inputs), tree.predict_proba(inputs))
    assert model.node_count_ == tree.tree_.node_count < model.unpruned_node_count_
    assert np.array_equal(model.feature_importances_, tree.feature_importances_)


def test_what_is_held_out_is_not_grown_from(cancer):
    inputs, _, labels, _ = cancer
    model = PrunedTreeClassifier(method="reduced-error", sparsity=0.0, random_state=0).fit(inputs, labels)
    counts = model.estimator_.tree_.n_node_samples[0]
    assert counts == len(labels) - sum(round(0.25 * (labels == label).sum()) for label in np.unique(labels))


def test_the_same_seed_gives_the_same_model_and_settings_reach_the_method(cancer):
    inputs, _, labels, _ = cancer
    for method, settings in (("cost-complexity", {"standard_errors": 1.0}), ("reduced-error", None)):
        one, other = (
            PrunedTreeClassifier(method=method, settings=settings, random_state=5).fit(inputs, labels) for _ in "12"
        )
        assert np.array_equal(one.predict_proba(inputs), other.predict_proba(inputs))
    generous, strict = (
        PrunedTreeClassifier(method="error-based", settings={"confidence": each}, random_state=0).fit(inputs, labels)
        for each in (0.9, 0.01)
    )
    assert strict.node_count_ < generous.node_count_


def test_it_lives_in_pipelines_and_searches(cancer):
    inputs, _, labels, _ = cancer
    pipeline = make_pipeline(StandardScaler(), PrunedTreeClassifier(random_state=0))
    assert cross_val_score(pipeline, inputs, labels, cv=3).mean() > 0.85
    search = GridSearchCV(
        PrunedTreeRegressor(DecisionTreeRegressor(random_state=0), sparsity=0.5), {"sparsity": [0.2, 0.8]}, cv=3
    ).fit(inputs, labels == "benign")
    assert search.best_estimator_.node_count_ < search.best_estimator_.unpruned_node_count_


def test_what_makes_no_sense_is_told(cancer):
    inputs, _, labels, _ = cancer
    with pytest.raises(ArgumentError, match=r"validation_fraction must lie in \(0, 1\), got 25"):
        PrunedTreeClassifier(method="reduced-error", validation_fraction=25).fit(inputs, labels)
    with pytest.raises(DataError, match="n_samples = 2 is too few to hold a fraction"):
        PrunedTreeClassifier(method="reduced-error").fit(inputs[:2], ["a", "b"])
    with pytest.raises(ArgumentError, match="did you mean 'standard_errors'"):
        PrunedTreeClassifier(settings={"standard_error": 1}).fit(inputs, labels)
