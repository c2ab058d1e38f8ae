"""The support of a network's signals: a mode in which every operator tells where its output can differ from zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

Operator = Callable[..., Tensor]
Handler = Callable[..., Any]
Alive = list[tuple[Tensor, Tensor]]  # for each product of two signals, where either factor is not zero

_METADATA = frozenset(
    {"__hash__", "__len__", "device", "dim", "dtype", "element_size", "get_device", "grad_fn", "itemsize", "layout",
     "ndim", "ndimension", "nelement", "numel", "requires_grad", "shape", "size", "storage_offset", "stride"}
)  # fmt: skip


class Unfollowable(Exception):
    """The network does something through which the signal cannot be followed."""


class ProductMet(Exception):
    """Two signals are multiplied, and it is not yet known where each is alive."""


class Origin(IntEnum):
    """What a tensor that no input reaches was made from."""

    VECTOR = 1  # parameters of at most one dimension: biases, scales
    MATRIX = 2  # others


class _Support(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return (values > 0).to(values.dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return (gradients[0] > 0).to(gradients[0].dtype)


def support(values: Tensor) -> Tensor:
    """1 where the values are positive, else 0; and of the gradient likewise."""
    result: Tensor = _Support.apply(values)
    return result


class Signals(TorchFunctionMode):
    """Runs operators on supports: tensors with gradient are supports of parameters or signals, others constants.

    Signals come from the input. Constants and biases are dropped where they are added to a signal, so that what they
    alone feed does not count as connected, yet keep their gradient. But they open gates: where two signals are
    multiplied, each passes where the other is alive for whatever reason. For this a pass with ``constants``
    records, at each product, where the factors are alive, and the next pass reads the record.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        parameters: Iterable[Tensor],
        *,
        alive: Alive | None = None,
        constants: bool = False,
    ) -> None:
        super().__init__()
        self.constants = constants
        self._handlers = handlers
        self._alive = alive
        self._recorded: Iterator[tuple[Tensor, Tensor]] = iter(alive or ())
        self._origins = WeakTensorKeyDictionary()
        for parameter in parameters:
            self._origins[parameter] = Origin.VECTOR if parameter.dim() <= 1 else Origin.MATRIX

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(func)
        operands = [x for x in _tensors((*args, *kwargs.values())) if x.requires_grad]
        if not operands or name in _METADATA or (name.startswith("is_") and name != "is_nonzero"):
            return func(*args, **kwargs)
        if name not in self._handlers:
            raise Unfollowable(f"it calls {name!r}, and it is not known where that passes a signal on")
        if not torch.is_grad_enabled():
            raise Unfollowable(f"it calls {name!r} without gradients")
        try:
            result = self._handlers[name](self, func, *args, **kwargs)
        except TypeError as error:
            raise Unfollowable(f"it calls {name!r} in a form that is not known: {error}") from error
        return self.inherit(result, *operands) if name != "embedding" else result

    def is_signal(self, value: object) -> bool:
        """Whether the input may reach this value."""
        return isinstance(value, Tensor) and value.requires_grad and value not in self._origins

    def inherit(self, result: Any, *operands: Tensor) -> Any:
        """Mark the result as made from parameters alone, if all operands with a gradient are."""
        origins = [self._origins.get(operand) for operand in operands if operand.requires_grad]
        if origins and None not in origins:
            for tensor in _tensors((result,)):
                if tensor.requires_grad:
                    self._origins[tensor] = max(origins)
        return result

    def add(self, first: Any, second: Any) -> Tensor:
        """The union of two supports; of a constant or a bias only the gradient, unless no signal is involved."""
        if self.is_signal(first) or self.is_signal(second):
            return support(self.term(first) + self.term(second))
        return self.inherit(support(self.factor(first) + self.factor(second)), *_tensors((first, second)))

    def shift(self, values: Tensor, bias: Tensor | None) -> Tensor:
        """Add a bias, whatever its shape."""
        if bias is None:
            return values
        if self.is_signal(bias):
            return self.add(values, bias)
        if not self.is_signal(values):
            return self.inherit(support(values + self.factor(bias)), values, bias)
        return support(values + (bias if self.constants else bias - bias.detach()))

    def multiply(self, product: Operator, first: Any, second: Any) -> Tensor:
        """The support of a product that is linear in both: elementwise, of matrices, a convolution."""
        if not (self.is_signal(first) and self.is_signal(second)):
            result = support(product(self.factor(first), self.factor(second)))
            return self.inherit(result, *_tensors((first, second)))
        if self.constants and self._alive is not None:
            self._alive.append((support(first.detach()), support(second.detach())))
            return support(product(first, second))
        if self._alive is None:
            raise ProductMet
        known = next(self._recorded, None)
        if known is None or (known[0].shape, known[1].shape) != (first.shape, second.shape):
            raise Unfollowable("it computes something else each time")
        return support(product(first, known[1]) + product(known[0], second))

    def open(self, values: Tensor) -> Tensor:
        """The support of a function that is not 0 at 0: alive everywhere, but a signal only where its input is one."""
        return self.inherit(support(values + 1), values) if self.constants else values

    def term(self, value: Any) -> Any:
        """What is added to a signal."""
        if not isinstance(value, Tensor) or not value.requires_grad:
            return self.factor(value) if self.constants else self.factor(value) * 0
        if self._origins.get(value) is Origin.VECTOR and not self.constants:
            return value - value.detach()
        return value

    def factor(self, value: Any) -> Any:
        """What a signal is multiplied with: the support of a constant; anything else as it is."""
        if isinstance(value, Tensor):
            return value if value.requires_grad else (value != 0).to(torch.float32)
        return float(value != 0)


def _name(func: Any) -> str:
    name = getattr(func, "__name__", repr(func))
    return str(func.__self__.__name__) if name == "__get__" else str(name)  # a property such as Tensor.mT


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
