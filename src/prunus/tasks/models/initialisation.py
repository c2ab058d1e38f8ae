"""How weights begin, where a paper fixes it."""

from __future__ import annotations

from torch import nn


def glorot_normal(model: nn.Module) -> nn.Module:
    """Set linear and convolutional weights to N(0, 2 / (fan in + fan out)) and biases to 0, in place.

    Source: Glorot & Bengio 2010 for the variance; Frankle & Carbin 2019, fig. 2 (arXiv:1803.03635), for
        the normal distribution.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def he_normal(model: nn.Module) -> nn.Module:
    """Set convolutional weights to N(0, 2 / fan out), in place; everything else keeps PyTorch's default.

    Source: He et al. 2015, eq. 14 (arXiv:1502.01852).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
