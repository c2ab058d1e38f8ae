"""The memory of tensors, copied when an operator is about to write to it."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, is_traceable_wrapper_subclass


class Memory(TorchDispatchMode):
    """While this mode is on, each tensor's memory is copied before the first operator that writes to it.

    Every operator of torch passes here, those of the backward pass and of writers through ``.data`` too, and its
    schema tells which arguments it writes to. What is written past the operators is not seen: by NumPy or another
    holder of the address, by compiled code, by an operator that does not declare it (batch normalisation its
    statistics). What may be written so is to be copied beforehand, by ``copy``.

    Args:
        tensors: to be watched; tensors that share memory are one.
    """

    supports_higher_order_operators = True

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self._storages = {storage._cdata: storage for tensor in tensors for storage in _storages(tensor)}
        self._copies: dict[int, UntypedStorage] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True imports the compiler, which takes seconds

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """What is compiled is compiled without this mode, and not run eagerly for its sake."""
        return True

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self.copy(written_tensors(func, args, kwargs))
        return func(*args, **kwargs)

    @property
    def copied_bytes(self) -> int:
        """How much has been copied."""
        return sum(copy.nbytes() for copy in self._copies.values())

    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Copy the memory of those of the tensors that are watched, unless that was done."""
        for tensor in tensors:
            for storage in _storages(tensor):
                key = storage._cdata
                if key in self._storages and key not in self._copies:
                    self._copies[key] = storage.clone()

    def restore(self) -> None:
        """Write back what has changed since it was copied.

        What is equal is not written, for memory may be read-only; and no version is counted, so that a graph that the
        caller holds stays valid.
        """
        for key, copy in self._copies.items():
            storage = self._storages[key]
            if storage.nbytes() != copy.nbytes():
                storage.resize_(copy.nbytes())
            if not _equal(storage, copy):
                storage.copy_(copy)


def unwatched() -> AbstractContextManager[object]:
    """Nothing that is written inside is watched: for many small operators on tensors of one's own alone."""
    return _disable_current_modes()


def written_tensors(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The arguments that an operator says it writes to."""
    for place, name in _written_arguments(operator):
        value = args[place] if place < len(args) else kwargs.get(name)
        yield from (each for each in _listed(value) if isinstance(each, Tensor))


@functools.cache
def _written_arguments(operator: Any) -> tuple[tuple[int, str], ...]:
    """Place and name of each argument that the operator writes to."""
    schema = getattr(operator, "_schema", None)  # operators of higher order have none
    arguments = schema.arguments if schema is not None else ()
    return tuple(
        (place, argument.name)
        for place, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )


def _listed(value: Any) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, list | tuple) else (value,)


def _storages(tensor: Tensor) -> Iterator[UntypedStorage]:
    """Where the tensor's elements lie; nowhere for a lazy or a meta one, and not in one place for a sparse one."""
    if is_traceable_wrapper_subclass(tensor):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _storages(getattr(tensor, name))
    elif tensor.layout == torch.strided and not is_lazy(tensor) and not tensor.is_meta:
        yield tensor.untyped_storage()


def _equal(first: UntypedStorage, second: UntypedStorage) -> bool:
    """Whether all bits are equal, of two of the same size; torch compares numbers, and takes three times as long."""
    if first.device.type == "cpu":
        return _memcmp(first.data_ptr(), second.data_ptr(), first.nbytes()) == 0
    rest = first.nbytes() // 8 * 8
    words = torch.equal(_viewed(first, torch.int64), _viewed(second, torch.int64))
    return words and torch.equal(_viewed(first, torch.uint8)[rest:], _viewed(second, torch.uint8)[rest:])


def _viewed(storage: UntypedStorage, dtype: torch.dtype) -> Tensor:
    return torch.empty(0, dtype=dtype, device=storage.device).set_(storage)


_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
