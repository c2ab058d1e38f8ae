"""From uint8 images to a ``Data`` of standardised float tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool
from prunus.tasks.task import Data, Examples


@dataclass(frozen=True)
class Look:
    """How images of a data set are named and scaled: (pixel / full_scale − mean) / std, channel by channel."""

    name: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    full_scale: float = 255.0


def image_data(look: Look, train: Pool, validation: Pool, test: Pool) -> Data:
    """The three pools as float32 (N, C, H, W), standardised.

    Raises:
        DataError: a pool has another number of channels than ``look``, or its labels do not fit the class names.
    """
    return Data(look.name, _examples(look, train), _examples(look, validation), _examples(look, test), look.class_names)


def _examples(look: Look, pool: Pool) -> Examples:
    pixels = torch.from_numpy(pool.images)
    # channels first while a pixel is still one byte: the float copy is then the only large one
    channels_first = (pixels.permute(0, 3, 1, 2) if pixels.dim() == 4 else pixels.unsqueeze(1)).contiguous()
    channels = channels_first.shape[1]
    if channels != len(look.mean):
        raise DataError(f"images of {look.name!r} have {len(look.mean)} channels, got {channels}")
    mean, std = (torch.tensor(values).view(1, channels, 1, 1) for values in (look.mean, look.std))
    inputs = channels_first.to(torch.float32).div_(look.full_scale).sub_(mean).div_(std)
    return Examples(inputs, torch.from_numpy(pool.labels).to(torch.int64))
