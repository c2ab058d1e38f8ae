"""How trees lie in a file, and whether what lies there are trees; free of scikit-learn."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunus.errors import CorruptFileError
from prunus.files.sealed import RawTensor, unseal
from prunus.trees.nodes import Nodes

KIND, VERSION = "trees", 1
# Field of a node in scikit-learn → type on disk.
FIELDS = {
    "left_child": "I32",
    "right_child": "I32",
    "feature": "I32",
    "threshold": "F64",
    "impurity": "F64",
    "n_node_samples": "I64",
    "weighted_n_node_samples": "F64",
    "missing_go_to_left": "U8",
}
DTYPES: dict[str, np.dtype[Any]] = {
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "U8": np.dtype("u1"),
}


@dataclass(frozen=True, eq=False)
class StoredTrees:
    """What a file holds.

    Attributes:
        estimator: class, parameters and fitted attributes of the tree or forest, as plain values.
        tree: the same of each tree of a forest, but for its seed; None for a single tree.
        seeds: of the trees of a forest.
        parts: the nodes of each tree, as places in the arrays.
        arrays: field of a node, or ``"value"`` → its values for all nodes.
        version: of the layout.
        size_bytes: of the file.
    """

    estimator: dict[str, Any]
    tree: dict[str, Any] | None
    seeds: list[Any]
    parts: list[slice]
    arrays: dict[str, np.ndarray]
    version: int
    size_bytes: int

    @property
    def features(self) -> int:
        """How many features the trees look at."""
        return self.estimator["fitted"]["n_features_in_"]

    def nodes(self, part: slice) -> Nodes:
        """How the nodes of one tree hang together."""
        return Nodes.of(self.arrays["left_child"][part], self.arrays["right_child"][part])


def read_trees(data: bytes) -> StoredTrees:
    """The trees in the bytes of a file, after checking all that compiled code will trust.

    Raises:
        FileFormatError: they are something else, or were written by a later version.
        CorruptFileError: a byte has changed, or the trees are none.
    """
    sealed = unseal(data, KIND, VERSION)
    arrays = _arrays(sealed.tensors)
    try:
        said = json.loads(sealed.metadata["trees"])
        seeds = said["seeds"] if "tree" in said else [None]
        parts = _parts(arrays, len(seeds))
        found = StoredTrees(said["estimator"], said.get("tree"), seeds, parts, arrays, sealed.version, len(data))
        if type(found.features) is not int:
            raise ValueError(f"the number of features is {found.features!r}")
        for part in parts:
            _check({field: arrays[field][part] for field in FIELDS}, found.features)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CorruptFileError(f"the trees cannot be rebuilt: {error}") from error
    return found


def _arrays(tensors: Mapping[str, RawTensor]) -> dict[str, np.ndarray]:
    wanted = {**FIELDS, "value": "F64", "nodes": "I64"}
    if {name: raw.dtype for name, raw in tensors.items()} != wanted:
        raise CorruptFileError(f"the file must hold the tensors {', '.join(wanted)}, each of its own type")
    return {name: np.frombuffer(raw.data, DTYPES[raw.dtype]).reshape(raw.shape) for name, raw in tensors.items()}


def _parts(arrays: Mapping[str, np.ndarray], trees: int) -> list[slice]:
    """The places of each tree's nodes.

    Raises:
        ValueError: there are other nodes than those of so many trees.
    """
    counts = arrays["nodes"]
    if counts.shape != (trees,) or (counts < 1).any():
        raise ValueError(f"there are {trees} trees, and nodes for {len(counts)}")
    bounds = np.cumsum([0, *counts])
    if any(arrays[field].shape != (bounds[-1],) for field in FIELDS) or arrays["value"].shape[:1] != (bounds[-1],):
        raise ValueError("the arrays differ in length")
    return [slice(start, end) for start, end in itertools.pairwise(bounds.tolist())]


def _check(nodes: Mapping[str, np.ndarray], features: int) -> None:
    """Refuse nodes that lead nowhere, or round in a circle.

    Raises:
        ValueError: as said.
    """
    left, right = nodes["left_child"], nodes["right_child"]
    inner = left != -1
    own, children = np.flatnonzero(inner), np.concatenate([left[inner], right[inner]])
    if (
        ((right != -1) != inner).any()
        or (left[inner] <= own).any()
        or (right[inner] <= own).any()
        or not np.array_equal(np.sort(children), np.arange(1, len(left)))
    ):
        raise ValueError("the nodes do not form a tree")
    if (nodes["feature"][inner] < 0).any() or (nodes["feature"][inner] >= features).any():
        raise ValueError(f"a node looks at a feature that is none of the {features}")
