"""Fitted trees and forests as safetensors files: arrays and plain settings, nothing that could run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError
from prunus.files.atomic import write_atomically
from prunus.files.sealed import RawTensor, read_file, seal
from prunus.trees.grown import Grown
from prunus.trees.layout import DTYPES, FIELDS, KIND, VERSION, StoredTrees, read_trees

_CLASSES = {
    each.__name__: each
    for each in (
        DecisionTreeClassifier,
        DecisionTreeRegressor,
        ExtraTreeClassifier,
        ExtraTreeRegressor,
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
}
_FITTED = ("n_features_in_", "n_outputs_", "n_classes_", "max_features_", "classes_", "feature_names_in_")


def save(estimator: Any, path: Path | str) -> None:
    """Write a fitted tree or forest to a file, whole or not at all.

    Raises:
        ArgumentError: as for ``pack``.
        OSError: the file cannot be written.
    """
    write_atomically(Path(path), pack(estimator))


def load(path: Path | str) -> Any:
    """Read a fitted tree or forest from a file.

    Raises:
        FileFormatError, CorruptFileError: as for ``unpack``, or the file cannot be read.
    """
    return unpack(read_file(path))


def pack(estimator: Any) -> bytes:
    """The bytes of a fitted tree or forest; the same one gives the same bytes.

    Everything that prediction, inspection and further pruning need comes back bit for bit. What only concerns how it
    was fitted, such as which examples each tree of a forest drew, does not.

    Raises:
        ArgumentError: it is of another class or not fitted, or a parameter is no plain value.
    """
    grown = Grown.of(estimator)
    name, first = type(estimator).__name__, grown.trees[0]
    if _CLASSES.get(name) is not type(estimator):
        raise ArgumentError(f"a {name} cannot be stored: there are {', '.join(_CLASSES)}")
    said: dict[str, Any] = {"estimator": _stated(estimator)}
    if grown.is_forest:
        said["tree"] = _stated(first)
        said["seeds"] = [_plain("random_state", tree.random_state) for tree in grown.trees]
    nodes = np.concatenate([tree.tree_.__getstate__()["nodes"] for tree in grown.trees])
    tensors = {field: _raw(nodes[field], dtype) for field, dtype in FIELDS.items()}
    tensors["value"] = _raw(grown.values, "F64")
    tensors["nodes"] = _raw(np.diff(grown.bounds), "I64")
    return seal(KIND, VERSION, tensors, {"trees": json.dumps(said, sort_keys=True)})


def unpack(data: bytes) -> Any:
    """The fitted tree or forest that ``pack`` made the bytes of.

    Raises:
        FileFormatError: they are something else, or the installed scikit-learn does not know one of the parameters.
        CorruptFileError: a byte has changed, or the trees are none.
    """
    stored = read_trees(data)
    try:
        estimator = _made(stored.estimator)
        trees = [estimator]
        if stored.tree is not None:
            trees = [_made(stored.tree).set_params(random_state=seed) for seed in stored.seeds]
            estimator.estimator_, estimator.estimators_ = type(trees[0])(), trees
        _fill(trees, stored)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CorruptFileError(f"the trees cannot be rebuilt: {error}") from error
    return estimator


def _stated(estimator: Any) -> dict[str, Any]:
    """What makes the estimator, but for its trees, as plain values."""
    parameters = {name: _plain(name, value) for name, value in estimator.get_params(deep=False).items()}
    fitted = {name: _plain(name, getattr(estimator, name)) for name in _FITTED if hasattr(estimator, name)}
    return {"class": type(estimator).__name__, "parameters": parameters, "fitted": fitted}


def _made(said: Mapping[str, Any]) -> Any:
    kind = _CLASSES[said["class"]]
    try:
        estimator = kind(**{name: _value(value) for name, value in said["parameters"].items()})
    except TypeError as error:
        raise FileFormatError(f"the installed scikit-learn makes no such {said['class']}: {error}") from error
    for name in _FITTED:
        if name in said["fitted"]:
            setattr(estimator, name, _value(said["fitted"][name]))
    return estimator


def _plain(name: str, value: Any) -> Any:
    """A value as JSON can say it; arrays and tables as objects of one key."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return _plain(name, value.item())
        case np.ndarray() if value.dtype.kind in "biufUO":
            return {"array": [value.dtype.str, [_plain(name, each) for each in value.tolist()]]}
        case list() | tuple():
            return [_plain(name, each) for each in value]
        case dict():
            return {"table": [[_plain(name, key), _plain(name, each)] for key, each in value.items()]}
    raise ArgumentError(f"{name} is a {type(value).__name__}, which cannot be stored: give a plain value instead")


def _value(plain: Any) -> Any:
    match plain:
        case {"array": [str(dtype), list(values)]}:
            return np.array([_value(each) for each in values], np.dtype(dtype))
        case {"table": list(pairs)}:
            return {_value(key): _value(each) for key, each in pairs}
        case list():
            return [_value(each) for each in plain]
    return plain


def _raw(array: np.ndarray, dtype: str) -> RawTensor:
    return RawTensor(dtype, array.shape, np.ascontiguousarray(array, DTYPES[dtype]).tobytes())


def _fill(trees: list[Any], stored: StoredTrees) -> None:
    """Give every tree its nodes."""
    example = DecisionTreeRegressor().fit([[0.0]], [0.0]).tree_  # how this scikit-learn lays out nodes
    layout = example.__getstate__()["nodes"].dtype
    for tree, part in zip(trees, stored.parts, strict=True):
        if tree.n_features_in_ != stored.features:
            raise ValueError(f"a tree looks at {tree.n_features_in_} features of {stored.features}")
        nodes = np.zeros(part.stop - part.start, layout)
        for field in FIELDS:
            nodes[field] = stored.arrays[field][part]
        classes = np.atleast_1d(np.asarray(getattr(tree, "n_classes_", [1] * tree.n_outputs_), np.intp))
        made = type(example)(tree.n_features_in_, classes, tree.n_outputs_)
        depth = int(stored.nodes(part).depth.max())
        values = np.ascontiguousarray(stored.arrays["value"][part], np.float64)
        made.__setstate__({"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": values})
        tree.tree_ = made
