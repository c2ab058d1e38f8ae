"""The chart of accuracy against sparsity, in several widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from prunus.report.curves import Curve, Point
from prunus.report.frame import Frame, Layout
from prunus.report.labels import moved_apart, wrapped
from prunus.report.names import printable
from prunus.report.palette import LIGHT_SERIES, dash, marker, series
from prunus.report.svg import at_home
from prunus.report.words import percent, plural

_LINES = 4  # of a label
_MOST_BELOW = 4  # labels of lines that leave a close-up
_COLUMN = 0.6  # width of a bold character, in ems
_LEADING = 1.2
_BEYOND = 6  # pixels below the plot that labels may reach
_MOVED = 4  # pixels from which a moved label is led back to its line
_DENSE = "dense"
_INK, _MUTED, _LINE = "#fe0001", "#fe0002", "#fe0003"  # stand for the page's colours
_SERIES = tuple(f"#fe01{index:02x}" for index in range(len(LIGHT_SERIES)))
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _LINE: "var(--line)",
    **{colour: f"var(--series-{index})" for index, colour in enumerate(_SERIES)},
}

Layer = dict[str, Any]  # a part of a Vega-Lite specification


@dataclass(frozen=True)
class Label:
    """A name at the end of a line.

    Attributes:
        lines: of text.
        colour: of the text.
        x, y: where the line ends, in pixels; at the bottom where it ends below.
        whole: whether all of the name is there.
    """

    lines: tuple[str, ...]
    colour: str
    x: float
    y: float
    whole: bool


def labels(curves: Sequence[Curve], dense: Point | None, frame: Frame) -> list[Label]:
    """The names that stand beside the plot, in as many lines as there is room for; none where they say too little."""
    ends = [(curve, curve.points[-1]) for curve in curves]
    below = [end for end in ends if frame.y(end[1].accuracy.mean) > frame.layout.height]
    if len(below) > _MOST_BELOW:
        ends = [end for end in ends if end not in below]
    for lines in range(_LINES, 0, -1):
        found = [_label(curve.name, _SERIES[series(curve.index)], end, frame, lines) for curve, end in ends]
        if dense:
            at_edge = replace(dense, sparsity=1 - frame.density)
            found.append(_label(f"{_DENSE} {percent(dense.accuracy.mean)}", _MUTED, at_edge, frame, lines))
        fits = sum(_height(label, frame.layout) for label in found) <= frame.layout.height + _BEYOND
        if fits and len({label.lines for label in found}) == len(found):
            return found
    return []


def _label(name: str, colour: str, end: Point, frame: Frame, lines: int) -> Label:
    layout = frame.layout
    width = max(6, int((layout.right - 20) / (layout.font * _COLUMN)))
    text, whole = wrapped(printable(name), width, lines)
    x, y = frame.x(end.density), frame.y(end.accuracy.mean)
    if y > layout.height:
        text[-1] += " ↓"
        x, y = layout.width, layout.height
    return Label(tuple(text), colour, x, y, whole)


def _height(label: Label, layout: Layout) -> float:
    return layout.font * _LEADING * len(label.lines) + 3


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
    import vl_convert

    told = [curve for curve in curves if not curve.muted]
    others = [curve for curve in curves if curve.muted]
    frame = Frame.around([point for curve in curves for point in curve.drawn], layout, floor)
    names = labels(told, dense, frame)
    layers = [*_muted_layers(others), *_curve_layers(told, frame), *_point_layers(told, dense, frame)]
    layers += _name_layers(names, frame)
    axes = _axes(frame, frame.ticks(curves, targets), parts)
    for layer in layers:
        layer["encoding"] = axes | layer.get("encoding", {})
    drawing = {
        "width": layout.width,
        "height": layout.height,
        "autosize": {"type": "none"},
        "padding": {"left": layout.left, "right": layout.right, "top": 12, "bottom": layout.bottom},
        "background": "transparent",
        "config": {"aria": False, "font": "sans-serif", "view": {"stroke": None}},
        "layer": layers,
    }
    title = f"Test accuracy against {parts} remaining" + (f", from {percent(frame.low, 0)} up" if floor else "")
    described = (
        f"{plural(len(curves), 'line')}, from all {parts} at the left to {percent(frame.density)} of them at the right."
        " The tables below hold the same numbers."
    )
    identifier = f"plot-{layout.name}{'-close' if floor else ''}"
    svg = at_home(vl_convert.vegalite_to_svg(drawing), layout.name, identifier, (title, described), _VARIABLES)
    named = len(names) >= len(told) and all(label.whole for label in names)
    return svg, named or bool(floor)


def _axes(frame: Frame, ticks: Sequence[float], parts: str) -> Layer:
    font = frame.layout.font
    written: Layer = {
        "labelFontSize": font,
        "titleFontSize": font,
        "titleFontWeight": "normal",
        "labelColor": _MUTED,
        "titleColor": _MUTED,
        "labelFlush": False,
        "labelOverlap": False,
        "domain": False,
        "ticks": False,
        "labelPadding": 8,
    }
    across = {"title": f"{parts} remaining (log scale)", "titlePadding": 10, "values": ticks, "format": ".3~p"}
    count = round((frame.high - frame.low) / frame.step)
    levels = [round(frame.low + step * frame.step, 9) for step in range(count + 1)]
    return {
        "x": {
            "field": "density",
            "type": "quantitative",
            "scale": {"type": "log", "domain": [1, frame.density], "nice": False},
            "axis": {**written, **across, "grid": False},
        },
        "y": {
            "field": "accuracy",
            "type": "quantitative",
            "scale": {"domain": [frame.low, frame.high], "nice": False, "zero": False},
            "axis": {**written, "title": None, "values": levels, "format": ".0%", "gridColor": _LINE},
        },
    }


def _muted_layers(curves: Sequence[Curve]) -> list[Layer]:
    """Thin lines that say where the others lie and no more."""
    rows = [
        {"number": number, "density": point.density, "accuracy": point.accuracy.mean}
        for number, curve in enumerate(curves)
        for point in curve.points
    ]
    mark = {"type": "line", "strokeWidth": 1, "opacity": 0.35, "color": _MUTED, "clip": True}
    if not rows:
        return []
    return [{"data": {"values": rows}, "mark": mark, "encoding": {"detail": {"field": "number", "type": "nominal"}}}]


def _told(curves: Sequence[Curve], values: Sequence[Any]) -> Layer:
    """A channel that tells curves apart by these values, one for each."""
    scale = {"domain": [curve.index for curve in curves], "range": list(values)}
    return {"field": "curve", "type": "nominal", "legend": None, "scale": scale}


def _curve_layers(curves: Sequence[Curve], frame: Frame) -> list[Layer]:
    rows = [
        {"curve": curve.index, "density": point.density, "accuracy": point.accuracy.mean}
        for curve in curves
        for point in curve.points
    ]
    bands = [
        {"curve": curve.index, "density": point.density, "accuracy": point.band[0], "high": point.band[1]}
        for curve in curves
        for point in curve.points
        if point.accuracy.low is not None
    ]
    colour = _told(curves, [_SERIES[series(curve.index)] for curve in curves])
    dashes = _told(curves, [dash(curve.index) for curve in curves])
    width = 2 if frame.layout.name == "narrow" else 2.5
    return [
        {
            "data": {"values": bands},
            "mark": {"type": "area", "opacity": min(0.16, 0.8 / len(curves)), "clip": True},
            "encoding": {"y2": {"field": "high"}, "color": colour},
        },
        {
            "data": {"values": rows},
            "mark": {"type": "line", "strokeWidth": width, "clip": True},
            "encoding": {"color": colour, "strokeDash": dashes},
        },
    ]


def _point_layers(curves: Sequence[Curve], dense: Point | None, frame: Frame) -> list[Layer]:
    size, ring = (34, 130) if frame.layout.name == "narrow" else (62, 240)
    layers: list[Layer] = []
    if dense:
        across = [{"density": density, "accuracy": dense.accuracy.mean} for density in (1, frame.density)]
        dotted = {"type": "line", "color": _MUTED, "strokeDash": [2, 3], "strokeWidth": 1.5}
        start = {"type": "point", "shape": "circle", "filled": True, "color": _MUTED, "size": size, "opacity": 1}
        layers += [{"data": {"values": across}, "mark": dotted}, {"data": {"values": across[:1]}, "mark": start}]
    rows = [
        {"curve": curve.index, "density": point.density, "accuracy": point.accuracy.mean, "chosen": point.chosen}
        for curve in curves
        for point in curve.points
        if point.density < 1 and point.accuracy.mean >= frame.low - 1e-9
    ]
    layers.append(
        {
            "data": {"values": rows},
            "mark": {"type": "point", "filled": True, "size": size, "opacity": 1},
            "encoding": {
                "color": _told(curves, [_SERIES[series(curve.index)] for curve in curves]),
                "shape": _told(curves, [marker(curve.index) for curve in curves]),
            },
        }
    )
    circle = {"type": "point", "shape": "circle", "filled": False, "color": _INK, "size": ring, "strokeWidth": 1.8}
    chosen = [row for row in rows if row["chosen"]]
    return [*layers, {"data": {"values": chosen}, "mark": {**circle, "opacity": 1}}]


def _name_layers(found: Sequence[Label], frame: Frame) -> list[Layer]:
    layout = frame.layout
    heights = [_height(label, layout) for label in found]
    centres = moved_apart([label.y for label in found], heights, layout.height + _BEYOND)
    texts, leaders = [], []
    for number, (label, centre) in enumerate(zip(found, centres, strict=True)):
        top = centre - layout.font * _LEADING * (len(label.lines) - 1) / 2
        for line, text in enumerate(label.lines):
            place = frame.place(layout.width + 16, top + line * layout.font * _LEADING)
            texts.append({**place, "text": text, "colour": label.colour})
        if abs(centre - label.y) > _MOVED or label.x < layout.width - 1:
            ends = frame.place(label.x + 6, label.y), frame.place(layout.width + 13, centre)
            leaders += [{**end, "number": number, "colour": label.colour} for end in ends]
    colour = {"field": "colour", "type": "nominal", "scale": None}
    text_mark = {"type": "text", "align": "left", "baseline": "middle", "fontSize": layout.font, "fontWeight": "bold"}
    return [
        {
            "data": {"values": texts},
            "mark": text_mark,
            "encoding": {"text": {"field": "text", "type": "nominal"}, "color": colour},
        },
        {
            "data": {"values": leaders},
            "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.6},
            "encoding": {"detail": {"field": "number", "type": "nominal"}, "color": colour},
        },
    ]
