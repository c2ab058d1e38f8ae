"""What the models of an experiment are made of, in the words of the page."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.history.records import ExperimentRecord
from prunus.trees.table import ESTIMATORS


@dataclass(frozen=True)
class Terms:
    """The words for one kind of model.

    Attributes:
        parts: what pruning removes.
        place: what the parts lie in.
        pairing: what two techniques share that have the same seed.
        counts: headings of the non-zero parameters, the effective parameters and the effective FLOPs.
        counted: what these count.
    """

    parts: str
    place: str
    pairing: str
    counts: tuple[str, str, str]
    counted: str


NETWORK = Terms(
    parts="weights",
    place="layer",
    pairing="both techniques start from the same initial weights and see the data in the same order, but for controls "
    "that change just that",
    counts=("non-zero", "effective parameters", "effective FLOPs"),
    counted="Effective parameters lie on a path from input to output, effective FLOPs have a weight that is not zero.",
)
TREES = Terms(
    parts="nodes",
    place="tree",
    pairing="both techniques prune the same trees and judge by the same examples",
    counts=("nodes", "reachable nodes", "comparisons"),
    counted="Comparisons are those that one example needs at most, in all trees together.",
)


def terms_of(experiment: ExperimentRecord) -> Terms:
    """The words for the model that the experiment's recipe names."""
    task = experiment.recipe.get("task")
    return TREES if isinstance(task, dict) and task.get("model") in ESTIMATORS else NETWORK
