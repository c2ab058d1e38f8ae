"""Growing and pruning the trees of a run."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunus.errors import DataError, TrainingError
from prunus.experiments.tree_settings import TreeTechniqueSettings
from prunus.experiments.tree_work import TreeWork
from prunus.history.records import Pruning, TensorCount
from prunus.history.state import State
from prunus.history.store import History
from prunus.outcomes import SplitOutcome
from prunus.tasks.load import load_data
from prunus.tasks.task import Data, Examples
from prunus.trees.evaluation import evaluate
from prunus.trees.grown import Grown
from prunus.trees.method import OrderMethod, resolve_method
from prunus.trees.pruning import prune
from prunus.trees.splitting import split
from prunus.trees.storage import unpack
from prunus.trees.table import ESTIMATORS, METHODS


@dataclass(frozen=True)
class MadeTrees:
    """A state that has been made and is to be recorded.

    Attributes:
        estimator: fitted.
        parent: the state it was pruned from; None where it was grown.
        pruning: the step that made it.
        training_loss: on the examples it was grown from.
    """

    estimator: Any
    parent: State | None = None
    pruning: Pruning | None = None
    training_loss: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Grove:
    """The data of one run, and what is grown and pruned there.

    Attributes:
        work: the run.
        data: its data set.
    """

    work: TreeWork
    data: Data

    @classmethod
    def of(cls, work: TreeWork) -> Grove:
        """The grove in which the work is done.

        Raises:
            DataError: the data are missing, malformed, or have more than one target for each example.
        """
        data = load_data(work.task["data"])
        if data.train.targets.dim() != 1:
            raise DataError(f"trees need one class for each example, and {data.name!r} has one for each token")
        return cls(work, data)

    @property
    def data_digest(self) -> str:
        """Digest of the examples of all splits."""
        hasher = hashlib.sha256()
        for split_name, examples in self.data.splits().items():
            for array in _arrays(examples):
                hasher.update(f"{split_name}{array.dtype}{array.shape}".encode())
                hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()[:16]

    def make(self, position: int, history: History) -> MadeTrees:
        """The state at that position of the run; a technique starts from the trees that are recorded.

        Raises:
            PrunusError: it cannot be made.
        """
        technique = self.work.technique
        return self._grown() if technique is None else self._pruned(technique, position, history)

    def outcome(self, estimator: Any, examples: Examples) -> SplitOutcome:
        """How it fares on one split."""
        inputs, targets, *groups = _arrays(examples)
        group = groups[0] if groups else None
        return evaluate(estimator, inputs, targets, self.data.class_names, group, self.data.group_names)

    def _grown(self) -> MadeTrees:
        inputs, targets = self._parts()[0]
        model = self.work.task["model"]
        try:
            estimator = (
                ESTIMATORS[model]
                .load()(**self.work.training.parameters, random_state=self.work.growing_seed())
                .fit(inputs, targets)
            )
        except (ValueError, TypeError) as error:
            raise TrainingError(f"scikit-learn cannot grow a {model}: {error}") from error
        loss = evaluate(estimator, inputs, targets, self.data.class_names).loss
        return MadeTrees(estimator, training_loss=(loss,))

    def _pruned(self, technique: TreeTechniqueSettings, position: int, history: History) -> MadeTrees:
        parent = history.state(self.work.dense.state_id(0))
        whole, (training, held_out) = unpack(parent.weights()), self._parts()
        needs = METHODS[technique.method].needs if technique.method in METHODS else ("validation",)
        settings = self._settings(technique)
        target = self.work.sparsities[position] if self.work.sparsities else None
        estimator = prune(
            whole,
            technique.method,
            sparsity=target,
            validation=held_out if "validation" in needs and len(held_out[1]) else None,
            training=training,
            **settings,
        )
        tensors = _counts(whole, estimator)
        removes_trees = isinstance(resolve_method(technique.method, settings), OrderMethod)
        pruning = Pruning(
            criterion=technique.method,
            pattern="tree" if removes_trees else "node",
            scope="global",
            schedule="own choice" if target is None else "one-shot",
            position=position + 1,
            of=self.work.states_planned,
            requested_sparsity=target or 0.0,
            sparsity=1 - sum(each.kept for each in tensors.values()) / sum(each.total for each in tensors.values()),
            tensors=tensors,
            protected=(),
            seed=self.work.pruning_seed(),
        )
        return MadeTrees(estimator, parent, pruning)

    def _settings(self, technique: TreeTechniqueSettings) -> dict[str, Any]:
        """The method's settings, with a seed where it draws."""
        known = inspect.signature(type(resolve_method(technique.method, technique.settings))).parameters
        return ({"seed": self.work.pruning_seed()} if "seed" in known else {}) | technique.settings

    def _parts(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Inputs and targets to grow from, and those held out for pruning."""
        inputs, targets = _arrays(self.data.train)[:2]
        held_out, fraction = np.zeros(len(targets), np.bool_), self.work.training.pruning_fraction
        if fraction:
            held_out = split(targets, ~held_out, fraction, np.random.RandomState(self.work.splitting_seed()))
        return (inputs[~held_out], targets[~held_out]), (inputs[held_out], targets[held_out])


def _arrays(examples: Examples) -> list[np.ndarray]:
    """Inputs (N, features), targets (N,), and groups (N,) where there are some."""
    parts = (examples.inputs.flatten(1), examples.targets, examples.groups)
    return [part.numpy() for part in parts if part is not None]


def _counts(whole: Any, pruned: Any) -> dict[str, TensorCount]:
    """How many nodes each tree has kept; none where it was removed."""
    before, after = Grown.of(whole), Grown.of(pruned)
    if not before.is_forest:
        return {"tree": TensorCount((len(before.nodes),), len(after.nodes), len(before.nodes))}
    kept = [tree.tree_.node_count for tree in after.trees]
    if len(kept) < len(before.trees):
        stays = {id(tree) for tree in after.trees}  # whole trees are not copied
        kept = [tree.tree_.node_count if id(tree) in stays else 0 for tree in before.trees]
    totals = [tree.tree_.node_count for tree in before.trees]
    return {
        f"tree {index}": TensorCount((total,), count, total)
        for index, (total, count) in enumerate(zip(totals, kept, strict=True))
    }
