"""Gradients of removed weights, caught before whoever holds the masks clears them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from prunus.masks.masks import Masks
from prunus.training.replicas import Group


@final
class DenseGradients:
    """Catches the gradients that the backward passes of one step bring to parameters, removed weights included.

    It must be made before the masks are held, for hooks run in the order in which they were registered. Between
    ``take()`` and the next ``listen()`` it costs one look-up a parameter and no memory.

    Args:
        parameters: name → parameter.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = parameters
        self._masks: Masks | None = None
        self._found: dict[str, Tensor] = {}
        self._read: dict[str, Tensor] = {}
        self._handles: list[Any] = []
        for name, parameter in parameters.items():
            trained = parameter.requires_grad
            parameter.requires_grad_(True)  # torch refuses the hook otherwise, and training may thaw it later
            self._handles.append(parameter.register_post_accumulate_grad_hook(functools.partial(self._catch, name)))
            parameter.requires_grad_(trained)

    def listen(self, masks: Masks) -> None:
        """Catch what comes from now on, while these masks are held."""
        self._masks = masks
        self._found, self._read = {}, {}

    def take(self, replicas: Group | None = None) -> dict[str, Tensor]:
        """Name → the sum of the gradients of all backward passes since ``listen()``; zero where none came.

        Args:
            replicas: processes over which it is summed up, so that all of them have the same; see ``replica_group``.
        """
        found = {
            name: self._found.get(name, torch.zeros_like(parameter, requires_grad=False))
            for name, parameter in self._parameters.items()
        }
        self._masks, self._found, self._read = None, {}, {}
        if replicas is not None:
            for gradient in found.values():
                torch.distributed.all_reduce(gradient, group=replicas)
        return found

    def close(self) -> None:
        """Catch nothing any longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _catch(self, name: str, parameter: Tensor) -> None:
        gradient = parameter.grad
        if self._masks is None or gradient is None or gradient.layout != torch.strided:
            return
        earlier = self._found.get(name)
        if earlier is None or self._read[name] is not gradient:  # another tensor: the earlier one was thrown away
            self._found[name] = gradient.detach().clone()
        else:
            # Where weights are kept, the gradient is already the sum of all passes; elsewhere it has been cleared.
            earlier.masked_fill_(self._masks[name].to(earlier.device), 0.0).add_(gradient.detach())
        self._read[name] = gradient
