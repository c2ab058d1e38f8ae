"""The heads of attention layers, by the names and shapes that PyTorch and the model libraries give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from prunus.errors import ArgumentError
from prunus.masks.layouts import Layout, Part, Slices
from prunus.masks.owners import Owner

_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "nhead")
_OUTPUTS = re.compile(r"(^|[._])(out|output|o|c|to_out|dense|wo)(_?(proj|lin|linear|dense))?([._]0)?$|^proj$")


def attention_layouts(shapes: Mapping[str, torch.Size], owners: Mapping[str, Owner], heads: int) -> list[Layout]:
    """One layout for each attention module: its heads over all of its projections in scope.

    Args:
        shapes: parameter name → shape.
        owners: parameter name → where it lives.
        heads: how many heads there are; 0 where the modules say so.

    Raises:
        ArgumentError: a parameter lies in no attention module, or cannot be divided into so many whole heads.
    """
    found: dict[str, list[Part]] = {}
    for name, shape in shapes.items():
        place = _attention(name, owners[name], heads)
        found.setdefault(place.path, []).append(_part(name, shape, place, owners[name]))
    return [Slices(tuple(parts)) for parts in found.values()]


class _Place(NamedTuple):
    """The attention module of a parameter.

    Attributes:
        path: of the module that says how many heads there are.
        heads: how many.
        layer: of the parameter's module, relative to that module, or to the one above both where it lies beside it.
    """

    path: str
    heads: int
    layer: str


def _attention(name: str, owner: Owner, heads: int) -> _Place:
    """The innermost module around the parameter that says how many heads there are.

    BERT and its kin have the output projection beside that module, which has none itself, in one that holds both.
    """
    for path, module in reversed(owner.ancestors.items()):
        layer = owner.path[len(path) + 1 :] if path else owner.path
        if count := _count(module):
            return _Place(path, heads or count, layer)
        beside = [child for child, each in module.named_children() if _count(each) and not _has_output(each)]
        if len(beside) == 1 and _OUTPUTS.search(layer):
            count = _count(module.get_submodule(beside[0]))
            return _Place(f"{path}.{beside[0]}" if path else beside[0], heads or count, layer)
    if heads:
        path, _, layer = owner.path.rpartition(".")
        return _Place(path, heads, layer)
    raise ArgumentError(
        f"{name!r} lies in no module that has a number of heads ({', '.join(_COUNTS)}): exclude it, or include only "
        "the attention layers, or write the number, such as 'head:12'"
    )


def _count(module: nn.Module) -> int:
    """How many heads the module says it has; 0 where it says nothing."""
    counts = (getattr(module, key, None) for key in _COUNTS)
    return next((count for count in counts if isinstance(count, int) and count > 0), 0)


def _has_output(module: nn.Module) -> bool:
    """Whether an output projection lies in an attention module."""
    return any(_OUTPUTS.search(path) for path, _ in module.named_modules())


def _width(owner: Owner) -> int:
    """How many rows a head has in each projection, as the innermost module that knows it says; 1 where none does."""
    sizes = (getattr(module, "head_dim", None) for module in reversed(owner.ancestors.values()))
    return next((size for size in sizes if isinstance(size, int) and size > 0), 1)


def _part(name: str, shape: torch.Size, place: _Place, owner: Owner) -> Part:
    heads, rest, width = place.heads, shape[1:], _width(owner)
    if name.endswith(".weight") and _OUTPUTS.search(place.layer):
        _require(name, shape[1], heads, width)
        return Part(name, shape, (shape[0], heads, shape[1] // heads), (1, 0, 2))
    _require(name, shape[0], heads)
    fused = _fused(place.layer, shape[0], owner)
    _require(name, shape[0] // fused, heads, width)
    return Part(name, shape, (fused, heads, shape[0] // fused // heads, *rest), (1, 0, 2, *range(3, 3 + len(rest))))


def _fused(layer: str, rows: int, owner: Owner) -> int:
    """How many projections lie one below the other: 3 where query, key and value are one, or 1.

    Of a layer that is called as in GPT-NeoX, Bloom and Falcon, they lie head by head.
    """
    weights = [each for each in owner.module._parameters.values() if each is not None and each.dim() == 2]
    threefold = any(len(each) == rows == 3 * each.shape[1] for each in weights)
    return 3 if threefold and layer.rpartition(".")[2] != "query_key_value" else 1


def _require(name: str, size: int, heads: int, width: int = 1) -> None:
    if size % heads:
        raise ArgumentError(f"{name!r} has {size} rows or columns, which {heads} heads do not divide: exclude it")
    if size // heads % width:
        raise ArgumentError(
            f"{name!r} has {size} rows or columns, {size / width:g} heads of {width}, so {heads} would cut through "
            "them: where several heads share keys and values, write the number of these, and heads that share go "
            "together; or exclude it"
        )
