"""The heads of attention layers, by the names and shapes that PyTorch and the model libraries give them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

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
        path, count = _attention(name, owners[name], heads)
        found.setdefault(path, []).append(_part(name, shape, path, count, owners[name]))
    return [Slices(tuple(parts)) for parts in found.values()]


def _attention(name: str, owner: Owner, heads: int) -> tuple[str, int]:
    """Path of the innermost module that says how many heads there are, and that number."""
    for path, module in reversed(owner.ancestors.items()):
        for key in _COUNTS:
            count = getattr(module, key, None)
            if isinstance(count, int) and count > 0:
                return path, heads or count
    if heads:
        return owner.path.rpartition(".")[0], heads
    raise ArgumentError(
        f"{name!r} lies in no module that has a number of heads ({', '.join(_COUNTS)}): exclude it, or include only "
        "the attention layers, or write the number, such as 'head:12'"
    )


def _width(owner: Owner) -> int:
    """How many rows a head has in each projection, as the innermost module that knows it says; 1 where none does."""
    sizes = (getattr(module, "head_dim", None) for module in reversed(owner.ancestors.values()))
    return next((size for size in sizes if isinstance(size, int) and size > 0), 1)


def _part(name: str, shape: torch.Size, path: str, heads: int, owner: Owner) -> Part:
    local = name[len(path) + 1 :] if path else name
    layer, _, attribute = local.rpartition(".")
    rest, width = shape[1:], _width(owner)
    if attribute == "weight" and _OUTPUTS.search(layer):
        _require(name, shape[1], heads, width)
        return Part(name, shape, (shape[0], heads, shape[1] // heads), (1, 0, 2))
    _require(name, shape[0], heads)
    fused = _fused(layer, shape[0], owner)
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
