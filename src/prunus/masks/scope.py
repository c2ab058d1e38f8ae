"""Which parameters a mask may cover."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from prunus.errors import ScopeError
from prunus.lookup import unknown_name

PRUNABLE_MODULES: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)


@dataclass(frozen=True)
class Scope:
    """What to prune, by module type and by name.

    Attributes:
        include: patterns (``*``, ``?``, ``[…]``) of module or parameter names; all where empty. A pattern that
            matches a module stands for that module's weights; only a pattern that matches no module is compared
            with parameter names, and then takes what it names, biases and normalisation layers included.
        exclude: patterns of module or parameter names to leave out, with all that is in them.
        types: names of module classes, such as ``"Conv2d"``; all prunable ones where empty.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The model's parameters in scope, in the model's order.

        By default the weights (two dimensions or more) of linear, convolutional, recurrent and attention layers;
        never biases, normalisation layers and embeddings, nor a weight tied to an embedding, unless named.

        Raises:
            ScopeError: a pattern or type matches nothing, or nothing is left to prune.
        """
        everything = canonical_parameters(model)
        weights = _prunable_weights(model, self.types)
        chosen = set(weights) if not self.include else set()
        modules = {name: None for name, _ in unwrapped(model).named_modules() if name}
        for pattern in self.include:
            chosen |= _matched(pattern, modules, weights) or _matched_names(pattern, modules, everything)
        for pattern in self.exclude:
            chosen -= _matched(pattern, modules, everything) or _matched_names(pattern, modules, everything)
        found = {
            name: parameter
            for name, parameter in everything.items()
            if name in chosen and parameter.numel() and parameter.is_floating_point()
        }
        if not found:
            raise ScopeError(
                f"nothing to prune: of the {len(everything)} parameters of {type(unwrapped(model)).__name__} "
                f"none is in scope ({self}); name some with include=['pattern']"
            )
        return found


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module inside ``torch.compile`` and the data-parallel wrappers."""
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return unwrapped(model.module)
    inner = getattr(model, "_orig_mod", None)
    return unwrapped(inner) if isinstance(inner, nn.Module) else model


def canonical_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name → parameter as in ``named_parameters()`` of the plain model, without the wrappers' prefixes."""
    return {name.replace("_orig_mod.", ""): parameter for name, parameter in unwrapped(model).named_parameters()}


def _prunable_weights(model: nn.Module, types: Sequence[str]) -> set[str]:
    """Names of the weights of prunable modules, unless another module of another kind owns them too."""
    names = {id(parameter): name for name, parameter in canonical_parameters(model).items()}
    kinds = {type(module).__name__: None for module in unwrapped(model).modules()}
    for kind in types:
        if kind not in kinds:
            raise ScopeError(unknown_name("module type of this model", kind, kinds))
    wanted: set[str] = set()
    unwanted: set[str] = set()
    for module in unwrapped(model).modules():
        fits = isinstance(module, PRUNABLE_MODULES) and (not types or type(module).__name__ in types)
        embeds = isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for parameter in module.parameters(recurse=False):
            if embeds:
                unwanted.add(names[id(parameter)])
            elif fits and parameter.dim() >= 2:
                wanted.add(names[id(parameter)])
    return wanted - unwanted


def _matched(pattern: str, modules: Mapping[str, None], parameters: Mapping[str, object] | set[str]) -> set[str]:
    """Those of ``parameters`` that lie in a module whose name matches."""
    inside = tuple(f"{name}." for name in fnmatch.filter(modules, pattern))
    return {name for name in parameters if name.startswith(inside)} if inside else set()


def _matched_names(pattern: str, modules: Mapping[str, None], parameters: Mapping[str, object]) -> set[str]:
    found = set(fnmatch.filter(parameters, pattern))
    if not found and not fnmatch.filter(modules, pattern):
        raise ScopeError(unknown_name("module or parameter", pattern, {**modules, **parameters}))
    return found
