"""The charts of tickets: two widths of each."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from prunus.report.chart import Words, line_chart
from prunus.report.frame import HALVES, Axis, Frame, Layout, accuracies, densities, steps
from prunus.report.lines import Line, Spot, extent
from prunus.report.lottery.series import Series
from prunus.report.words import percent

_BEGINNING = 0.1  # of the training: what is lower than all that comes later is not drawn
_MOST_STEPS = 6  # numbers at the side
_BELOW = "The table below holds the same numbers."


def learning_charts(found: Sequence[Series], identifier: str) -> list[Markup]:
    """Test accuracy against training steps.

    Args:
        found: at least one.
        identifier: of the charts in the page.
    """
    lines = [Line(each.index, each.name, _spots(each, 1.0, at_end=True)) for each in found]
    first, last = min(line.spots[0].x for line in lines), max(line.spots[-1].x for line in lines)
    settled = first + _BEGINNING * (last - first)
    up = accuracies(*extent([spot for line in lines for spot in line.spots if spot.x >= settled]))
    words = f"Test accuracy from step {first:,.0f} to {last:,.0f}", f"{_named(found)}. {_BELOW}"
    return [
        line_chart(
            lines,
            Frame(layout, steps(first, last, layout.width // layout.tick, "training steps"), up),
            Words(f"{identifier}-{layout.name}", *words),
        )[0]
        for layout in HALVES
    ]


def stopping_charts(found: Sequence[Series], last: float, identifier: str) -> list[Markup]:
    """Early-stopping steps against what remains, from zero upwards.

    Args:
        found: at least one of them not dense.
        last: step of the training.
        identifier: of the charts in the page.
    """
    lines = _against_density(found, last)
    up = steps(0.0, extent([spot for line in lines for spot in line.spots])[1], _MOST_STEPS)
    return _by_density(found, lines, up, Words(identifier, "Early-stopping step against weights remaining", ""))


def accuracy_charts(found: Sequence[Series], identifier: str) -> list[Markup]:
    """Test accuracy at the early-stopping step against what remains."""
    lines = _against_density(found, 1.0)
    up = accuracies(*extent([spot for line in lines for spot in line.spots]))
    return _by_density(found, lines, up, Words(identifier, "Test accuracy when stopped against weights remaining", ""))


def _by_density(found: Sequence[Series], lines: Sequence[Line], up: Axis, words: Words) -> list[Markup]:
    lowest = min(spot.x for line in lines for spot in line.spots)

    def drawn(layout: Layout) -> Markup:
        across = densities(lowest, [density for each in found for density in each.values], layout, "weights")
        described = f"{_named(found)}, from all weights at the left to {percent(lowest)} at the right. {_BELOW}"
        named = Words(f"{words.identifier}-{layout.name}", words.title, described)
        return line_chart(lines, Frame(layout, across, up), named)[0]

    return [drawn(layout) for layout in HALVES]


def _against_density(found: Sequence[Series], highest: float) -> list[Line]:
    lowest = min(density for each in found for density in each.values)
    lines = []
    for each in found:
        spots = _spots(each, highest)
        if each.index is None:  # it has one value, which is drawn across
            (start,) = spots
            spots = (start, Spot(lowest, start.y, start.low, start.high))
        lines.append(Line(each.index, each.name, spots))
    return lines


def _spots(series: Series, highest: float, at_end: bool = False) -> tuple[Spot, ...]:
    last = next(reversed(series.values))
    return tuple(
        Spot.of(x, mean, highest, marked=not at_end or (x == last and series.index is not None))
        for x, mean in series.values.items()
    )


def _named(found: Sequence[Series]) -> str:
    return "Lines: " + ", ".join(each.name for each in found)
