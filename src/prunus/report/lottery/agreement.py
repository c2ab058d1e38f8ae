"""How far techniques agree on what stays, as a heat map."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prunus.report.evidence import Evidence
from prunus.report.heat_map import Cell, Head, HeatMap, legend
from prunus.report.lottery.masks import RecordedMasks
from prunus.report.palette import heat_name
from prunus.report.words import UNKNOWN, half_width, percent, plural, signed
from prunus.tickets.comparison import Comparison, compare
from prunus.tickets.groups import clustered
from prunus.tickets.overlap import Arrays

MOST = 16  # techniques, of which each is compared with each
MOST_WEIGHTS = 200_000_000  # of all masks together, which take a byte each
MOST_DRAWS = 10_000  # of what chance gives a layer of two masks: some seconds
LIMITS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # shares of the way from chance to the same masks


@dataclass(frozen=True)
class AgreementMap:
    """The heat map of techniques and techniques.

    Attributes:
        map: of the similarities, those that agree beside one another.
        left_out: techniques for which there is no room.
        others: techniques whose masks cover other parameters.
    """

    map: HeatMap
    left_out: int
    others: int


def agreement_map(masks: RecordedMasks, evidence: Evidence) -> AgreementMap | None:
    """The Jaccard similarities beside what chance would give; None where there are no two masks to compare."""
    order = [*(evidence.highlighted if evidence.is_crowded else evidence.techniques), *evidence.by_merit]
    names = [name for name in dict.fromkeys(order) if name in masks.digests]
    found, left_out = _read(names, masks)
    alike = _alike(found)
    comparisons = compare(alike)
    if not comparisons:
        return None
    return AgreementMap(_map(comparisons, evidence), left_out, len(found) - len(alike))


def _read(names: Sequence[str], masks: RecordedMasks) -> tuple[dict[str, dict[int, Arrays]], int]:
    """The masks of as many techniques as there is room for, and how many others there are."""
    found: dict[str, dict[int, Arrays]] = {}
    weights = draws = 0
    for place, name in enumerate(names):
        read = masks.of(name)
        layers = [mask for arrays in read.values() for mask in arrays.values()]
        weights += sum(mask.size for mask in layers)
        draws += len(layers) * len(found) + len(layers) * (len(read) - 1) // 2
        if len(found) == MOST or weights > MOST_WEIGHTS or draws > MOST_DRAWS:
            return found, len(names) - place
        if read:
            found[name] = read
    return found, 0


def _alike(found: dict[str, dict[int, Arrays]]) -> dict[str, dict[int, Arrays]]:
    """Those whose masks cover the parameters that the most cover."""
    shapes = {name: [_shapes(arrays) for arrays in seeds.values()] for name, seeds in found.items()}
    usual = Counter(each for several in shapes.values() for each in several).most_common(1)
    return {name: seeds for name, seeds in found.items() if {*shapes[name]} == {usual[0][0]}}


def _shapes(arrays: Arrays) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((name, mask.shape) for name, mask in arrays.items()))


def _map(comparisons: Sequence[Comparison], evidence: Evidence) -> HeatMap:
    names = clustered(comparisons)
    pairs = {frozenset((each.first, each.second)): each for each in comparisons}
    cells = tuple(tuple(_cell(pairs.get(frozenset((row, column))), evidence) for column in names) for row in names)
    heads = tuple(Head(evidence.short[name]) for name in names)
    caption = "Jaccard similarity of the masks of every technique and every other, beside what chance would give"
    return HeatMap(caption, heads, heads, cells, legend=legend(cells, limits=LIMITS))


def _cell(pair: Comparison | None, evidence: Evidence) -> Cell:
    if pair is None:
        return Cell(UNKNOWN, "none")
    mean, chance, itself = pair.jaccard.mean, pair.by_chance.mean, pair.first == pair.second
    beyond = 1 - pair.distance if chance < 1 else math.nan
    half = half_width(pair.jaccard)
    other = "itself over seeds" if itself else evidence.short[pair.second]
    words = (
        f"{evidence.short[pair.first]} with {other}: {mean:.3f}{f' ±{half:.3f}' if half == half else ''}, by chance "
        f"{chance:.3f}: {signed(beyond, 2)} of the way; {percent(pair.beyond_chance, 0)} of "
        f"{plural(pair.jaccard.count, 'pair')} beyond chance"
    )
    return Cell(
        f"{mean:.3f}",
        heat_name(beyond, LIMITS),
        (f"{chance:.3f}",),
        words,
        clear=pair.beyond_chance == 1,
        framed=itself,
    )
