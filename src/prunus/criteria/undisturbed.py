"""Using a model without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from prunus.criteria.memory import Memory
from prunus.criteria.replicas import in_this_process_alone


@contextmanager
def undisturbed(model: nn.Module, *, copy_first: bool = False, hide_gradients: bool = False) -> Iterator[None]:
    """Undo what the block does to the model when it is left, also by an error.

    As before are then: the mode of every module; which tensors its parameters, buffers and gradients are, and every bit
    of them; whether parameters require gradients; torch's random state, on the CPU and on the model's CUDA devices.
    Inside, autocast neither reads nor fills its cache of cast weights, which the caller's own passes use, and
    DistributedDataParallel is the module in it: other processes neither wait nor are waited for.

    Buffers are copied on entering. Parameters and gradients are copied only when an operator is about to write to
    them (see ``Memory``), so that the usual block, which writes to none, costs no memory.

    Args:
        model: any module.
        copy_first: copy parameters and gradients on entering too: for a block that may write to them past torch's
            operators, as through NumPy. Done anyway where a part of the model is compiled.
        hide_gradients: let the block find ``parameter.grad`` empty, so that there is nothing of it to copy.
    """
    modules = [(module, module.training, dict(module._parameters), dict(module._buffers)) for module in model.modules()]
    parameters = [(each, each.requires_grad, each.grad) for each in model.parameters()]
    if hide_gradients:
        for parameter, _, gradient in parameters:
            if gradient is not None:
                parameter.grad = None
    gradients = [parameter.grad for parameter, _, _ in parameters if parameter.grad is not None]
    tensors = [*model.parameters(), *model.buffers(), *gradients]
    kept = [_Kept(tensor) for tensor in tensors if not is_lazy(tensor)]
    memory = Memory(tensors)
    copied = copy_first or has_compiled_parts(model)
    memory.copy(tensors if copied else model.buffers())
    devices = sorted({tensor.device.index for tensor in tensors if tensor.is_cuda})
    try:
        with (
            torch.random.fork_rng(devices),
            _autocast_without_cache(),
            in_this_process_alone(model),
            nullcontext() if copied else memory,
        ):
            yield
    finally:
        for module, training, own, buffers in modules:
            module.training = training
            _put_back(module._parameters, own)
            _put_back(module._buffers, buffers)
        for tensor in kept:
            tensor.put_back()
        memory.restore()
        for parameter, trained, gradient in parameters:
            if parameter.requires_grad != trained:
                parameter.requires_grad_(trained)
            if parameter.grad is not gradient:
                parameter.grad = gradient


def has_compiled_parts(model: nn.Module) -> bool:
    """Whether ``torch.compile`` wrapped the model or a module in it."""
    return any("_orig_mod" in module._modules or module._compiled_call_impl for module in model.modules())


class _Kept:
    """Where a tensor's elements lie; and the elements of a sparse one, which lie in no memory that could be watched."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._data, self._place = tensor, tensor.data, _place(tensor)
        sparse = tensor.layout != torch.strided
        self._elements = tensor.detach().clone() if sparse else None
        self._version = tensor._version if sparse else 0

    def put_back(self) -> None:
        if _place(self._tensor) != self._place:
            self._tensor.data = self._data
        if self._elements is not None and self._tensor._version != self._version:
            with torch.no_grad():
                self._tensor.copy_(self._elements)


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Where the elements are and how they are read; it changes when other ``.data`` are set."""
    if tensor.layout != torch.strided:
        return ()
    reading = (tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
    return tensor.untyped_storage()._cdata, *reading


def _put_back(current: dict[str, Any], before: dict[str, Any]) -> None:
    if current.keys() != before.keys() or any(current[name] is not value for name, value in before.items()):
        current.clear()
        current.update(before)


@contextmanager
def _autocast_without_cache() -> Iterator[None]:
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(enabled)
