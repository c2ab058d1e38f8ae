"""Residual networks for ImageNet, with the state-dict keys of torchvision."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from prunus.tasks.models.initialisation import he_normal
from prunus.tasks.models.shapes import image_shape

_SMALLEST = 32


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, added to what came in."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(channels, width, stride)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, width, H / stride, W / stride)."""
        inner = functional.relu(self.bn1(self.conv1(images)))
        shortcut = images if self.downsample is None else self.downsample(images)
        return functional.relu(self.bn2(self.conv2(inner)) + shortcut)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, added to what came in; the 3×3 convolution carries the stride."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _projection(channels, 4 * width, stride)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, 4 · width, H / stride, W / stride)."""
        inner = functional.relu(self.bn1(self.conv1(images)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        shortcut = images if self.downsample is None else self.downsample(images)
        return functional.relu(self.bn3(self.conv3(inner)) + shortcut)


class ImageNetResNet(nn.Module):
    """A 7×7 convolution and max pooling, four stages of blocks, average pooling, one linear layer."""

    def __init__(
        self, block: type[BasicBlock | Bottleneck], depths: tuple[int, int, int, int], channels: int, classes: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, depths[0], 64, 64, stride=1)
        self.layer2 = _stage(block, depths[1], 64 * block.expansion, 128, stride=2)
        self.layer3 = _stage(block, depths[2], 128 * block.expansion, 256, stride=2)
        self.layer4 = _stage(block, depths[3], 256 * block.expansion, 512, stride=2)
        self.fc = nn.Linear(512 * block.expansion, classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) → logits (N, classes)."""
        features = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        return self.fc(features.mean((2, 3)))


def resnet_18(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """18 layers in basic blocks; 11,689,512 parameters on 3×224×224 and 1,000 classes.

    Shortcuts are of option B, projections where the shape changes. Convolutions begin He-normal. State-dict keys
    are those of torchvision, so that its weights fit.

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 32×32 pixels.

    Source: He et al. 2016, table 1 (arXiv:1512.03385).
    """
    return ImageNetResNet(BasicBlock, (2, 2, 2, 2), image_shape("resnet-18", input_shape, _SMALLEST)[0], classes)


def resnet_50(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """50 layers in bottlenecks; 25,557,032 parameters on 3×224×224 and 1,000 classes.

    As in torchvision the stride lies on a bottleneck's 3×3 convolution; the paper puts it on the first 1×1. The
    rest as ``resnet_18``.

    Source: He et al. 2016, table 1 (arXiv:1512.03385).
    """
    return ImageNetResNet(Bottleneck, (3, 4, 6, 3), image_shape("resnet-50", input_shape, _SMALLEST)[0], classes)


def _stage(block: type[BasicBlock | Bottleneck], depth: int, channels: int, width: int, stride: int) -> nn.Sequential:
    rest = (block(width * block.expansion, width, 1) for _ in range(depth - 1))
    return nn.Sequential(block(channels, width, stride), *rest)


def _projection(channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels))
