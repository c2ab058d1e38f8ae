"""Patterns: which weights stand or fall together."""

from __future__ import annotations

import fnmatch
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prunus.errors import ArgumentError, TargetError
from prunus.masks.heads import attention_layouts
from prunus.masks.layouts import Layout, Part, Singles, Slices, Tiles
from prunus.masks.owners import Owner, owners_of
from prunus.masks.pattern_names import read_pattern

Shapes = Mapping[str, torch.Size]


class Pattern(ABC):
    """How parameters are divided into groups."""

    empties_layers = False  # whether a group may be all there is of a layer, so that no layer can be protected

    @abstractmethod
    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """Layouts that cover every parameter once, in the order of the parameters.

        Args:
            shapes: parameter name → shape.
            model: whose parameters they are; patterns that ask what a parameter does need it.

        Raises:
            ArgumentError: the pattern needs a model, or a parameter has no such groups.
        """


@dataclass(frozen=True)
class Weight(Pattern):
    """Every weight for itself."""

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each."""
        return [Singles(name, shape) for name, shape in shapes.items()]


@dataclass(frozen=True)
class Block(Pattern):
    """Blocks of ``rows`` × ``columns`` of the matrix (outputs, everything else); those at the edges may be smaller."""

    rows: int
    columns: int

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each."""
        return [Tiles(name, shape, self.rows, self.columns) for name, shape in shapes.items()]


@dataclass(frozen=True)
class Row(Pattern):
    """All weights that share the first index: a row of a linear layer, a filter of a convolution."""

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each."""
        return [_slices(name, shape, 1) for name, shape in shapes.items()]


@dataclass(frozen=True)
class Column(Pattern):
    """All weights that share the second index: those that read one input. A vector is a single column."""

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each."""
        return [Slices((self._part(name, shape),)) for name, shape in shapes.items()]

    def _part(self, name: str, shape: torch.Size) -> Part:
        view = (*shape, *[1] * (2 - len(shape)))
        return Part(name, shape, view, (1, 0, *range(2, len(view))))


@dataclass(frozen=True)
class Kernel(Pattern):
    """All weights that share the first two indices: the kernel from one input channel to one output channel."""

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each."""
        return [_slices(name, shape, 2) for name, shape in shapes.items()]


@dataclass(frozen=True)
class Channel(Pattern):
    """All weights of one output of a layer: a neuron, a filter, of a recurrent layer a hidden unit with its gates."""

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each; without a model, the first index is taken for the output."""
        owners = {} if model is None else owners_of(model)
        return [Slices((_outputs(name, shape, owners.get(name)),)) for name, shape in shapes.items()]


@dataclass(frozen=True)
class Head(Pattern):
    """All weights of one head of an attention layer: its rows of the query, key and value, its columns of the output.

    Attributes:
        heads: how many there are; 0 where the module that holds the projections says so.
    """

    heads: int = 0

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One for each attention module."""
        if model is None:
            raise ArgumentError("the pattern 'head' asks the model for its attention layers: give the model")
        return attention_layouts(shapes, owners_of(model), self.heads)


@dataclass(frozen=True)
class Layer(Pattern):
    """All weights of one parameter."""

    empties_layers = True

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One each, of one group."""
        return [Slices((_whole(name, shape),)) for name, shape in shapes.items()]


@dataclass(frozen=True)
class Module(Pattern):
    """All weights in scope that lie in one module, such as a block of a residual network.

    Attributes:
        names: what the module's name must match; of modules inside one another the outermost counts.
    """

    names: str
    empties_layers = True

    def layouts(self, shapes: Shapes, model: nn.Module | None = None) -> list[Layout]:
        """One for each module, of one group."""
        if model is None:
            raise ArgumentError(f"the pattern 'module:{self.names}' asks the model for its modules: give the model")
        owners = owners_of(model)
        found: dict[str, list[str]] = {}
        for name in shapes:
            paths = [path for path in owners[name].ancestors if path and fnmatch.fnmatchcase(path, self.names)]
            if not paths:
                raise ArgumentError(f"{name!r} lies in no module that matches {self.names!r}: exclude it")
            found.setdefault(paths[0], []).append(name)
        return [Slices(tuple(_whole(name, shapes[name]) for name in names)) for names in found.values()]


@dataclass(frozen=True)
class KeepOf:
    """``keep`` of every ``of`` neighbouring inputs stay (N:M sparsity); this fixes the sparsity at 1 − N/M.

    Neighbours are along the second dimension, the inputs that are summed up: of a convolution, the input channels at
    one place of the kernel, which is the order in which sparse tensor cores read them. Of a transposed convolution,
    whose first dimension they are, the inputs are taken just so where its model is known. It is no division into groups
    that stand or fall together, so it selects by itself.
    """

    keep: int
    of: int
    sparsity: float = field(init=False, default=0.0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsity", 1 - self.keep / self.of)

    @property
    def name(self) -> str:
        """As it is written in a recipe."""
        return f"{self.keep}:{self.of}"

    def select(self, name: str, scores: Tensor, owner: Owner | None = None) -> Tensor:
        """The mask that keeps the best ``keep`` of every ``of``; of equal scores the first stays.

        Args:
            name: of the parameter.
            scores: of its weights, in their shape.
            owner: where it lives; without it, the second dimension is taken for the inputs.

        Raises:
            TargetError: the number of inputs is not a multiple of ``of``.
        """
        if owner is not None and isinstance(owner.module, nn.modules.conv._ConvTransposeNd) and scores.dim() > 1:
            by_group = scores.unflatten(0, (owner.module.groups, -1)).transpose(1, 2)
            kept = self.select(name, by_group.flatten(0, 1)).unflatten(0, by_group.shape[:2])
            return kept.transpose(1, 2).flatten(0, 1).contiguous()
        inputs = scores.shape[1] if scores.dim() > 1 else scores.numel()
        if inputs % self.of:
            raise TargetError(
                f"{name!r} has {inputs} inputs, not a multiple of {self.of}: the pattern {self.name} does not fit; "
                "exclude it"
            )
        last = scores.movedim(1, -1) if scores.dim() > 1 else scores
        groups = last.reshape(-1, self.of)
        # A weight stays if fewer than ``keep`` of its group beat it: M² comparisons take less time than sorting.
        kept = torch.zeros_like(groups, dtype=torch.bool)
        for place in range(self.of):
            mine = groups[:, place : place + 1]
            beaten = (groups[:, :place] >= mine).sum(1) + (groups[:, place + 1 :] > mine).sum(1)
            kept[:, place] = beaten < self.keep
        kept = kept.reshape(last.shape)
        return kept.movedim(-1, 1).contiguous() if scores.dim() > 1 else kept


_PLAIN: dict[str, Pattern] = {
    "weight": Weight(),
    "row": Row(),
    "column": Column(),
    "kernel": Kernel(),
    "channel": Channel(),
    "layer": Layer(),
}


def parse_pattern(text: str) -> Pattern | KeepOf:
    """The pattern that is written so; see ``read_pattern``.

    Raises:
        ArgumentError: no pattern is.
    """
    name = read_pattern(text)
    match name.kind:
        case "block":
            return Block(name.first, name.second)
        case "keep-of":
            return KeepOf(name.first, name.second)
        case "head":
            return Head(name.first)
        case "module":
            return Module(name.names)
        case kind:
            return _PLAIN[kind]


def _slices(name: str, shape: torch.Size, leading: int) -> Slices:
    view = (*shape, *[1] * (leading + 1 - len(shape)))
    return Slices((Part(name, shape, view, tuple(range(len(view))), leading),))


def _whole(name: str, shape: torch.Size) -> Part:
    return Part(name, shape, (1, math.prod(shape)), (0, 1))


def _outputs(name: str, shape: torch.Size, owner: Owner | None) -> Part:
    """The outputs of a layer, of whatever kind."""
    module = None if owner is None else owner.module
    if isinstance(module, nn.modules.conv._ConvTransposeNd) and len(shape) > 1:
        view = (module.groups, shape[0] // module.groups, *shape[1:])
        return Part(name, shape, view, (0, 2, 1, *range(3, len(view))), 2)
    if isinstance(module, nn.RNNBase | nn.RNNCellBase) and owner is not None and "weight_hr" not in owner.attribute:
        view = (shape[0] // module.hidden_size, module.hidden_size, *shape[1:])
        return Part(name, shape, view, (1, 0, *range(2, len(view))))
    view = (*shape, *[1] * (2 - len(shape)))
    return Part(name, shape, view, tuple(range(len(view))))
