"""Holding masks: removed weights stay exactly 0.0 while any optimizer trains the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from prunus.errors import MaskError
from prunus.masks.masks import Masks

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# Each weight's update depends on that weight, its gradient and its state alone, and is zero where they are: clean
# before a step, the state is clean after it. Every other optimizer has its state cleared after every step.
ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
)

LEAST_EPS = 1e-30  # below it, eps is lost in single precision, and zero by zero is no number
WIDE_RANGE = (torch.float32, torch.float64, torch.bfloat16)  # in half precision eps is lost too
CLEAR_EVERY = 8  # steps after which weights are cleared even where nothing seems to have written to them


@final
class Holding:
    """Keeps removed weights at exactly 0.0 (never −0.0) while a model trains.

    Inside the ``with`` block, after every ``optimizer.step()`` the removed weights are 0.0 and so is everything of
    their shape that the optimizer remembers about them (momentum, Adam's moments). Their gradients are cleared as
    they are accumulated, so clipping by norm, weight decay and the scaling of mixed precision do not see them. The
    model keeps its class, its forward, its parameters and its state-dict keys. After the block, the weights are as
    the last step left them and nothing holds them.

    Weights, gradients and optimizer state that are overwritten by hand inside the block are cleared at the next step.
    Only of what is written through ``.data`` torch keeps no count: weights that are overwritten so are cleared within
    ``CLEAR_EVERY`` steps and when the block is left, gradients and state are not.

    Args:
        masks: what stays.
        model: the model, plain, compiled or wrapped.
        optimizer: one, several, or None for all that step inside the block, also one that is made there.

    Raises:
        MaskError: the masks do not fit the model, or an optimizer updates none of their parameters; on leaving the
            block, its parameters were replaced by others meanwhile.
    """

    def __init__(self, masks: Masks, model: nn.Module, optimizer: Optimizer | Iterable[Optimizer] | None) -> None:
        self._optimizers = _listed(optimizer)
        self._model = model
        self._masks = masks
        self._held = _held_parameters(masks, model)
        for each in self._optimizers or ():
            if not any(parameter in self._held for parameter in _parameters(each)):
                raise MaskError(f"the {type(each).__name__} optimizer updates none of the masked parameters")
        self._met: WeakKeyDictionary[Optimizer, _Pairs] = WeakKeyDictionary()
        self._handles: list[Any] = []
        self._depth = 0

    @property
    def masks(self) -> Masks:
        """What stays now."""
        return self._masks

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self._register()
            self._clear_everything()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        self._clear_weights()
        self._release()
        if kind is None and set(self._masks.parameters_of(self._model).values()) != set(self._held):
            raise MaskError(
                "the model's parameters were replaced inside the block (by load_state_dict(assign=True)?), so the new "
                "ones were not held: hold again after replacing them"
            )

    def replace(self, masks: Masks) -> None:
        """Hold other masks from now on; what they remove is cleared at once, what they add starts from 0.0.

        Raises:
            MaskError: the masks do not fit the model.
        """
        held = _held_parameters(masks, self._model)
        self._release()
        self._masks, self._held = masks, held
        if self._depth:
            self._register()
            self._clear_everything()

    @torch.no_grad()
    def _clear_weights(self) -> None:
        for parameter, held in self._held.items():
            held.clear(parameter)

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._met.clear()

    def _register(self) -> None:
        for parameter, held in self._held.items():
            if parameter.is_floating_point():
                trained = parameter.requires_grad
                parameter.requires_grad_(True)  # torch refuses the hook otherwise, and training may thaw it later
                self._handles.append(parameter.register_post_accumulate_grad_hook(held.clear_gradient))
                parameter.requires_grad_(trained)
        if self._optimizers is None:
            self._handles.append(register_optimizer_step_pre_hook(self._before_step))
            self._handles.append(register_optimizer_step_post_hook(self._after_step))
        for optimizer in self._optimizers or ():
            self._handles.append(optimizer.register_step_pre_hook(self._before_step))
            self._handles.append(optimizer.register_step_post_hook(self._after_step))

    @torch.no_grad()
    def _clear_everything(self) -> None:
        for parameter, held in self._held.items():
            held.clear(parameter)
            held.clear_gradient(parameter)
        for optimizer in self._optimizers or ():
            self._meet(optimizer)

    def _meet(self, optimizer: Optimizer) -> _Pairs:
        """Pair the optimizer's parameters with their masks, and clear what it remembers of them."""
        parameters = list(_parameters(optimizer))
        held = [(parameter, self._held[parameter]) for parameter in parameters if parameter in self._held]
        if held and isinstance(optimizer, torch.optim.LBFGS):
            optimizer.state.clear()  # its memory mixes all weights in flat vectors: it starts afresh
        for parameter, each in held:
            each.clear_state(optimizer.state.get(parameter, {}))
        self._met[optimizer] = _Pairs(len(parameters), held)
        return self._met[optimizer]

    def _pairs(self, optimizer: Optimizer) -> list[tuple[Tensor, _HeldParameter]]:
        met = self._met.get(optimizer)
        if met is None or met.parameters != sum(len(group["params"]) for group in optimizer.param_groups):
            met = self._meet(optimizer)
        return met.held

    @torch.no_grad()
    def _before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        for parameter, held in self._pairs(optimizer):
            held.clear_changed(parameter, optimizer.state.get(parameter, {}))

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: Sized, kwargs: Sized) -> None:
        # A closure may write gradients by hand, after the hook before the step has looked at them.
        trusted = (
            type(optimizer) in ELEMENTWISE
            and len(args) == 1
            and not kwargs
            and all(group.get("eps", 1) > LEAST_EPS for group in optimizer.param_groups)
        )
        for parameter, held in self._pairs(optimizer):
            held.clear_stepped(parameter, optimizer.state.get(parameter, {}), trusted)


@dataclass(frozen=True)
class _Pairs:
    """What an optimizer updates of what is held.

    Attributes:
        parameters: how many it updates in all; when that changes, the pairs are made anew.
        held: parameter and mask of each that is held.
    """

    parameters: int
    held: list[tuple[Tensor, _HeldParameter]]


class _HeldParameter:
    """The mask of one parameter as words of bits: all ones where a weight stays, all zeros where it goes.

    A bitwise AND writes +0.0 whatever stood there (−0.0, infinities and NaN too) at the speed of a multiplication,
    twelve times that of ``masked_fill_``.
    """

    def __init__(self, mask: Tensor, like: Tensor) -> None:
        self._mask = mask.to(like.device)
        self._words: dict[int, Tensor] = {}
        self._like = like
        self._weight_version = -1
        self._clean = False
        self._steps = 0
        self._gradient: tuple[Tensor, int] | None = None
        self._state: list[tuple[str, Tensor, int]] = []
        self._state_size = 0

    def clear(self, tensor: Tensor) -> None:
        """Write 0.0 where the mask removes."""
        if type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and not tensor.is_complex():
            words = self._words_of(tensor.element_size())
            tensor.detach().view(words.dtype).bitwise_and_(words)
        else:
            tensor.masked_fill_(~self._mask, 0.0)

    @torch.no_grad()
    def clear_gradient(self, parameter: Tensor) -> None:
        """Clear the parameter's gradient and remember that it is clean."""
        gradient = parameter.grad
        if gradient is not None and gradient.layout == torch.strided:
            self.clear(gradient)
            self._gradient = (gradient, gradient._version)

    def clear_state(self, state: Mapping[str, Any]) -> None:
        """Clear all that an optimizer keeps for each weight."""
        for _, tensor in self._tensors(state):
            self.clear(tensor)

    def clear_changed(self, parameter: Tensor, state: Mapping[str, Any]) -> None:
        """Clear the weight, its gradient and its state before a step, each where it is not as it was last cleared."""
        last, gradient = self._gradient, parameter.grad
        self._clean = parameter._version == self._weight_version and parameter.dtype in WIDE_RANGE
        if not self._clean:
            self.clear(parameter)
        if gradient is not None and gradient.layout != torch.strided:
            self._clean = False  # a sparse gradient is not cleared
        if gradient is not None and (last is None or gradient is not last[0] or gradient._version != last[1]):
            self.clear_gradient(parameter)
        if not self._knows(state) or any(tensor._version != version for _, tensor, version in self._state):
            self.clear_state(state)

    def clear_stepped(self, parameter: Tensor, state: Mapping[str, Any], trusted: bool) -> None:
        """Clear the weight and its state after a step, unless the optimizer is trusted to have left them clean."""
        self._steps += 1
        last, gradient = self._gradient, parameter.grad
        # Another hook may have written to the gradient after ours had looked at it.
        trusted = trusted and (
            gradient is None or (last is not None and gradient is last[0] and gradient._version == last[1])
        )
        if not trusted or not self._clean or self._steps % CLEAR_EVERY == 0:
            self.clear(parameter)
        if not trusted:
            self.clear_state(state)
        self._weight_version = parameter._version
        self._gradient = None  # so that its memory can be freed
        tensors = [each[:2] for each in self._state] if self._knows(state) else self._tensors(state)
        self._state = [(key, tensor, tensor._version) for key, tensor in tensors]
        self._state_size = len(state)

    def _knows(self, state: Mapping[str, Any]) -> bool:
        """Whether the state still holds the very tensors that it held after the last step."""
        return len(state) == self._state_size and all(state.get(key) is tensor for key, tensor, _ in self._state)

    def _tensors(self, state: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
        shape = self._mask.shape
        return [
            (key, value)
            for key, value in state.items()
            if isinstance(value, Tensor) and value.shape == shape and value.layout == torch.strided
        ]

    def _words_of(self, size: int) -> Tensor:
        if size not in self._words:
            words = torch.empty_like(self._like, dtype=_WORDS[size], requires_grad=False)
            self._words[size] = words.fill_(-1).masked_fill_(~self._mask, 0)
        return self._words[size]


def _held_parameters(masks: Masks, model: nn.Module) -> dict[Tensor, _HeldParameter]:
    return {
        parameter: _HeldParameter(masks[name], parameter.detach())
        for name, parameter in masks.parameters_of(model).items()
    }


def _listed(optimizer: Optimizer | Iterable[Optimizer] | None) -> list[Optimizer] | None:
    if optimizer is None:
        return None
    several = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
    return [_unwrapped(each) for each in several]


def _unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimizer that steps: Accelerate wraps it in one that subclasses Optimizer but runs no hooks."""
    inner = getattr(optimizer, "optimizer", None)
    return _unwrapped(inner) if isinstance(inner, Optimizer) else optimizer


def _parameters(optimizer: Optimizer) -> Iterable[Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
