"""The tables of methods to prune trees, and of what to grow. A new method is one file and one line here."""

from __future__ import annotations

from prunus.lookup import Entry, Table

_METHODS = "prunus.trees.methods"
_BREIMAN = "Breiman et al. 1984, Classification and Regression Trees, sections 3.2 to 3.4"
_QUINLAN = "Quinlan 1987, Simplifying decision trees"
_SUAREZ = "Martínez-Muñoz & Suárez 2004, Aggregation ordering in bagging"

ESTIMATORS = Table(
    "tree model",
    {
        "decision-tree": Entry("sklearn.tree:DecisionTreeClassifier", "One tree, each split the best of all."),
        "extra-tree": Entry("sklearn.tree:ExtraTreeClassifier", "One tree, each split the best of a few drawn ones."),
        "random-forest": Entry(
            "sklearn.ensemble:RandomForestClassifier",
            "Trees grown from examples drawn with replacement, each split the best of some features.",
            source="Breiman 2001, Random forests",
        ),
        "extra-trees": Entry(
            "sklearn.ensemble:ExtraTreesClassifier",
            "A forest of trees whose splits are the best of a few drawn ones.",
            source="Geurts et al. 2006, Extremely randomized trees",
        ),
    },
)

METHODS = Table(
    "tree pruning method",
    {
        "cost-complexity": Entry(
            f"{_METHODS}.cost_complexity:CostComplexity",
            "Trees of least risk plus α for each leaf; α is given or chosen by examples not learnt from.",
            source=_BREIMAN,
            cost="O(n log² n) for n nodes; with cross-validation, growing one more tree for each fold",
        ),
        "reduced-error": Entry(
            f"{_METHODS}.reduced_error:ReducedError",
            "A node becomes a leaf where the error on validation examples does not rise.",
            needs=("validation",),
            source=f"{_QUINLAN}, reduced error pruning",
            cost="one pass over the validation examples",
        ),
        "error-based": Entry(
            f"{_METHODS}.error_based:ErrorBased",
            "A node becomes a leaf where the upper confidence limit of its errors does not rise (C4.5).",
            source="Quinlan 1993, C4.5: Programs for Machine Learning, error-based pruning",
            cost="O(n log² n) for n nodes",
        ),
        "pessimistic-error": Entry(
            f"{_METHODS}.pessimistic_error:PessimisticError",
            "A node becomes a leaf where its errors, corrected for continuity, are within one standard error (PEP).",
            source=f"{_QUINLAN}, pessimistic pruning",
            cost="O(n) for n nodes",
        ),
        "minimum-error": Entry(
            f"{_METHODS}.minimum_error:MinimumError",
            "A node becomes a leaf where its error rate, expected by an m-estimate, does not rise (MEP).",
            source="Cestnik & Bratko 1991, EWSL-91; Niblett & Bratko 1986",
            cost="O(n log² n) for n nodes",
        ),
        "random": Entry(
            f"{_METHODS}.random:Random",
            "Pairs of leaves go in a random order: the control that every method has to beat.",
            cost="O(n) for n nodes",
        ),
        "reduce-error-ordering": Entry(
            f"{_METHODS}.reduce_error_ordering:ReduceErrorOrdering",
            "Keeps the trees with which a forest, built up greedily, errs least on validation examples.",
            needs=("validation", "forest"),
            source=f"{_SUAREZ}; Margineantu & Dietterich 1997",
            cost="one pass over the validation examples, then O(T² N) for T trees and N examples",
        ),
        "complementarity": Entry(
            f"{_METHODS}.complementarity:Complementarity",
            "Keeps the trees that are right on the validation examples on which those before them are wrong.",
            needs=("validation", "forest"),
            source=_SUAREZ,
            cost="one pass over the validation examples, then O(T² N) for T trees and N examples",
        ),
        "margin-distance": Entry(
            f"{_METHODS}.margin_distance:MarginDistance",
            "Keeps the trees that bring the forest's margins on validation examples nearest to a small goal.",
            needs=("validation", "forest"),
            source=f"{_SUAREZ}; Martínez-Muñoz et al. 2009, IEEE PAMI 31(2)",
            cost="one pass over the validation examples, then O(T² N) for T trees and N examples",
        ),
    },
    group="prunus.tree_methods",
)
