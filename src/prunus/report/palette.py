"""The page's colours, by light and by dark.

The first three series are those of the design. The others were searched for the largest distance from those before
them in OKLab, as seen with normal vision and with protanopia, deuteranopia and tritanopia (Machado et al. 2009,
doi:10.1109/TVCG.2009.113, severity 1), at a contrast of at least 4.5 with the card. Marker and dash repeat what the
colour says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "page": "#fbfbf9",
        "card": "#ffffff",
        "line": "#e3e5e2",
        "ink": "#1c2120",
        "muted": "#5f6765",
        "accent": "#0f7b6c",
        "loss": "#b4322c",
        "gain": "#0b6e74",
        "neutral": "#f1f2ef",
    }
)
DARK: Mapping[str, str] = MappingProxyType(
    {
        "page": "#121515",
        "card": "#1b1f1f",
        "line": "#343a39",
        "ink": "#e9ecea",
        "muted": "#a3acaa",
        "accent": "#3fc2ab",
        "loss": "#c8443c",
        "gain": "#167f86",
        "neutral": "#272c2b",
    }
)
LIGHT_SERIES = (
    "#0f7b6c", "#c05418", "#6a5acd", "#3d3262", "#702802", "#70438d",
    "#934226", "#16605a", "#a8589e", "#352c9d", "#8c0b39", "#5649b9",
)  # fmt: skip
DARK_SERIES = (
    "#3fc2ab", "#ee8a4a", "#a99cf5", "#f3d547", "#5feaed", "#2f93a3",
    "#a9d89a", "#c96e51", "#9a79e7", "#ddba0c", "#75b475", "#6dcff5",
)  # fmt: skip
MARKERS = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (7, 4), (2, 3))
HEAT_LIMITS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)  # percentage points at which the next step of the heat begins


@dataclass(frozen=True)
class Heat:
    """One step of the heat table: a background and the text on it."""

    name: str
    background: str
    text: str


def series(index: int) -> int:
    """Number of the colour of the technique of that index."""
    return index % len(LIGHT_SERIES)


def marker(index: int) -> str:
    """Vega's name of the marker of the technique of that index."""
    return MARKERS[index % len(MARKERS)]


def dash(index: int) -> tuple[int, ...]:
    """Dashes of the line of the technique of that index: solid for as many as there are markers."""
    return DASHES[index // len(MARKERS) % len(DASHES)]


def heat_name(change: float, limits: Sequence[float] = HEAT_LIMITS) -> str:
    """Name of the step for a change: ``"loss-0"`` … ``"gain-7"``; ``"none"`` for nan.

    Args:
        change: in percentage points, or in the unit of the limits.
        limits: at which the next step begins, as many as ``HEAT_LIMITS``.
    """
    if change != change:
        return "none"
    step = sum(abs(change) >= limit for limit in limits)
    return f"{'gain' if change > 0 else 'loss'}-{step}"


def heat(theme: Mapping[str, str]) -> list[Heat]:
    """Every step of the heat in a theme, with black or white text, whichever reads better."""
    steps = []
    for kind in ("loss", "gain"):
        for step in range(len(HEAT_LIMITS) + 1):
            background = mixed(theme["neutral"], theme[kind], step / len(HEAT_LIMITS))
            text = max(("#101413", "#ffffff"), key=lambda one: contrast(one, background))
            steps.append(Heat(f"{kind}-{step}", background, text))
    return steps


def mixed(first: str, second: str, share: float) -> str:
    """The colour that lies ``share`` of the way from the first to the second, in sRGB."""
    channels = (round(one + (other - one) * share) for one, other in zip(_rgb(first), _rgb(second), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    scaled = [channel / 255 for channel in _rgb(colour)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in scaled]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
