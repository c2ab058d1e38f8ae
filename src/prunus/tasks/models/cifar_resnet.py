"""Residual networks for CIFAR: 6n + 2 layers of 16, 32 and 64 channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from prunus.tasks.models.initialisation import he_normal
from prunus.tasks.models.shapes import image_shape

_SMALLEST = 4


class PaddedShortcut(nn.Module):
    """Every second pixel, with zero channels added on both sides: the shortcut without parameters (option A)."""

    def __init__(self, added_channels: int) -> None:
        super().__init__()
        self.each_side = added_channels // 2

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C + added, ⌈H/2⌉, ⌈W/2⌉)."""
        return functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, self.each_side, self.each_side))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation, added to what came in."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        grows = out_channels != channels
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=2 if grows else 1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = PaddedShortcut(out_channels - channels) if grows else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, out_channels, H, W), or half the sides where the channels grow."""
        inner = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


class CifarResNet(nn.Module):
    """One convolution, three stages of ``blocks`` basic blocks, average pooling, one linear layer."""

    def __init__(self, blocks: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16)
        self.layer2 = _stage(blocks, 16, 32)
        self.layer3 = _stage(blocks, 32, 64)
        self.linear = nn.Linear(64, classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → logits (N, classes)."""
        features = functional.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        return self.linear(features.mean((2, 3)))


def resnet_20(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """20 layers; 269,722 parameters on 3×32×32 and 10 classes.

    Shortcuts are of option A, without parameters. Convolutions begin He-normal. State-dict keys are those of the
    pretrained weights in common circulation (conv1, bn1, layer1.0.conv1, …, linear).

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 4×4 pixels.

    Source: He et al. 2016, sec. 4.2 and table 6 (arXiv:1512.03385).
    """
    return CifarResNet(3, image_shape("resnet-20", input_shape, _SMALLEST)[0], classes)


def resnet_32(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """32 layers; 464,154 parameters on 3×32×32 and 10 classes. The rest as ``resnet_20``."""
    return CifarResNet(5, image_shape("resnet-32", input_shape, _SMALLEST)[0], classes)


def resnet_44(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """44 layers; 658,586 parameters on 3×32×32 and 10 classes. The rest as ``resnet_20``."""
    return CifarResNet(7, image_shape("resnet-44", input_shape, _SMALLEST)[0], classes)


def resnet_56(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """56 layers; 853,018 parameters on 3×32×32 and 10 classes. The rest as ``resnet_20``."""
    return CifarResNet(9, image_shape("resnet-56", input_shape, _SMALLEST)[0], classes)


def _stage(blocks: int, channels: int, out_channels: int) -> nn.Sequential:
    rest = (BasicBlock(out_channels, out_channels) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(channels, out_channels), *rest)
