"""Techniques that may be ranked against one another, because equal sparsity removes the same number of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunus.history.records import Pruning
from prunus.report.words import listed, plural

_WORDS = {
    "weight": "single weights",
    "row": "rows",
    "column": "columns",
    "kernel": "kernels",
    "channel": "channels",
    "head": "attention heads",
    "layer": "layers",
    "module": "modules",
    "node": "nodes",
    "tree": "trees",
}
_MOST_NAMES = 3


@dataclass(frozen=True)
class Kind:
    """What techniques have in common that are ranked together.

    Attributes:
        title: what they remove, and where it is not the most that others remove, from which parameters:
            ``"single weights of fc3 alone"``.
        total: of what pruning may remove.
        techniques: names.
    """

    title: str
    total: int
    techniques: tuple[str, ...]


@dataclass
class _Group:
    """Techniques with one pattern and one scope, while they are gathered."""

    pattern: str
    scope: tuple[str, ...]
    total: int
    techniques: list[str]


def kinds(techniques: Sequence[str], pruning_of: Callable[[str], Pruning | None]) -> list[Kind]:
    """The techniques by what they remove and from which parameters, the most first.

    Args:
        techniques: names of those that have a model.
        pruning_of: name → one pruning of the technique; None where none is recorded.
    """
    found: dict[tuple[str, tuple[str, ...]], _Group] = {}
    for name in techniques:
        pruning = pruning_of(name)
        pattern = pruning.pattern if pruning else "weight"
        tensors = pruning.tensors if pruning else {}
        group = _Group(pattern, tuple(sorted(tensors)), sum(one.total for one in tensors.values()), [])
        found.setdefault((group.pattern, group.scope), group).techniques.append(name)
    groups = sorted(found.values(), key=lambda group: -len(group.techniques))
    return [Kind(_title(group, groups), group.total, tuple(group.techniques)) for group in groups]


def _title(group: _Group, groups: Sequence[_Group]) -> str:
    kind, _, size = group.pattern.partition(":")
    if kind.isdigit():
        words = f"{kind} of {size} weights"
    elif kind == "block":
        words = f"blocks of {size.replace('x', '×')}"
    else:
        words = _WORDS.get(kind, group.pattern)
    if group.total == max(one.total for one in groups if one.pattern == group.pattern):
        return words
    names = [name.removesuffix(".weight") for name in group.scope]
    return f"{words} of {f'{listed(names)} alone' if len(names) <= _MOST_NAMES else plural(len(names), 'tensor')}"
