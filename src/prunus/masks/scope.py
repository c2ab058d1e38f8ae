"""Which parameters a mask may cover."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.swa_utils import AveragedModel

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

WRAPPED = ("_orig_mod", "_original_module")  # what torch.compile and Lightning Fabric call the module inside theirs


@dataclass(frozen=True)
class Scope:
    """What to prune, by module type and by name.

    Attributes:
        include: patterns (``*``, ``?``, ``[…]``) of module or parameter names; all where empty. A pattern that
            matches a module stands for that module's weights; only a pattern that matches no module is compared
            with parameter names, and then takes what it names, biases and normalisation layers included.
        exclude: patterns of module or parameter names to leave out, with all that is in them. A tied parameter goes
            by each of its names.
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
            ScopeError: a pattern or type matches nothing, nothing is left to prune, or a weight is complex.
        """
        everything = canonical_parameters(model)
        for name, parameter in everything.items():
            if isinstance(parameter, UninitializedParameter) or parameter.is_meta:
                raise ScopeError(f"{name!r} has no values yet: materialise the model (run it once) before pruning")
        weights = _prunable_weights(model, self.types)
        names = _Names.of(model)
        chosen = set(weights) if not self.include else set()
        for pattern in self.include:
            chosen |= self._included(pattern, names, weights)
        for pattern in self.exclude:
            chosen -= names.parameters_in(pattern) if names.modules_of(pattern) else names.parameters_of(pattern)
        for name, parameter in everything.items():
            if name in chosen and parameter.is_complex():
                raise ScopeError(
                    f"{name!r} is {parameter.dtype}, and only real weights can be ranked: exclude it, or keep "
                    "its real and its imaginary part as parameters of their own"
                )
        selected = {
            name: parameter
            for name, parameter in everything.items()
            if name in chosen and parameter.numel() and parameter.is_floating_point()
        }
        if not selected:
            raise ScopeError(
                f"nothing to prune: of the {len(everything)} parameters of {type(unwrapped(model)).__name__} "
                f"none is in scope ({self}); name some with include=['pattern']"
            )
        return selected

    def _included(self, pattern: str, names: _Names, weights: set[str]) -> set[str]:
        by_module = bool(names.modules_of(pattern))
        found = names.parameters_in(pattern) & weights if by_module else names.parameters_of(pattern)
        if not found:
            raise ScopeError(
                f"nothing to prune in {pattern!r}: it names no weight of a prunable module"
                + (f" of the types {', '.join(self.types)}" if self.types else "")
                + "; to prune other parameters, name those, such as 'norm.weight'"
            )
        return found


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module inside ``torch.compile``, data-parallel wrappers, averages, and Fabric's wrapper."""
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel | AveragedModel):
        return unwrapped(model.module)
    inner = next((model._modules[name] for name in WRAPPED if name in model._modules), None)
    return model if inner is None else unwrapped(inner)


def canonical_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name → parameter as in ``named_parameters()`` of the plain model, without the wrappers' prefixes."""
    return {plain_name(name): parameter for name, parameter in unwrapped(model).named_parameters()}


def plain_name(name: str) -> str:
    """The name without the parts that ``torch.compile`` puts into it."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


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
        if fits:
            _refuse_derived(module)
        for own_name, parameter in module.named_parameters(recurse=False):
            if embeds:
                unwanted.add(names[id(parameter)])
            elif fits and parameter.dim() >= 2 and not own_name.startswith("bias"):  # attention's have three
                wanted.add(names[id(parameter)])
    return wanted - unwanted


def _refuse_derived(module: nn.Module) -> None:
    """Refuse a layer with a weight computed from other parameters: zeros in these are no zeros in the weight."""
    derived = [name for name in getattr(module, "parametrizations", ()) if is_parametrized(module, name)]
    stems = {name.removesuffix("_g") for name in module._parameters if name.endswith("_g")}
    derived += [name for name in stems if f"{name}_v" in module._parameters]  # by the weight_norm of old
    weights = [name for name in sorted(derived) if "bias" not in name]
    if weights:
        raise ScopeError(
            f"the {weights[0]} of a {type(module).__name__} is derived from other parameters (weight_norm or another "
            "parametrization): remove the parametrization before pruning"
        )


@dataclass(frozen=True)
class _Names:
    """What a pattern can match.

    Attributes:
        modules: names of all modules but the model itself.
        parameters: every name of every parameter → its canonical name.
    """

    modules: dict[str, None]
    parameters: dict[str, str]

    @classmethod
    def of(cls, model: nn.Module) -> _Names:
        canonical = {id(parameter): name for name, parameter in canonical_parameters(model).items()}
        modules = unwrapped(model).named_modules(remove_duplicate=False)
        parameters = unwrapped(model).named_parameters(remove_duplicate=False)
        return cls(
            {plain_name(name): None for name, _ in modules if plain_name(name)},
            {plain_name(name): canonical[id(parameter)] for name, parameter in parameters},
        )

    def modules_of(self, pattern: str) -> list[str]:
        return fnmatch.filter(self.modules, pattern)

    def parameters_in(self, pattern: str) -> set[str]:
        """The parameters that lie in a module whose name matches."""
        inside = tuple(f"{name}." for name in self.modules_of(pattern))
        return {canonical for name, canonical in self.parameters.items() if name.startswith(inside)}

    def parameters_of(self, pattern: str) -> set[str]:
        """The parameters whose own name matches."""
        found = {self.parameters[name] for name in fnmatch.filter(self.parameters, pattern)}
        if not found:
            raise ScopeError(unknown_name("module or parameter", pattern, {**self.modules, **self.parameters}))
        return found
