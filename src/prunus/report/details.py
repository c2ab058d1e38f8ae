"""Who paid and where: the change of each class, the sparsity of each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prunus.report.evidence import Evidence
from prunus.report.heat_map import Cell, Head, HeatMap
from prunus.report.palette import heat_name
from prunus.report.words import count, signed, sparsity_percent
from prunus.selection.candidates import Candidate
from prunus.selection.constraints import ROUNDING
from prunus.selection.statistics import mean

_WHOLE_FROM = 10  # points from which a change is written without decimals


@dataclass(frozen=True)
class ClassRow:
    """One technique's change of accuracy in each class.

    Attributes:
        technique: name.
        index: of the technique; None where it is not told apart.
        sparsity: where it is not the common one; else None.
        seeds: that have a dense model to compare with.
        cells: in class order.
    """

    technique: str
    index: int | None
    sparsity: float | None
    seeds: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Layer:
    """How much of one tensor was removed, as the mean over seeds."""

    name: str
    shape: str
    sparsity: float
    kept: str


@dataclass(frozen=True)
class LayerGroup:
    """The layers of one technique; ``sparsity`` is None where it is the common one."""

    technique: str
    index: int | None
    sparsity: float | None
    layers: tuple[Layer, ...]


def class_names(evidence: Evidence) -> list[str]:
    """Names of the classes, in class order."""
    for candidate in evidence.candidates:
        for replicate in candidate.replicates:
            classes = evidence.test_classes(replicate)
            if classes:
                return [outcome.name for outcome in classes]
    return []


def class_rows(evidence: Evidence) -> list[ClassRow]:
    """One row for every technique, at the common sparsity; those that lack it come last, at the nearest they have.

    Where there are many, those told apart come first, then the others by merit.
    """
    names, rows = class_names(evidence), []
    for technique in evidence.techniques:
        candidate = evidence.near(technique, evidence.common)
        if candidate is None:
            continue
        changes = [change for replicate in candidate.replicates if (change := evidence.class_changes(replicate))]
        cells = [_cell([change.get(name, math.nan) for change in changes]) for name in names]
        rows.append(
            ClassRow(technique, evidence.index(technique), _elsewhere(evidence, candidate), len(changes), tuple(cells))
        )
    order = _order(evidence)
    return sorted(rows, key=lambda row: (row.sparsity is not None, order.get(row.technique, 0)))


def class_maps(evidence: Evidence) -> list[HeatMap]:
    """The change of every class: of the techniques that are told apart, and of the others where there are some."""
    at, names, rows = sparsity_percent(evidence.common), class_names(evidence), class_rows(evidence)
    if not rows or not names or not evidence.dense:
        return []
    first = len(evidence.highlighted) if evidence.is_crowded else len(rows)
    captions = (
        f"Change of test accuracy per class and technique at {at} sparsity, in percentage points",
        "The same for the other techniques",
    )
    columns = tuple(Head(name) for name in names)
    return [
        HeatMap(caption, tuple(_head(row, evidence) for row in part), columns, tuple(row.cells for row in part))
        for caption, part in zip(captions, (rows[:first], rows[first:]), strict=True)
        if part
    ]


def _head(row: ClassRow, evidence: Evidence) -> Head:
    elsewhere = f"only at {sparsity_percent(row.sparsity)}" if row.sparsity is not None else ""
    return Head(evidence.short[row.technique], elsewhere, apart=row.sparsity is not None)


def _cell(changes: list[float]) -> Cell:
    points = 100 * mean(changes) if changes else math.nan
    return Cell(signed(points, 0 if abs(points) >= _WHOLE_FROM else 1), heat_name(points))


def _elsewhere(evidence: Evidence, candidate: Candidate) -> float | None:
    sparsity = candidate.requested_sparsity
    return sparsity if abs(sparsity - evidence.common) > ROUNDING else None


def layer_groups(evidence: Evidence) -> list[LayerGroup]:
    """The layers of every technique, in the order of ``class_rows``."""
    groups = []
    for technique in evidence.techniques:
        candidate = evidence.near(technique, evidence.common)
        layers = _layers(evidence, candidate) if candidate else ()
        if candidate and layers:
            groups.append(LayerGroup(technique, evidence.index(technique), _elsewhere(evidence, candidate), layers))
    order = _order(evidence)
    return sorted(groups, key=lambda group: (group.sparsity is not None, order.get(group.technique, 0)))


def _order(evidence: Evidence) -> dict[str, int]:
    """Where each technique stands: as in the recipe, where there are many by merit, those told apart first."""
    names = [*evidence.highlighted, *evidence.by_merit] if evidence.is_crowded else evidence.techniques
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _layers(evidence: Evidence, candidate: Candidate) -> tuple[Layer, ...]:
    prunings = [evidence.states[replicate.state].pruning for replicate in candidate.replicates]
    tensors = [pruning.tensors for pruning in prunings if pruning]
    found = []
    for name, first in tensors[0].items() if tensors else ():
        counts = [tensor[name] for tensor in tensors if name in tensor]
        kept = mean([one.kept for one in counts])
        shape = "×".join(str(size) for size in first.shape)
        sparsity = mean([one.sparsity for one in counts])
        found.append(Layer(name.removesuffix(".weight"), shape, sparsity, f"{count(kept)} of {count(first.total)}"))
    return tuple(found)
