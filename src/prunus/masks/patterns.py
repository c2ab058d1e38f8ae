"""Patterns: which weights stand or fall together.

A pattern divides a tensor into groups. ``totals`` sums a tensor over each group, ``spread`` writes each group's
verdict back over its weights; everything else (ranking, counting, protection) is the same for every pattern.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from prunus.errors import TargetError
from prunus.masks.pattern_names import read_pattern


class Pattern(ABC):
    """How a tensor is divided into groups."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As it is written in a recipe."""

    @abstractmethod
    def totals(self, values: Tensor) -> Tensor:
        """Sum of ``values`` over each group: one element a group, in order of position."""

    @abstractmethod
    def spread(self, verdicts: Tensor, shape: torch.Size) -> Tensor:
        """One element a group → the tensor of ``shape`` in which every weight has its group's element."""

    def sizes(self, shape: torch.Size) -> Tensor | None:
        """Number of weights of each group, int64; None where it is one each."""
        if isinstance(self, Weight):
            return None
        return self.totals(torch.ones(shape)).round().long()


@dataclass(frozen=True)
class Weight(Pattern):
    """Every weight for itself."""

    @property
    def name(self) -> str:
        """As it is written in a recipe."""
        return "weight"

    def totals(self, values: Tensor) -> Tensor:
        """The values themselves, flat."""
        return values.reshape(-1)

    def spread(self, verdicts: Tensor, shape: torch.Size) -> Tensor:
        """The verdicts themselves, in shape."""
        return verdicts.reshape(shape)


@dataclass(frozen=True)
class Row(Pattern):
    """All weights that share the first index: a row of a linear layer, a filter of a convolution.

    These are the weights of one output; of a transposed convolution, whose first index is the input, of one input.
    """

    @property
    def name(self) -> str:
        """As it is written in a recipe."""
        return "row"

    def totals(self, values: Tensor) -> Tensor:
        """Sum over each row."""
        return _matrix(values).sum(1)

    def spread(self, verdicts: Tensor, shape: torch.Size) -> Tensor:
        """Each verdict over its row."""
        return verdicts.reshape(-1, 1).expand(-1, math.prod(shape[1:])).reshape(shape)


@dataclass(frozen=True)
class Block(Pattern):
    """Blocks of ``rows`` × ``columns`` of the matrix (outputs, everything else); those at the edges may be smaller."""

    rows: int
    columns: int

    @property
    def name(self) -> str:
        """As it is written in a recipe."""
        return f"block:{self.rows}x{self.columns}"

    def totals(self, values: Tensor) -> Tensor:
        """Sum over each block, row of blocks by row of blocks."""
        matrix = _matrix(values)
        down, across = self._blocks(values.shape)
        padded = pad(matrix, (0, across * self.columns - matrix.shape[1], 0, down * self.rows - matrix.shape[0]))
        return padded.reshape(down, self.rows, across, self.columns).sum((1, 3)).reshape(-1)

    def spread(self, verdicts: Tensor, shape: torch.Size) -> Tensor:
        """Each verdict over its block."""
        down, across = self._blocks(shape)
        matrix = verdicts.reshape(down, across).repeat_interleave(self.rows, 0).repeat_interleave(self.columns, 1)
        return matrix[: math.prod(shape[:1]), : math.prod(shape[1:])].reshape(shape)

    def _blocks(self, shape: torch.Size) -> tuple[int, int]:
        return -(-math.prod(shape[:1]) // self.rows), -(-math.prod(shape[1:]) // self.columns)


@dataclass(frozen=True)
class KeepOf:
    """``keep`` of every ``of`` neighbouring inputs stay (N:M sparsity); this fixes the sparsity at 1 − N/M.

    It is no division into groups that stand or fall together, so it selects by itself.
    """

    keep: int
    of: int

    @property
    def name(self) -> str:
        """As it is written in a recipe."""
        return f"{self.keep}:{self.of}"

    @property
    def sparsity(self) -> float:
        """The only sparsity that this pattern can have."""
        return 1 - self.keep / self.of

    def select(self, name: str, scores: Tensor) -> Tensor:
        """The mask that keeps the best ``keep`` of every ``of`` in each row; of equal scores the first stays.

        Raises:
            TargetError: the number of inputs is not a multiple of ``of``.
        """
        inputs = math.prod(scores.shape[1:])
        if inputs % self.of:
            raise TargetError(
                f"{name!r} has {inputs} inputs, not a multiple of {self.of}: the pattern {self.name} does not fit; "
                "exclude it"
            )
        order = scores.reshape(-1, self.of).argsort(dim=1, descending=True, stable=True)
        kept = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, : self.keep], True)
        return kept.reshape(scores.shape)


def _matrix(values: Tensor) -> Tensor:
    """(outputs, everything else); a single number is a matrix too."""
    return values.reshape(math.prod(values.shape[:1]), -1)


def parse_pattern(text: str) -> Pattern | KeepOf:
    """The pattern that is written so; see ``read_pattern``.

    Raises:
        ArgumentError: no pattern is.
    """
    name = read_pattern(text)
    match name.kind:
        case "weight":
            return Weight()
        case "row":
            return Row()
        case "block":
            return Block(name.first, name.second)
        case _:
            return KeepOf(name.first, name.second)
