"""2:4 sparse weights as torch's semi-structured tensors, for the sparse cores of NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.sparse import (
    SparseSemiStructuredTensor,
    SparseSemiStructuredTensorCUSPARSELT,
    SparseSemiStructuredTensorCUTLASS,
    to_sparse_semi_structured,
)

from prunus.errors import ArgumentError, MaskError
from prunus.masks.masks import Masks
from prunus.masks.scope import unwrapped

KEEP, OF = 2, 4


def to_semi_structured(model: nn.Module, masks: Masks) -> list[str]:
    """Replace the 2:4 weights of linear layers by semi-structured tensors, in place: half the memory, sparse products.

    For inference: the new weights require no gradient, and ``state_dict`` holds them in torch's own layout; save the
    model before, by ``prunus.save``. The products are those of the dense weights within the rounding of the dtype.

    Args:
        model: on a CUDA device with sparse cores (compute capability 8.0 or later), in float16, bfloat16 or int8.
        masks: of the pattern ``"2:4"``, applied to the model.

    Returns:
        the names of the weights that were replaced: those of linear layers whose shape the kernels take, the others
        staying dense.

    Raises:
        ArgumentError: a weight is not on a CUDA device, or of a dtype without such kernels.
        MaskError: the masks do not fit the model, a mask keeps more than two of four neighbours along the inputs, or a
            removed weight is not zero. Nothing is replaced then.
    """
    parameters = masks.parameters_of(model)
    layers = {f"{name}.weight": each for name, each in unwrapped(model).named_modules() if type(each) is nn.Linear}
    chosen = {name: parameters[name] for name in masks if name in layers}
    for name, weight in chosen.items():
        _require_pattern(name, weight, masks[name])
    for name, weight in chosen.items():
        _require_kernels(name, weight)
    fitting = [name for name, weight in chosen.items() if _fits(weight)]
    for name in fitting:
        sparse = to_sparse_semi_structured(chosen[name].detach().contiguous())
        layers[name].weight = nn.Parameter(sparse, requires_grad=False)
    return fitting


def _require_pattern(name: str, weight: Tensor, mask: Tensor) -> None:
    if mask.shape[1] % OF or bool((mask.unflatten(1, (-1, OF)).sum(2) > KEEP).any()):
        raise MaskError(f"the mask of {name!r} keeps more than {KEEP} of {OF} neighbouring inputs: prune to 2:4 first")
    if bool(weight.detach()[~mask.to(weight.device)].any()):
        raise MaskError(f"{name!r} has weights that its mask removes: apply the masks first")


def _require_kernels(name: str, weight: Tensor) -> None:
    if not weight.is_cuda:
        raise ArgumentError(f"{name!r} is on {weight.device}: semi-structured products need a CUDA device")
    if weight.dtype not in _constraints():
        known = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in _constraints()))
        raise ArgumentError(f"{name!r} is {weight.dtype}, for which there are no such kernels: there are for {known}")


def _fits(weight: Tensor) -> bool:
    """Whether the kernels take the shape: whole tiles of rows and columns."""
    least = _constraints()[weight.dtype]
    rows, columns = weight.shape
    return rows % least.sparse_min_rows == 0 and columns % least.sparse_min_cols == 0


def _constraints() -> Mapping[torch.dtype, Any]:
    """Dtype → tile of the kernels that torch would use."""
    if SparseSemiStructuredTensor._FORCE_CUTLASS:
        return SparseSemiStructuredTensorCUTLASS._DTYPE_SHAPE_CONSTRAINTS
    return SparseSemiStructuredTensorCUSPARSELT._DTYPE_SHAPE_CONSTRAINTS
