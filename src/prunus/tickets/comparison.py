"""Whether techniques agree on what stays. Free of torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prunus.selection.statistics import Interval, mean, mean_interval
from prunus.tickets.overlap import Agreement, Arrays, Chance, agreement, as_arrays
from prunus.tickets.rounds import Found


@dataclass(frozen=True)
class Comparison:
    """Two techniques, or one with itself over seeds.

    Attributes:
        first, second: their names.
        jaccard: similarity of the masks, over pairs with one seed; over pairs of seeds where it is one technique, and
            then without an interval, for pairs that share a seed are not independent.
        by_chance: what random masks give, mean over the pairs.
        beyond_chance: fraction of the pairs that agree more than 97.5 % of random masks.
        hamming: fraction of the weights that one keeps and the other removes.
        hamming_by_chance: as above.
        layers: parameter name → (Jaccard similarity, what chance would give), means over the pairs.
    """

    first: str
    second: str
    jaccard: Interval
    by_chance: Chance
    beyond_chance: float
    hamming: Interval
    hamming_by_chance: Chance
    layers: Mapping[str, tuple[float, float]]

    @property
    def distance(self) -> float:
        """1 − Jaccard, over what it is by chance: 0 where the masks are the same, 1 where they are as alike as chance.

        Source: one minus the similarity that is corrected for chance, (index − expected) / (1 − expected), as Albatineh
            & Niewiadomska-Bugaj 2011 do it for the Jaccard similarity (doi:10.1007/s11634-011-0090-y), with the
            expectation of random masks.
        """
        by_chance = 1 - self.by_chance.mean
        return (1 - self.jaccard.mean) / by_chance if by_chance else 0.0


def compare(found: Found | Mapping[str, Mapping[int, Arrays]]) -> list[Comparison]:
    """Compare every technique with every other, and with itself over seeds.

    Of two techniques the masks of one seed are compared, which come of the same initialisation; of one, those of all
    pairs of seeds. What counts are the parameters that both masks cover.

    Args:
        found: technique → seed → masks, of networks of one architecture.
    """
    arrays = {name: {seed: as_arrays(masks) for seed, masks in of.items()} for name, of in found.items()}
    pairs = itertools.combinations_with_replacement(arrays, 2)
    return [one for first, second in pairs if (one := compare_two(first, second, arrays))]


def compare_two(first: str, second: str, found: Found | Mapping[str, Mapping[int, Arrays]]) -> Comparison | None:
    """Compare two techniques, or one with itself; None where they have no masks to compare.

    Args:
        first, second: their names.
        found: see ``compare``.
    """
    itself = first == second
    one, other = ({seed: as_arrays(masks) for seed, masks in found[name].items()} for name in (first, second))
    shared = (_where_both(*pair) for pair in _pairs(one, other, itself))
    agreements = [agreement(*pair) for pair in shared if pair[0]]
    if not agreements:
        return None
    similar = [each.overall.jaccard for each in agreements]
    return Comparison(
        first,
        second,
        _interval(similar, itself),
        _chance([each.by_chance for each in agreements]),
        mean([each.overall.jaccard > each.by_chance.high for each in agreements]),
        _interval([each.overall.hamming for each in agreements], itself),
        _chance([each.hamming_by_chance for each in agreements]),
        {name: _layer(name, agreements) for name in agreements[0].layers},
    )


def _pairs(first: Mapping[int, Arrays], second: Mapping[int, Arrays], itself: bool) -> Iterator[tuple[Arrays, Arrays]]:
    if itself:
        return itertools.combinations(first.values(), 2)
    return ((first[seed], second[seed]) for seed in sorted(first.keys() & second.keys()))


def _where_both(first: Arrays, second: Arrays) -> tuple[Arrays, Arrays]:
    """Both, over the parameters that both cover."""
    names = [name for name in first if name in second]
    return {name: first[name] for name in names}, {name: second[name] for name in names}


def _interval(values: Sequence[float], itself: bool) -> Interval:
    found = mean_interval(values)
    return Interval(found.mean, None, None, found.count, found.confidence) if itself else found


def _chance(several: Sequence[Chance]) -> Chance:
    return Chance(*(mean([getattr(each, key) for each in several]) for key in ("mean", "low", "high")))


def _layer(name: str, agreements: Sequence[Agreement]) -> tuple[float, float]:
    similar = [each.layers[name].jaccard for each in agreements]
    return mean(similar), mean([each.layers_by_chance[name].mean for each in agreements])
