"""What a task is: examples in three splits, a way to build a fresh model, a loss."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunus.errors import ArgumentError, DataError
from prunus.lookup import require_name
from prunus.training.losses import cross_entropy


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with their targets, whole in memory, in a fixed order.

    Attributes:
        inputs: (N, …), what the model is given.
        targets: int64, (N,) for one class per example or (N, T) for one per token.
        groups: int64 (N,), an index of the group that each example belongs to, or None.

    Raises:
        DataError: there are no examples, the lengths differ, or targets or groups are of another type or shape.
    """

    inputs: Tensor
    targets: Tensor
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        if self.targets.dtype != torch.int64 or self.targets.dim() not in (1, 2):
            raise DataError(
                "targets must be int64 of shape (N,) or (N, T), "
                f"got {self.targets.dtype} of shape {tuple(self.targets.shape)}"
            )
        if self.inputs.dim() == 0 or len(self.inputs) != len(self.targets):
            raise DataError(
                f"inputs of shape {tuple(self.inputs.shape)} and targets of shape {tuple(self.targets.shape)} "
                "must have the same first dimension: one entry per example"
            )
        if len(self.inputs) == 0:
            raise DataError("there are no examples: a split needs at least one")
        if self.groups is not None and (
            self.groups.dtype != torch.int64 or self.groups.shape != self.targets.shape[:1]
        ):
            raise DataError(
                f"groups must be int64 of shape ({len(self.targets)},), one per example, "
                f"got {self.groups.dtype} of shape {tuple(self.groups.shape)}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def renumbered(self, numbers: Tensor) -> Examples:
        """The examples whose class has a number, with that number as their target.

        Args:
            numbers: int64 (classes,), class → its new number, negative for one that is left out.
        """
        targets = numbers[self.targets]
        kept = targets >= 0
        groups = None if self.groups is None else self.groups[kept]
        return Examples(self.inputs[kept], targets[kept], groups)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets in order, ``size`` examples at a time, the last batch perhaps smaller; views, not copies.

        Raises:
            ArgumentError: ``size`` is not at least 1.
        """
        if size < 1:
            raise ArgumentError(f"a batch holds at least 1 example, got size {size}")
        return (
            (self.inputs[start : start + size], self.targets[start : start + size])
            for start in range(0, len(self), size)
        )


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in its three splits: training is learnt from, validation chosen by, test reported.

    Attributes:
        name: how the data set is called.
        train: the training split.
        validation: the validation split.
        test: the test split.
        class_names: one name per class, in the order of the targets' values; empty only for token targets.
        group_names: one name per group, in the order of the groups' values; empty where there are no groups.

    Raises:
        DataError: a class does not occur in every split, a target or group has no name, or the splits' examples
            differ in shape or type.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    group_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for split, examples in self.splits().items():
            self._check_alike(split, examples)
            self._check_classes(split, examples.targets)
            self._check_groups(split, examples.groups)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example's input."""
        return tuple(self.train.inputs.shape[1:])

    def splits(self) -> dict[str, Examples]:
        """The splits by name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @functools.cached_property
    def digest(self) -> str:
        """Of the examples of all splits, so that data that change behind a name are noticed."""
        hasher = hashlib.sha256()
        for split, examples in self.splits().items():
            for part in (examples.inputs, examples.targets, examples.groups):
                if part is not None:
                    hasher.update(f"{split}{part.dtype}{tuple(part.shape)}".encode())
                    hasher.update(part.contiguous().view(-1).view(torch.uint8).numpy().data)
        return hasher.hexdigest()[:16]

    def of_classes(self, names: Sequence[str]) -> Data:
        """The examples of these classes alone, in their order; the targets are numbered as the names are listed.

        Args:
            names: of at least two classes, each once.

        Raises:
            UnknownNameError: there is no such class.
            ArgumentError: there are fewer than two names, or one stands twice.
            DataError: the targets are one per token.
        """
        if len(set(names)) < max(2, len(names)):
            told = ", ".join(map(repr, names)) or "none"
            raise ArgumentError(f"a task needs two classes or more, each once, got {told}")
        if self.train.targets.dim() != 1:
            raise DataError(f"{self.name!r} has a target for every token: classes are of data with one per example")
        for name in names:
            require_name("class", name, dict.fromkeys(self.class_names))
        numbers = torch.full((len(self.class_names),), -1)
        numbers[[self.class_names.index(name) for name in names]] = torch.arange(len(names))
        train, validation, test = (examples.renumbered(numbers) for examples in self.splits().values())
        return Data(
            f"{self.name} ({', '.join(names)})", train, validation, test, tuple(names), group_names=self.group_names
        )

    def _check_alike(self, split: str, examples: Examples) -> None:
        ours, theirs = self.train.inputs, examples.inputs
        if theirs.shape[1:] != ours.shape[1:] or theirs.dtype != ours.dtype:
            raise DataError(
                f"the inputs of the {split} split of {self.name!r} are {theirs.dtype} {tuple(theirs.shape[1:])}, "
                f"those of the train split {ours.dtype} {tuple(ours.shape[1:])}: they must be alike"
            )

    def _check_classes(self, split: str, targets: Tensor) -> None:
        if not self.class_names:
            if targets.dim() == 1:
                raise DataError(f"{self.name!r} has no class names: only token targets of shape (N, T) may do without")
            return
        self._check_range(split, "target", targets, len(self.class_names))
        present = torch.bincount(targets.flatten(), minlength=len(self.class_names)) > 0
        if not present.all():
            missing = self.class_names[int(present.logical_not().nonzero()[0])]
            raise DataError(
                f"class {missing!r} is missing from the {split} split of {self.name!r}: every class must occur "
                "in every split, or its accuracy cannot be told; split by class, or leave the class out"
            )

    def _check_groups(self, split: str, groups: Tensor | None) -> None:
        if (groups is None) != (not self.group_names):
            raise DataError(
                f"the {split} split of {self.name!r} has {'no' if groups is None else 'its'} groups, "
                f"but there are {len(self.group_names)} group names: give both or neither"
            )
        if groups is not None:
            self._check_range(split, "group", groups, len(self.group_names))

    def _check_range(self, split: str, kind: str, values: Tensor, count: int) -> None:
        lowest, highest = int(values.min()), int(values.max())
        if lowest < 0 or highest >= count:
            wrong = lowest if lowest < 0 else highest
            raise DataError(
                f"the {split} split of {self.name!r} has the {kind} {wrong}, "
                f"but with {count} names it must lie in 0 … {count - 1}"
            )


@dataclass(frozen=True, eq=False)
class Task:
    """A model to train on data.

    Attributes:
        name: how the task is called.
        data: the examples.
        build: makes a fresh model; its initialisation comes from torch's global random state.
        loss: (model's output, targets) → float scalar to be minimised.
        augment: (batch of training inputs, generator) → batch of the same shape, or None; the generator alone
            decides what it does.
    """

    name: str
    data: Data
    build: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
