"""What is in a file of trees, without scikit-learn and without running anything from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunus.errors import CorruptFileError
from prunus.files.sealed import read_file
from prunus.trees.layout import StoredTrees, read_trees


@dataclass(frozen=True)
class TreeInspection:
    """One tree of a file.

    Attributes:
        nodes: how many it has, leaves included.
        leaves: how many of them are leaves.
        depth: comparisons on the longest way from the root to a leaf.
    """

    nodes: int
    leaves: int
    depth: int


@dataclass(frozen=True)
class Inspection:
    """A file of a decision tree or a forest.

    Attributes:
        estimator: the class in scikit-learn.
        trees: in their order.
        nodes, leaves: of all trees.
        depth: of the deepest.
        features: how many there are.
        feature_names: their names; empty where they have none.
        outputs: how many there are.
        classes: those of each output; empty for a regression.
        version: of the format.
        size_bytes: of the whole file.
    """

    estimator: str
    trees: tuple[TreeInspection, ...]
    nodes: int
    leaves: int
    depth: int
    features: int
    feature_names: tuple[str, ...]
    outputs: int
    classes: tuple[tuple[Any, ...], ...]
    version: int
    size_bytes: int


def inspect(path: Path | str) -> Inspection:
    """Describe a file that ``prunus.trees.save`` wrote.

    Raises:
        FileFormatError: no such file, or another kind of file.
        CorruptFileError: a byte has changed, or the trees are none.
    """
    stored = read_trees(read_file(path))
    trees = tuple(_tree(stored, part) for part in stored.parts)
    try:
        fitted: Mapping[str, Any] = stored.estimator["fitted"]
        return Inspection(
            estimator=str(stored.estimator["class"]),
            trees=trees,
            nodes=sum(tree.nodes for tree in trees),
            leaves=sum(tree.leaves for tree in trees),
            depth=max(tree.depth for tree in trees),
            features=stored.features,
            feature_names=_values(fitted["feature_names_in_"]) if "feature_names_in_" in fitted else (),
            outputs=int(fitted["n_outputs_"]),
            classes=_classes(fitted.get("classes_")),
            version=stored.version,
            size_bytes=stored.size_bytes,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"the file does not say what its trees are: {error}") from error


def _tree(stored: StoredTrees, part: slice) -> TreeInspection:
    nodes = stored.nodes(part)
    return TreeInspection(len(nodes), int(np.count_nonzero(~nodes.inner)), int(nodes.depth.max()))


def _classes(stored: Any) -> tuple[tuple[Any, ...], ...]:
    """The classes of each output: one array, or a list of them."""
    if stored is None:
        return ()
    return tuple(map(_values, stored)) if isinstance(stored, list) else (_values(stored),)


def _values(stored: Mapping[str, Any]) -> tuple[Any, ...]:
    """The elements of an array as ``prunus.trees.storage`` writes it: its type, then its elements."""
    _, elements = stored["array"]
    return tuple(elements)
