"""Charts of lines, in several widths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from prunus.report.frame import Axis, Frame, Layout
from prunus.report.line_names import LEADING, Label, centres, labels
from prunus.report.lines import Line, Spot
from prunus.report.palette import LIGHT_SERIES, dash, marker, series
from prunus.report.svg import at_home

_MOVED = 4  # pixels from which a moved label is led back to its line
_INK, _MUTED, _LINE = "#fe0001", "#fe0002", "#fe0003"  # stand for the page's colours
_SERIES = tuple(f"#fe01{index:02x}" for index in range(len(LIGHT_SERIES)))
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _LINE: "var(--line)",
    **{colour: f"var(--series-{index})" for index, colour in enumerate(_SERIES)},
}

_GRID = {"gridColor": _LINE}

Layer = dict[str, Any]  # a part of a Vega-Lite specification


class Words(NamedTuple):
    """What a chart is called.

    Attributes:
        identifier: begins the ids in it, so that they differ from those of other charts.
        title, described: for readers who do not see it.
    """

    identifier: str
    title: str
    described: str


def line_chart(lines: Sequence[Line], frame: Frame, words: Words) -> tuple[Markup, bool]:
    """The chart as inline SVG, and whether it does without a legend: every name stands beside its line in full.

    Args:
        lines: at least one.
        frame: of the chart.
        words: that it goes by.
    """
    import vl_convert

    layout = frame.layout
    told = [line for line in lines if not line.muted and line.index is not None]
    references = [line for line in lines if line.index is None]
    names = labels([*told, *references], frame)
    layers = [
        *_muted_layers([line for line in lines if line.muted]),
        *_told_layers(told, frame),
        *_reference_layers(references, frame),
        *_marker_layers(told, frame),
        *_name_layers(names, frame),
    ]
    axes = {"x": _axis("x", frame.across, layout, {"grid": False}), "y": _axis("y", frame.up, layout, _GRID)}
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
    described = words.title, words.described
    svg = at_home(vl_convert.vegalite_to_svg(drawing), layout.name, words.identifier, described, _VARIABLES)
    return svg, len(names) >= len(told) and all(label.whole for label in names)


def _axis(channel: str, axis: Axis, layout: Layout, grid: dict[str, Any]) -> dict[str, Any]:
    return {
        "field": channel,
        "type": "quantitative",
        "scale": {
            "type": "log" if axis.log else "linear",
            "domain": [axis.start, axis.end],
            "nice": False,
            **({} if axis.log else {"zero": False}),
        },
        "axis": {
            "labelFontSize": layout.font,
            "titleFontSize": layout.font,
            "titleFontWeight": "normal",
            "labelColor": _MUTED,
            "titleColor": _MUTED,
            "labelFlush": False,
            "labelOverlap": False,
            "domain": False,
            "ticks": False,
            "labelPadding": 8,
            "title": axis.title,
            "titlePadding": 10,
            "values": list(axis.ticks),
            "format": axis.format,
            **grid,
        },
    }


def _rows(lines: Sequence[Line], kept: Callable[[Spot], bool] = lambda spot: True) -> list[dict[str, Any]]:
    return [
        {"line": number if line.index is None or line.muted else line.index, "x": spot.x, "y": spot.y}
        for number, line in enumerate(lines)
        for spot in line.spots
        if kept(spot)
    ]


def _muted_layers(lines: Sequence[Line]) -> list[Layer]:
    """Thin lines that say where the others lie and no more."""
    mark = {"type": "line", "strokeWidth": 1, "opacity": 0.35, "color": _MUTED, "clip": True}
    detail = {"detail": {"field": "line", "type": "nominal"}}
    return [{"data": {"values": _rows(lines)}, "mark": mark, "encoding": detail}] if lines else []


def _told(lines: Sequence[Line], values: Sequence[Any]) -> Layer:
    """A channel that tells lines apart by these values, one for each."""
    scale = {"domain": [line.index for line in lines], "range": list(values)}
    return {"field": "line", "type": "nominal", "legend": None, "scale": scale}


def _colours(lines: Sequence[Line]) -> Layer:
    return _told(lines, [_SERIES[series(line.index or 0)] for line in lines])


def _bands(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [
        {"line": line.index, "x": spot.x, "y": spot.low, "high": spot.high}
        for line in lines
        for spot in line.spots
        if spot.low is not None
    ]


def _told_layers(lines: Sequence[Line], frame: Frame) -> list[Layer]:
    width = 2 if frame.layout.name == "narrow" else 2.5
    band = {"type": "area", "opacity": min(0.16, 0.8 / max(1, len(lines))), "clip": True}
    return [
        {
            "data": {"values": _bands(lines)},
            "mark": band,
            "encoding": {"y2": {"field": "high"}, "color": _colours(lines)},
        },
        {
            "data": {"values": _rows(lines)},
            "mark": {"type": "line", "strokeWidth": width, "clip": True},
            "encoding": {
                "color": _colours(lines),
                "strokeDash": _told(lines, [dash(line.index or 0) for line in lines]),
            },
        },
    ]


def _sizes(frame: Frame) -> tuple[int, int]:
    """Of a marker, and of its ring."""
    return (34, 130) if frame.layout.name == "narrow" else (62, 240)


def _reference_layers(lines: Sequence[Line], frame: Frame) -> list[Layer]:
    if not lines:
        return []
    dotted = {"type": "line", "color": _MUTED, "strokeDash": [2, 3], "strokeWidth": 1.5, "clip": True}
    point = {"type": "point", "shape": "circle", "filled": True, "color": _MUTED, "size": _sizes(frame)[0]}
    layers: list[Layer] = [
        {"data": {"values": _rows(lines)}, "mark": dotted},
        {"data": {"values": _rows(lines, lambda spot: spot.marked)}, "mark": {**point, "opacity": 1}},
    ]
    if bands := _bands(lines):
        band = {"type": "area", "opacity": 0.12, "color": _MUTED, "clip": True}
        layers.insert(0, {"data": {"values": bands}, "mark": band, "encoding": {"y2": {"field": "high"}}})
    return layers


def _marker_layers(lines: Sequence[Line], frame: Frame) -> list[Layer]:
    size, ring = _sizes(frame)
    lowest = frame.up.start - 1e-9
    shapes = _told(lines, [marker(line.index or 0) for line in lines])
    circle = {"type": "point", "shape": "circle", "filled": False, "color": _INK, "size": ring, "strokeWidth": 1.8}
    return [
        {
            "data": {"values": _rows(lines, lambda spot: spot.marked and spot.y >= lowest)},
            "mark": {"type": "point", "filled": True, "size": size, "opacity": 1},
            "encoding": {"color": _colours(lines), "shape": shapes},
        },
        {
            "data": {"values": _rows(lines, lambda spot: spot.ringed and spot.y >= lowest)},
            "mark": {**circle, "opacity": 1},
        },
    ]


def _name_layers(found: Sequence[Label], frame: Frame) -> list[Layer]:
    layout = frame.layout
    texts, leaders = [], []
    for number, (label, centre) in enumerate(zip(found, centres(found, layout), strict=True)):
        ink = _MUTED if label.index is None else _SERIES[series(label.index)]
        top = centre - layout.font * LEADING * (len(label.lines) - 1) / 2
        for line, text in enumerate(label.lines):
            place = frame.place(layout.width + 16, top + line * layout.font * LEADING)
            texts.append({**place, "text": text, "colour": ink})
        if abs(centre - label.y) > _MOVED or label.x < layout.width - 1:
            ends = frame.place(label.x + 6, label.y), frame.place(layout.width + 13, centre)
            leaders += [{**end, "number": number, "colour": ink} for end in ends]
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
