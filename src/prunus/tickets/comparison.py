"""Whether techniques agree on what stays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prunus.errors import SelectionError
from prunus.history.store import History
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets.overlap import Agreement, agreement

if TYPE_CHECKING:
    from prunus.masks.masks import Masks

SAME_MASKS = ("reinitialised", "reordered", "untrained", "signed")  # controls whose masks are those of their tickets
Found = Mapping[str, Mapping[int, "Masks"]]  # technique → seed → masks


@dataclass(frozen=True)
class Comparison:
    """Two techniques, or one with itself over seeds.

    Attributes:
        first, second: their names.
        jaccard: of the masks, over pairs with one seed; over pairs of seeds where it is one technique, and then without
            an interval, for pairs that share a seed are not independent.
        by_chance: mean of what chance would give these pairs.
        beyond_chance: fraction of the pairs that agree more than 97.5 % of random masks.
        layers: parameter name → (Jaccard similarity, what chance would give), means over the pairs.
    """

    first: str
    second: str
    jaccard: Interval
    by_chance: float
    beyond_chance: float
    layers: Mapping[str, tuple[float, float]]


def found_masks(history: History, experiment: str | None = None, sparsity: float | None = None) -> tuple[float, Found]:
    """The masks of every technique of an experiment at one sparsity.

    Args:
        history: of them.
        experiment: its id, or the beginning of it; the latest where None.
        sparsity: that was asked for; the highest that most techniques have where None.

    Returns:
        the sparsity, and the masks in the order of the recipe; controls are left out whose masks are those of
        their tickets.

    Raises:
        UnknownNameError, ArgumentError: there is no such experiment, or several.
        SelectionError: nothing has masks there.
    """
    from prunus.masks.storage import masks_from_bytes

    record = history.experiment(experiment)
    view = history.restricted_to(record.id)
    runs = {run.id: run for run in view.runs() if run.settings.get("ticket") not in SAME_MASKS}
    states = [
        (runs[each], state.record)
        for each in record.runs
        if each in runs
        for state in view.states(each)
        if state.record.masks and state.record.requested_sparsity in runs[each].sparsities
    ]
    asked = [record.requested_sparsity for _, record in states]
    at = sparsity if sparsity is not None else max(asked, key=lambda each: (asked.count(each), each), default=None)
    found: dict[str, dict[int, Masks]] = {}
    for run, state in states:
        if state.masks and state.requested_sparsity == at:
            found.setdefault(run.technique, {})[run.seed] = masks_from_bytes(view.blobs.get(state.masks))
    if at is None or not found:
        there = ", ".join(f"{each:g}" for each in sorted(set(asked))) or "none"
        raise SelectionError(f"the experiment {record.id} has no masks at sparsity {sparsity}: it has some at {there}")
    return at, found


def compare(found: Found) -> list[Comparison]:
    """Compare every technique with every other, and with itself over seeds.

    Of two techniques the masks of one seed are compared, which come of the same initialisation; of one, those of all
    pairs of seeds.

    Args:
        found: technique → seed → masks, over the same parameters.
    """
    names = list(found)
    pairs = [(first, second) for first, second in itertools.combinations_with_replacement(names, 2)]
    return [one for first, second in pairs if (one := _compared(first, second, found))]


def clustered(comparisons: Sequence[Comparison]) -> list[str]:
    """Names of the techniques so that those that agree stand beside one another.

    Average linkage over one minus the Jaccard similarity.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    names = list(dict.fromkeys(name for each in comparisons for name in (each.first, each.second)))
    if len(names) < 3:
        return names
    distances = np.zeros((len(names), len(names)))
    for each in comparisons:
        if each.first != each.second:
            row, column = names.index(each.first), names.index(each.second)
            distances[row, column] = distances[column, row] = 1 - each.jaccard.mean
    tree = linkage(squareform(distances), "average", optimal_ordering=True)
    return [names[index] for index in leaves_list(tree)]


def _compared(first: str, second: str, found: Found) -> Comparison | None:
    agreements = [agreement(one, other) for one, other in _pairs(found[first], found[second], first == second)]
    if not agreements:
        return None
    similar = [each.overall.jaccard for each in agreements]
    return Comparison(
        first,
        second,
        mean_interval(similar) if first != second else Interval(_mean(similar), None, None, len(similar), 0.95),
        _mean([each.by_chance.mean for each in agreements]),
        _mean([each.overall.jaccard > each.by_chance.high for each in agreements]),
        {name: _layer(name, agreements) for name in agreements[0].layers},
    )


def _pairs(first: Mapping[int, Masks], second: Mapping[int, Masks], itself: bool) -> Iterator[tuple[Masks, Masks]]:
    if itself:
        return itertools.combinations(first.values(), 2)
    return ((first[seed], second[seed]) for seed in sorted(first.keys() & second.keys()))


def _layer(name: str, agreements: Sequence[Agreement]) -> tuple[float, float]:
    similar = [each.layers[name].jaccard for each in agreements]
    return _mean(similar), _mean([each.layers_by_chance[name].mean for each in agreements])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
