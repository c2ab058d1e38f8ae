"""Numbers and metrics in words, as the page writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from prunus.selection.constraints import Constraint
from prunus.selection.metrics import METRICS
from prunus.selection.statistics import Interval

UNKNOWN = "–"
_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
_NAMES = {
    "worst_class_accuracy": "worst-class accuracy",
    "worst_class_drop": "worst-class drop",
    "accuracy_drop": "accuracy drop",
    "nonzero_parameters": "number of non-zero parameters",
    "parameters": "number of parameters",
    "effective_parameters": "number of effective parameters",
    "flops": "number of FLOPs",
    "effective_flops": "number of effective FLOPs",
    "size_bytes": "packed size",
}
_MOST_DECIMALS = 4
_OF_A_SPLIT = ("accuracy", "loss", "worst_class_accuracy", "accuracy_drop", "worst_class_drop")


def percent(fraction: float, decimals: int = 1) -> str:
    """``0.9288`` as ``92.9 %``."""
    return f"{100 * fraction:.{decimals}f}{_SPACE}%" if math.isfinite(fraction) else UNKNOWN


def sparsity_percent(sparsity: float) -> str:
    """A sparsity with the digits that tell it from its neighbours: ``90 %``, ``96.8 %``, ``99.95 %``."""
    return f"{_sparsity_digits(sparsity)}{_SPACE}%" if math.isfinite(sparsity) else UNKNOWN


def _sparsity_digits(sparsity: float) -> str:
    density = 1 - sparsity
    decimals = 1 if density >= 0.0095 or density <= 0 else 1 + math.ceil(-math.log10(density) - 2)
    text = f"{100 * sparsity:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: float, decimals: int = 1) -> str:
    """A number with its sign, which zero lacks: ``+0.4``, ``−2.0``, ``0.0``."""
    if not math.isfinite(value):
        return UNKNOWN
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else _MINUS}{text}"


def half_width(interval: Interval) -> float:
    """Distance from the mean to the interval's ends; nan where there is no interval."""
    return math.nan if interval.high is None else interval.high - interval.mean


def spread(interval: Interval, decimals: int = 1) -> str:
    """The half-width of an interval of fractions, in points: ``±0.7``; empty where there is no interval."""
    width = half_width(interval)
    return f"±{100 * width:.{decimals}f}" if math.isfinite(width) else ""


def mean_and_half(interval: Interval | None, factor: float = 1.0, decimals: int = 1, *, sign: bool = False) -> str:
    """``92.9 ±0.4``: the mean and half its interval, times a factor; the mean alone without an interval."""
    if interval is None:
        return UNKNOWN
    text = signed(factor * interval.mean, decimals)
    text = text if sign else text.removeprefix("+")
    return text if interval.high is None else f"{text} ±{factor * half_width(interval):.{decimals}f}"


def count(value: float) -> str:
    """A whole number: ``13,000``, and ``1.23 M`` from a million on."""
    if not math.isfinite(value):
        return UNKNOWN
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{_SPACE}{name}" if abs(value) < 1000 * unit else f"{value:.3g}"
    return f"{value:,.0f}"


def kilobytes(size_bytes: float) -> str:
    """A size in units of 1,024 bytes, without the unit: ``50.8``."""
    if not math.isfinite(size_bytes):
        return UNKNOWN
    return f"{size_bytes / 1024:,.1f}" if size_bytes < 1024 * 1000 else f"{size_bytes / 1024:,.0f}"


def duration(seconds: float) -> str:
    """A time that work took: ``4.0 s``, ``2 min 31 s``, ``3 h 5 min``."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60}{_SPACE}min"


def plural(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def rank_range(first: int, last: int) -> str:
    """Ranks from the first to the last: ``1–14``, and ``3`` where they are one."""
    return str(first) if first == last else f"{first}–{last}"


def difference(interval: Interval) -> tuple[str, str]:
    """A difference of fractions and its interval, in points: ``("+1.7", "−1.0 to +4.5")``; a dash without interval."""
    if interval.low is None or interval.high is None:
        return signed(100 * interval.mean), UNKNOWN
    ends = interval.low, interval.high
    # An end that would be rounded to zero would hide on which side of zero it lies.
    enough = [decimals for decimals in range(1, _MOST_DECIMALS) if all(_shows(end, decimals) for end in ends)]
    decimals = min(enough, default=_MOST_DECIMALS)
    return signed(100 * interval.mean), " to ".join(signed(100 * end, decimals) for end in ends)


def _shows(end: float, decimals: int) -> bool:
    return end == 0 or float(f"{100 * end:.{decimals}f}") != 0


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def metric(name: str) -> str:
    """The metric's name in words, without its split."""
    return _NAMES.get(name, name.replace("_", " "))


def objective(name: str) -> str:
    """What was optimised: ``the highest validation accuracy``, ``the smallest packed size``."""
    superlative = "highest" if METRICS[name].better == "higher" else "lowest"
    if METRICS[name].unit in ("bytes", "count"):
        superlative = "smallest"
    return f"the {superlative} {'validation ' if name in _OF_A_SPLIT else ''}{metric(name)}"


def constraint(limit: Constraint) -> str:
    """``a sparsity of at least 90 %``."""
    return f"{metric(limit.metric)} of {limit.bound.replace('_', ' ')} {_quantity(limit.metric, limit.limit)}"


def constraints(limits: Iterable[Constraint]) -> str:
    """``a sparsity of at least 90 % and an accuracy drop of at most 0.5 points``; empty without limits."""
    phrases = [constraint(limit) for limit in limits]
    return listed([f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}" for phrase in phrases])


def _quantity(name: str, value: float) -> str:
    unit = METRICS[name].unit
    if name == "sparsity":
        return sparsity_percent(value)
    if unit == "fraction":
        return f"{100 * value:.6g}{_SPACE}{'points' if name.endswith('drop') else '%'}"
    if unit == "bytes":
        return f"{kilobytes(value)}{_SPACE}KB"
    return f"{value:.6g}{_SPACE}times" if unit == "times" else f"{value:,.6g}"
