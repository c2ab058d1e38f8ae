"""How far masks of single weights agree with those of structured pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prunus.history.state import State
from prunus.masks.pattern_names import read_pattern
from prunus.tickets.comparison import Comparison, compare_two
from prunus.tickets.rounds import Round
from prunus.tickets.unit_structure import dimensions_of, in_groups

if TYPE_CHECKING:
    from torch import Tensor

    from prunus.masks.masks import Masks

FINE = ("weight", "keep-of")  # patterns that leave no whole groups


def beside_structured(found: Round, view: str = "row") -> list[Comparison]:
    """Compare every technique that prunes single weights with structured pruning, seed by seed.

    With ``by_norm`` of the same trained network, at the same number of weights in each layer, and with every technique
    of the experiment that prunes groups, at the same sparsity over all. A head that is new, for a ticket was found on a
    task of other classes, has not been trained there, and is left out of the former.

    Args:
        found: the techniques at one sparsity.
        view: ``"row"``, ``"column"`` or ``"kernel"``, for ``by_norm``.

    Returns:
        comparisons whose ``first`` prunes single weights, and whose ``second`` is called ``"rows by norm"`` (columns,
        kernels) or after its technique; without the former where what was pruned had not been trained.

    Raises:
        ArgumentError: there is no such view.
        HistoryError, CorruptFileError: masks or weights are missing, or a byte of them has changed.

    Source: the question is that of Paganini & Forde 2020 (arXiv:2001.05050), who find that unstructured pruning by
        magnitude, with rewinding, leaves structure that resembles that of structured pruning.
    """
    patterns = {
        technique: next(state.record.pruning.pattern for state in states.values() if state.record.pruning)
        for technique, states in found.states.items()
    }
    structured = [name for name, pattern in patterns.items() if read_pattern(pattern).kind not in FINE]
    masks, trained = found.masks, {}
    comparisons = []
    for technique in (name for name, pattern in patterns.items() if pattern == "weight"):
        of_norms = {}
        for seed, state in found.states[technique].items():
            origin = _trained(state)
            if origin is not None:
                if origin.id not in trained:
                    trained[origin.id] = _weights(origin)
                of_norms[seed] = by_norm(trained[origin.id], _alike(masks[technique][seed], trained[origin.id]), view)
        name = f"{view}s by norm"
        others = [(name, of_norms), *((each, masks[each]) for each in structured)]
        pairs = [compare_two(technique, each, {technique: masks[technique], each: its}) for each, its in others]
        comparisons += [pair for pair in pairs if pair]
    return comparisons


def by_norm(weights: Mapping[str, Tensor], masks: Masks, view: str = "row") -> Masks:
    """The masks of structured pruning by magnitude, with as many weights in each layer as these masks keep, to the
    nearest whole group, but at least one where any is kept.

    Args:
        weights: parameter name → weights that are pruned.
        masks: of these parameters.
        view: ``"row"``, ``"column"`` or ``"kernel"``; layers without such groups are left out.

    Returns:
        masks that keep the groups with the largest L1 norm, of equal ones the first.

    Raises:
        ArgumentError: there is no such view.

    Source: Li et al. 2017, "Pruning filters for efficient ConvNets" (arXiv:1608.08710), for the norm.
    """
    import torch

    from prunus.masks.masks import Masks

    dimensions = dimensions_of(view)
    first = tuple(range(len(dimensions)))
    found = {}
    for name, mask in in_groups(masks, dimensions).items():
        moved = weights[name].detach().abs().movedim(dimensions, first)
        norms = moved.flatten(len(first)).double().sum(-1)
        kept = int(mask.count_nonzero())
        count = max(round(kept * norms.numel() / mask.numel()), min(kept, 1))
        whole = torch.zeros(norms.numel(), dtype=torch.bool)
        whole[norms.flatten().argsort(descending=True, stable=True)[:count]] = True
        groups = whole.reshape(*norms.shape, *[1] * (mask.dim() - len(first)))
        found[name] = groups.expand(moved.shape).movedim(first, dimensions).contiguous()
    return Masks(found)


def _alike(masks: Masks, weights: Mapping[str, Tensor]) -> Masks:
    """The masks of what was trained in this shape."""
    from prunus.masks.masks import Masks

    return Masks({name: mask for name, mask in masks.items() if weights[name].shape == mask.shape})


def _trained(state: State) -> State | None:
    """The trained network that was pruned; None where it was pruned before training."""
    return next((each for each in reversed(state.lineage()) if each.record.kind == "trained"), None)


def _weights(state: State) -> Mapping[str, Tensor]:
    from prunus.packing.format import unpack

    return unpack(state.weights()).tensors
