"""Where the batches of an epoch come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Protocol

import torch
from torch import Tensor

from prunus.errors import ArgumentError

Batch = tuple[Tensor, Tensor]


class Batches(Protocol):
    """A training set that is cut into batches, in an order that a seed decides."""

    def __len__(self) -> int:
        """Batches of one epoch."""

    def epoch(self, number: int, seed: int, first: int = 0) -> Iterator[Batch]:
        """(inputs, targets) of epoch ``number`` (from 0) in the order of ``seed``, from batch ``first`` on."""


class TensorBatches:
    """Batches cut from tensors by index, without a call of Python for each example.

    Args:
        inputs: (N, …).
        targets: (N, …).
        size: examples of a batch; the last one of an epoch may be smaller. A single example that is left over joins
            the batch before it, for batch normalisation has no statistics of one.
        augment: (inputs of a batch, generator) → inputs to train on.

    Raises:
        ArgumentError: there are no examples, or not as many inputs as targets.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        size: int,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ) -> None:
        if len(inputs) != len(targets) or not len(inputs):
            raise ArgumentError(f"expected as many inputs as targets, got {len(inputs)} and {len(targets)}")
        if size < 1:
            raise ArgumentError(f"batch_size must be at least 1, got {size}")
        self._inputs, self._targets, self._size, self._augment = inputs, targets, size, augment

    def __len__(self) -> int:
        full, rest = divmod(len(self._inputs), self._size)
        return full + (rest > 1 or not full)

    def epoch(self, number: int, seed: int, first: int = 0) -> Iterator[Batch]:
        """The epoch's batches; the same number and seed give the same batches, whatever was drawn before."""
        generator = torch.Generator().manual_seed(epoch_seed(seed, number))
        order = torch.randperm(len(self._inputs), generator=generator)
        for index in range(first, len(self)):
            end = (index + 1) * self._size if index + 1 < len(self) else len(order)
            chosen = order[index * self._size : end]
            inputs = self._inputs.index_select(0, chosen)  # a third of the time of an index in brackets
            if self._augment is not None:
                inputs = self._augment(inputs, torch.Generator().manual_seed(epoch_seed(seed, number, index)))
            yield inputs, self._targets.index_select(0, chosen)


class LoaderBatches:
    """Batches of a ``torch.utils.data.DataLoader``, whose own generator is seeded anew for every epoch."""

    def __init__(self, loader: Iterable[Batch]) -> None:
        try:
            length = len(loader) if isinstance(loader, Sized) else 0
        except TypeError:  # a DataLoader has a length only if its data set has one
            length = 0
        if not length:
            raise ArgumentError("the loader must know its number of batches, and have at least one")
        self._loader = loader
        self._length = length

    def __len__(self) -> int:
        return self._length

    def epoch(self, number: int, seed: int, first: int = 0) -> Iterator[Batch]:
        """The epoch's batches; those before ``first`` are loaded and dropped."""
        generator = getattr(self._loader, "generator", None)
        if generator is not None:
            generator.manual_seed(epoch_seed(seed, number))
        for index, batch in enumerate(self._loader):
            if index >= first:
                yield batch


def epoch_seed(seed: int, epoch: int, batch: int = -1) -> int:
    """A seed for one epoch, or one batch of it; distinct for distinct arguments in practice."""
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + (batch + 1) * 0x94D049BB133111EB) % 2**64
    mixed ^= mixed >> 31
    return (mixed * 0xD6E8FEB86659FD93 % 2**64) >> 1
