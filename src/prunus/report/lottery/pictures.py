"""Pictures of a ticket's masks: what is left of each layer, and of each input."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prunus.report.lottery.masks import RecordedMasks
from prunus.report.words import percent, plural
from prunus.tickets.overlap import Arrays

SHADES = 16
MOST_CELLS = 100  # along each side
MOST_LAYERS = 12
_WIDTH = 200  # pixels that a picture's longer side takes on the page, at most
_SMALLEST = 8  # pixels along each side of a picture that inputs may be
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        title: of it.
        words: what its cells are.
        source: a PNG as a data URI, black where the most is kept and clear where nothing is.
        width, height: on the page, in pixels.
    """

    title: str
    words: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class TicketPictures:
    """Those of one seed's ticket.

    Attributes:
        technique: that found it.
        seed: of it.
        pictures: of its layers, in order; of the first one's inputs before them where these may be pixels.
        more: layers that are left out.
    """

    technique: str
    seed: int
    pictures: tuple[Picture, ...]
    more: int


def ticket_pictures(technique: str, masks: RecordedMasks) -> TicketPictures | None:
    """The pictures of the ticket of the first seed; None where it cannot be read, or has no layer to draw."""
    seeds = masks.of(technique)
    if not seeds:
        return None
    seed = min(seeds)
    layers = {name: mask for name, mask in seeds[seed].items() if mask.ndim > 1}
    if not layers:
        return None
    shown = dict(list(layers.items())[:MOST_LAYERS])
    pictures = (*_of_inputs(shown), *(_of_layer(name, mask) for name, mask in shown.items()))
    return TicketPictures(technique, seed, pictures, len(layers) - len(shown))


def _of_inputs(layers: Arrays) -> Iterator[Picture]:
    """How many weights of each input are kept, where there are as many inputs as a square picture has pixels."""
    name, mask = next(iter(layers.items()))
    inputs = mask.shape[1]
    for channels in _CHANNELS:
        side = math.isqrt(inputs // channels)
        if mask.ndim == 2 and side >= _SMALLEST and channels * side * side == inputs:
            kept = mask.sum(0).reshape(channels, side, side).sum(0)
            planes = "" if channels == 1 else f", {channels} planes added"
            words = (
                f"the {inputs:,} inputs as {side}×{side}{planes}: weights kept of {channels * len(mask):,} each; "
                f"strongest: {kept.max():,}"
            )
            yield _picture(f"{_short(name)}, by input", words, kept)


def _of_layer(name: str, mask: np.ndarray) -> Picture:
    """Rows are outputs, columns inputs; a convolution's kernels are one cell each."""
    shares = mask.reshape(*mask.shape[:2], -1).mean(2)
    (rows, down), (columns, across) = (_blocks(size) for size in shares.shape)
    sums = np.add.reduceat(np.add.reduceat(shares, rows, 0), columns, 1)
    means = sums / np.outer(np.diff([*rows, shares.shape[0]]), np.diff([*columns, shares.shape[1]]))
    unit = "kernel" if mask.ndim > 2 else "weight"
    cell = f"{down}×{across} {unit}s" if down * across > 1 else f"one {unit}"
    outputs, inputs = plural(mask.shape[0], "output"), plural(mask.shape[1], "input")
    words = (
        f"{outputs} down, {inputs} across; {percent(mask.mean())} kept; a cell: {cell}; "
        f"strongest: {percent(means.max(), 0)} kept"
    )
    return _picture(_short(name), words, means)


def _blocks(size: int) -> tuple[np.ndarray, int]:
    """Where the blocks begin, and how long they are but for the last."""
    length = math.ceil(size / MOST_CELLS)
    return np.arange(0, size, length), length


def _picture(title: str, words: str, values: np.ndarray) -> Picture:
    height, width = values.shape
    scale = max(1, _WIDTH // max(height, width))
    return Picture(title, words, f"data:image/png;base64,{_png(values)}", scale * width, scale * height)


def _png(values: np.ndarray) -> str:
    """Black, the less clear the higher the value: the shade of the highest is full, of any above zero not empty."""
    from PIL import Image

    shades = np.ceil((SHADES - 1) * values / max(values.max(), 1e-12)).astype(np.uint8)
    image = Image.frombytes("P", shades.shape[::-1], shades.tobytes())
    image.putpalette(bytes(3 * SHADES))
    data = io.BytesIO()
    clear = bytes(255 * shade // (SHADES - 1) for shade in range(SHADES))
    image.save(data, "PNG", optimize=True, bits=4, transparency=clear)
    return base64.b64encode(data.getvalue()).decode()


def _short(name: str) -> str:
    return name.removesuffix(".weight")
