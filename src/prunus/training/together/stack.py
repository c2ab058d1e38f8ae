"""Several models of one structure as one model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from prunus.masks.masks import Masks
from prunus.masks.scope import canonical_parameters
from prunus.training.batches import Batch
from prunus.training.together.linear import StackedLinear, StackedParameter

Loss = Callable[[Tensor, Tensor], Tensor]
ALIKE = (nn.Flatten, nn.Identity, nn.ReLU)  # round no element otherwise at the end of a tensor than in its middle


@final
class Beside(nn.Module):
    """Modules next to one another, each for its share of the batch: what has no stacked form of its own.

    Args:
        members: one of each model.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *arguments: Any, **keywords: Any) -> Tensor:
        """Every tensor is cut into shares along its first dimension, and the outputs are joined along it."""
        count = len(self.members)
        positional = [_shares(each, count) for each in arguments]
        named = {name: _shares(each, count) for name, each in keywords.items()}
        outputs = [
            member(*(each[number] for each in positional), **{name: each[number] for name, each in named.items()})
            for number, member in enumerate(self.members)
        ]
        return torch.cat(outputs)


@final
class Stack:
    """Models of one structure as one model, which takes fewer operations than one after the other.

    The batch of each model follows that of the one before: with K models and batches of B examples, the inputs are
    (K·B, …). What treats examples one by one need not know of this. Linear layers are one batched product; every other
    module with parameters or buffers of its own computes share by share, and so do activations but for ReLU, of which
    kernels compute the last elements of a tensor, fewer than fill a register, otherwise than the rest.

    While the stack exists, the parameters of its models are its own, or views of them, so that each model can be
    looked at at any time; ``release`` gives them back memory of their own.

    Args:
        models: of equal structure; see ``structure`` and ``computes_the_same``.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.models = tuple(models)
        replacements: dict[int, Any] = {}
        counted = Counter(id(each) for _, each in models[0].named_parameters(remove_duplicate=False))
        _replace(self.models, {each for each, times in counted.items() if times > 1}, replacements)
        self.model: nn.Module = copy.deepcopy(models[0], replacements)

    def masks(self, masks: Sequence[Masks | None]) -> Masks | None:
        """The masks of each model as those of the stack; None where there are none."""
        if not any(masks):
            return None
        owners = {
            id(parameter): (number, name)
            for number, model in enumerate(self.models)
            for name, parameter in canonical_parameters(model).items()
        }
        views = {id(module.whole): module.views for module in self._stacked_parameters() if module.views}
        found = {}
        for name, parameter in canonical_parameters(self.model).items():
            if id(parameter) in views:
                places = [owners[id(view)] for view in views[id(parameter)]]
                found[name] = torch.stack([_mask(masks, place, parameter[0]) for place in places])
            else:
                found[name] = _mask(masks, owners[id(parameter)], parameter)
        return Masks.owning({name: mask for name, mask in found.items() if not bool(mask.all())})

    def losses(self, batches: Sequence[Batch], loss: Loss) -> Sequence[Tensor]:
        """The loss of each model on its batch; all batches are of one size."""
        outputs = self.model(torch.cat([inputs for inputs, _ in batches]))
        return [loss(own, targets) for own, (_, targets) in zip(outputs.chunk(len(batches)), batches, strict=True)]

    def share_gradients(self) -> None:
        """Let the models' parameters have their gradients, as views where they are views themselves."""
        for module in self._stacked_parameters():
            if module.views and module.whole.grad is not None:
                for view, gradient in zip(module.views, module.whole.grad, strict=True):
                    view.grad = gradient

    def release(self) -> None:
        """Give the models memory of their own."""
        for module in self._stacked_parameters():
            module.release()
        for model in self.models:
            model.zero_grad()

    def _stacked_parameters(self) -> list[StackedParameter]:
        return [module for module in self.model.modules() if isinstance(module, StackedParameter)]


def structure(model: nn.Module) -> str:
    """What models of one stack have in common."""
    tensors = [
        (name, tuple(each.shape), each.dtype, each.device, each.requires_grad)
        for name, each in (*model.named_parameters(remove_duplicate=False), *model.named_buffers())
    ]
    return f"{model}{tensors}"


def parameter_modules(model: nn.Module) -> Iterator[nn.Module]:
    """The modules with parameters of their own."""
    return (module for module in model.modules() if any(True for _ in module.parameters(recurse=False)))


def _replace(members: Sequence[nn.Module], shared: set[int], replacements: dict[int, Any]) -> None:
    first = members[0]
    own = [*first.parameters(recurse=False), *first.buffers(recurse=False)]
    if type(first) is nn.Linear and not shared & {id(each) for each in own}:
        replacements[id(first)] = StackedLinear(cast(Sequence[nn.Linear], members))
    elif own or (not [*first.children()] and type(first) not in ALIKE):
        replacements[id(first)] = Beside(members)
    else:
        for name, _ in first.named_children():
            _replace([member.get_submodule(name) for member in members], shared, replacements)


def _shares(value: Any, count: int) -> Sequence[Any]:
    return value.chunk(count) if isinstance(value, Tensor) else [value] * count


def _mask(masks: Sequence[Masks | None], place: tuple[int, str], like: Tensor) -> Tensor:
    number, name = place
    of_model = masks[number]
    if of_model is None or name not in of_model:
        return torch.ones_like(like, dtype=torch.bool)
    return of_model[name].to(like.device)
