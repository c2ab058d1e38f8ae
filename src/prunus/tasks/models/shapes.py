"""Checks of what a model is asked to be built for."""

from __future__ import annotations

from prunus.errors import ArgumentError


def image_shape(model: str, input_shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    """``input_shape`` as (channels, height, width).

    Raises:
        ArgumentError: it has another number of dimensions, or a side is shorter than ``smallest`` pixels.
    """
    if len(input_shape) != 3 or min(input_shape) < 1 or min(input_shape[1:]) < smallest:
        raise ArgumentError(
            f"{model} takes images of shape (channels, height, width) of at least {smallest}×{smallest} pixels, "
            f"got the shape {tuple(input_shape)}"
        )
    channels, height, width = input_shape
    return channels, height, width
