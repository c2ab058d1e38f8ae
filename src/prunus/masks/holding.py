"""Holding masks: removed weights stay exactly 0.0 while any optimizer trains the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, final

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

# Each weight's update depends on that weight's own gradient and state alone, and is zero where both are: once the
# state is clean, masked gradients keep it clean. Every other optimizer has its state cleared after every step.
ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
)


@final
class Holding:
    """Keeps removed weights at exactly 0.0 (never −0.0) while a model trains.

    Inside the ``with`` block, after every ``optimizer.step()`` the removed weights are 0.0 and so is everything of
    their shape that the optimizer remembers about them (momentum, Adam's moments). Their gradients are cleared as
    they are accumulated, so clipping by norm, weight decay and the scaling of mixed precision do not see them. The
    model keeps its class, its forward, its parameters and its state-dict keys. After the block, the weights are as
    the last step left them and nothing holds them.

    Args:
        masks: what stays.
        model: the model, plain, compiled or wrapped.
        optimizer: one, several, or None for all that step inside the block, also one that is made there.

    Raises:
        MaskError: the masks do not fit the model, or an optimizer updates none of their parameters.
    """

    def __init__(self, masks: Masks, model: nn.Module, optimizer: Optimizer | Iterable[Optimizer] | None) -> None:
        self._optimizers = _listed(optimizer)
        self._model = model
        self._masks = masks
        self._held = _held_parameters(masks, model)
        for each in self._optimizers or ():
            if not any(parameter in self._held for parameter in _parameters(each)):
                raise MaskError(f"the {type(each).__name__} optimizer updates none of the masked parameters")
        self._handles: list[Any] = []

    @property
    def masks(self) -> Masks:
        """What stays now."""
        return self._masks

    def __enter__(self) -> Self:
        if not self._handles:
            self._register()
            self._clear_everything()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def replace(self, masks: Masks) -> None:
        """Hold other masks from now on; what they remove is cleared at once, what they add starts from 0.0.

        Raises:
            MaskError: the masks do not fit the model.
        """
        active = bool(self._handles)
        held = _held_parameters(masks, self._model)
        self.__exit__(None, None, None)
        self._masks, self._held = masks, held
        if active:
            self.__enter__()

    def _register(self) -> None:
        for parameter, held in self._held.items():
            if parameter.requires_grad:
                self._handles.append(parameter.register_post_accumulate_grad_hook(held.clear_gradient))
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
            if isinstance(optimizer, torch.optim.LBFGS):
                optimizer.state.clear()  # its memory mixes all weights in flat vectors: it starts afresh
            for parameter, held in self._held.items():
                held.clear_state(optimizer.state.get(parameter, {}))

    @torch.no_grad()
    def _before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        for parameter in _parameters(optimizer):
            if parameter in self._held:
                self._held[parameter].clear_changed_gradient(parameter)

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        trusted = type(optimizer) in ELEMENTWISE
        for parameter in _parameters(optimizer):
            held = self._held.get(parameter)
            if held is not None:
                held.clear(parameter)
                held.forget_gradient()
                state = optimizer.state.get(parameter, {})
                if not trusted or not held.knows(state):
                    held.clear_state(state)


class _HeldParameter:
    """The mask of one parameter as words of bits: all ones where a weight stays, all zeros where it goes.

    A bitwise AND writes +0.0 whatever stood there (−0.0, infinities and NaN too) at the speed of a multiplication,
    twelve times that of ``masked_fill_``.
    """

    def __init__(self, mask: Tensor, like: Tensor) -> None:
        self._mask = mask.to(like.device)
        self._words: dict[int, Tensor] = {}
        self._like = like
        self._seen: tuple[Tensor, int] | None = None
        self._state: tuple[Tensor, ...] = ()

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
            self._seen = (gradient, gradient._version)

    def clear_changed_gradient(self, parameter: Tensor) -> None:
        """Clear the gradient unless it is the tensor last cleared and nobody wrote to it since."""
        gradient = parameter.grad
        if self._seen is None or gradient is not self._seen[0] or gradient._version != self._seen[1]:
            self.clear_gradient(parameter)

    def forget_gradient(self) -> None:
        """Let go of the gradient, so that its memory can be freed."""
        self._seen = None

    def clear_state(self, state: Mapping[str, Any]) -> None:
        """Clear all that an optimizer keeps for each weight, and remember those tensors."""
        self._state = self._tensors(state)
        for tensor in self._state:
            self.clear(tensor)

    def knows(self, state: Mapping[str, Any]) -> bool:
        """Whether the optimizer still keeps exactly the tensors that were cleared last."""
        tensors = self._tensors(state)
        return len(tensors) == len(self._state) and all(
            now is then for now, then in zip(tensors, self._state, strict=True)
        )

    def _tensors(self, state: Mapping[str, Any]) -> tuple[Tensor, ...]:
        shape = self._mask.shape
        return tuple(value for value in state.values() if isinstance(value, Tensor) and value.shape == shape)

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
