"""What a model keeps past parameters and buffers, of which a copy of it has its own."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn


@final
class Attributes:
    """What the modules of a model hold now, but for their mode.

    A model that replaces any of it while it runs, be it a count of calls or a mean that it assigns anew, is not the
    same afterwards: a copy that is run in its place keeps what should have become the model's. At the end of a ``with``
    block the model holds what it held; what buffers have become is left to others.

    Args:
        model: any.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = [(each, dict(vars(each)), dict(each._buffers)) for each in model.modules()]
        plain = (value for _, own, _ in self._modules for value in own.values() if isinstance(value, Tensor))
        self._tensors = [(each, each._version, each.detach().clone()) for each in plain]

    def replaced(self) -> bool:
        """Whether the model has replaced any of it, or written to a tensor that is no buffer."""
        return any(each._version != version for each, version, _ in self._tensors) or any(
            _differ(own, vars(module)) or _differ(buffers, module._buffers) for module, own, buffers in self._modules
        )

    def __enter__(self) -> Attributes:
        return self

    @torch.no_grad()
    def __exit__(self, *_: object) -> None:
        for module, own, _buffers in self._modules:
            if _differ(own, vars(module)):
                mode = module.training
                vars(module).clear()
                vars(module).update(own)
                module.training = mode
        for each, version, value in self._tensors:
            if each._version != version:
                each.copy_(value)


def _differ(before: dict[str, Any], now: dict[str, Any]) -> bool:
    if before.keys() != now.keys():
        return True
    return any(now[name] is not value for name, value in before.items() if name != "training")
