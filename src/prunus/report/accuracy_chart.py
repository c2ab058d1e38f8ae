"""The chart of accuracy against sparsity, in several widths."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from prunus.report.chart import Words, line_chart
from prunus.report.curves import Curve, Point
from prunus.report.frame import Frame, Layout, accuracies, densities
from prunus.report.lines import Line, Spot
from prunus.report.words import percent, plural


def accuracy_chart(
    curves: Sequence[Curve],
    dense: Point | None,
    targets: Sequence[float],
    layout: Layout,
    floor: float = 0.0,
    parts: str = "weights",
) -> tuple[Markup, bool]:
    """The chart as inline SVG, and whether it does without a legend: every name stands beside its line in full.

    Args:
        curves: at least one; muted ones are thin lines without points, bands and names.
        dense: reference.
        targets: sparsities to write below if there is room.
        layout: width.
        floor: accuracy below which nothing is drawn.
        parts: what pruning removes.
    """
    frame = _frame(curves, targets, layout, floor, parts)
    lines = [Line(curve.index, curve.name, tuple(map(_spot, curve.points)), curve.muted) for curve in curves]
    if dense:
        mean = dense.accuracy.mean
        across = Spot(frame.across.start, mean, marked=True), Spot(frame.across.end, mean)
        lines.append(Line(None, f"dense {percent(mean)}", across))
    words = Words(
        f"plot-{layout.name}{'-close' if floor else ''}",
        f"Test accuracy against {parts} remaining" + (f", from {percent(frame.up.start, 0)} up" if floor else ""),
        f"{plural(len(curves), 'line')}, from all {parts} at the left to {percent(frame.across.end)} of them at the "
        "right. The tables below hold the same numbers.",
    )
    svg, named = line_chart(lines, frame, words)
    return svg, named or bool(floor)


def _frame(curves: Sequence[Curve], targets: Sequence[float], layout: Layout, floor: float, parts: str) -> Frame:
    points = [point for curve in curves for point in curve.drawn]
    low = max(floor, min(point.band[0] for point in points))
    up = accuracies(low, max(point.band[1] for point in points))
    wanted = [1 - target for target in reversed(targets)] + [point.density for point in points]
    return Frame(layout, densities(min(point.density for point in points), wanted, layout, parts), up)


def _spot(point: Point) -> Spot:
    low, high = point.band if point.accuracy.low is not None else (None, None)
    is_pruned = point.density < 1
    return Spot(point.density, point.accuracy.mean, low, high, marked=is_pruned, ringed=is_pruned and point.chosen)
