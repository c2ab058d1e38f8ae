"""How each operator passes a signal on: the table that the connectivity of a network is read with.

A handler takes the mode, the function that was called and its arguments, and returns the support of the result. A
function that is not in the table cannot be followed.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunus.evaluation.attention import multi_head_attention, scaled_dot_product_attention
from prunus.evaluation.signals import Handler, Signals, Unfollowable, support


def _identity(mode: Signals, func: Any, /, values: Any, *_: Any, **__: Any) -> Tensor:
    return _activation(values)


def _open(mode: Signals, func: Any, /, values: Any, *_: Any, **__: Any) -> Tensor:
    return mode.open(_activation(values))


def _moved(mode: Signals, func: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Elements change their place, not their value."""
    return func(*args, **kwargs)


def _gathered(mode: Signals, func: Any, /, *args: Any, **kwargs: Any) -> Tensor:
    """Sums and means."""
    return support(func(*args, **kwargs))


def _joined(mode: Signals, func: Any, /, parts: Sequence[Tensor], *args: Any, **kwargs: Any) -> Tensor:
    prepare = mode.term if any(mode.is_signal(part) for part in parts) else mode.factor
    result: Tensor = func([prepare(part) for part in parts], *args, **kwargs)
    return result


def _cast(mode: Signals, func: Any, /, values: Any, *args: Any, **kwargs: Any) -> Tensor:
    dtypes = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.dtype)]
    if not all(dtype.is_floating_point for dtype in dtypes):
        raise Unfollowable(f"it turns a signal into {dtypes[0]}")
    return _activation(values)


def _added(mode: Signals, func: Any, /, first: Any, second: Any, *, alpha: float = 1) -> Tensor:
    if not _in_place(func):
        return mode.add(first, second)  # a difference too: two signals do not cancel for every input
    return _activation(first).add_(mode.term(second) if mode.is_signal(first) else mode.factor(second))


def _multiplied(mode: Signals, func: Any, /, first: Any, second: Any) -> Tensor:
    if not _in_place(func):
        return mode.multiply(torch.mul, first, second)
    if mode.is_signal(first) and mode.is_signal(second):
        raise Unfollowable("it multiplies two signals in place")
    return _activation(first).mul_(mode.factor(second))


def _divided(mode: Signals, func: Any, /, first: Any, second: Any, **_: Any) -> Tensor:
    if isinstance(second, Tensor) and second.requires_grad:
        raise Unfollowable("it divides by a signal or a parameter")
    if isinstance(second, Tensor) and not _in_place(func):
        return _activation(first) * torch.ones_like(second, dtype=torch.float32)
    return _activation(first)


def _power(mode: Signals, func: Any, /, base: Any, exponent: Any) -> Tensor:
    if not isinstance(exponent, int | float) or exponent == 0:
        raise Unfollowable("it raises to a power that is not a number other than 0")
    return _activation(base) if exponent > 0 else _normaliser(mode, func, base)


def _normaliser(mode: Signals, func: Any, /, values: Any, **_: Any) -> Tensor:
    """A statistic by which signals are divided connects nothing, as inside a normalisation."""
    return torch.ones_like(_activation(values)).detach()


def _product(mode: Signals, func: Any, /, first: Tensor, second: Tensor) -> Tensor:
    return mode.multiply(func, first, second)


def _shifted_product(mode: Signals, func: Any, /, shift: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return mode.shift(mode.multiply(torch.matmul, first, second), shift)


def _einsum(mode: Signals, func: Any, /, equation: str, *operands: Any) -> Tensor:
    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands
    if len(tensors) != 2:
        raise Unfollowable(f"it calls einsum with {len(tensors)} operands")
    return mode.multiply(partial(func, equation), *tensors)


def _linear(mode: Signals, func: Any, /, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return mode.shift(mode.multiply(func, inputs, weight), bias)


def _convolution(
    mode: Signals, func: Any, /, inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    def product(first: Tensor, second: Tensor) -> Tensor:
        result: Tensor = func(first, second, None, *args, **kwargs)
        return result

    return mode.shift(mode.multiply(product, inputs, weight), _per_channel(mode, bias, weight.dim() - 1))


def _embedding(mode: Signals, func: Any, /, indices: Tensor, table: Tensor, *_: Any, **__: Any) -> Tensor:
    if mode.is_signal(table):
        raise Unfollowable("it looks up rows of a signal")
    return support(mode.factor(table).sum(0)).expand(*indices.shape, -1)


def _normalised(mode: Signals, func: Any, /, *args: Any, **kwargs: Any) -> Tensor:
    if func not in _NORMALISATIONS:
        raise Unfollowable(f"it calls {func.__name__} other than by torch.nn.functional")
    given = inspect.signature(func).bind(*args, **kwargs).arguments
    values: Tensor = given["input"]
    weight, bias = given.get("weight"), given.get("bias")
    if func not in (F.layer_norm, F.rms_norm):
        channels = values.dim() - 1
        weight, bias = _per_channel(mode, weight, channels), _per_channel(mode, bias, channels)
    return mode.shift(values if weight is None else mode.multiply(torch.mul, values, weight), bias)


def _prelu(mode: Signals, func: Any, /, values: Tensor, slope: Tensor) -> Tensor:
    broadcast = _per_channel(mode, slope, values.dim() - 1) if slope.numel() > 1 else slope
    return mode.add(values, mode.multiply(torch.mul, values, broadcast))


def _pooled_maximum(
    mode: Signals, func: Any, /, inputs: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, **rest: Any
) -> Tensor:
    dilation = rest.get("dilation", 1)
    if rest.get("return_indices") or {dilation} - {1, (1,), (1, 1), (1, 1, 1)}:
        raise Unfollowable("it pools with dilation or asks for indices")
    average = getattr(F, func.__name__.replace("max", "avg"))
    return support(average(inputs, kernel_size, stride, padding, ceil_mode=rest.get("ceil_mode", False)))


def _adaptive_maximum(mode: Signals, func: Any, /, inputs: Tensor, size: Any, return_indices: bool = False) -> Tensor:
    if return_indices:
        raise Unfollowable("it asks for the indices of maxima")
    return support(getattr(F, func.__name__.replace("max", "avg"))(inputs, size))


def _maximum(mode: Signals, func: Any, /, values: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    return support(values.sum(dim, keepdim=keepdim))


def _interpolated(mode: Signals, func: Any, /, *args: Any, **kwargs: Any) -> Tensor:
    if "bicubic" in (*args, *kwargs.values()):
        raise Unfollowable("it interpolates with negative weights")
    return support(func(*args, **kwargs))


def _padded(mode: Signals, func: Any, /, *args: Any, **kwargs: Any) -> Tensor:
    given = inspect.signature(F.pad).bind(*args, **kwargs).arguments
    if given.get("value"):
        raise Unfollowable("it pads with a value that is not zero")
    result: Tensor = func(*args, **kwargs)
    return result


def _masked(mode: Signals, func: Any, /, values: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Masking by 0 cuts; a negative number, that a softmax follows, hides positions and cuts no channel."""
    if isinstance(value, Tensor) and (value.requires_grad or value.dim()):
        raise Unfollowable("it fills by a mask with a signal")
    if value > 0:
        raise Unfollowable("it fills by a mask with a positive number")
    if value == 0:
        return values * (mask == 0).to(values.dtype)
    return _activation(values)


def _chosen(mode: Signals, func: Any, /, condition: Tensor, first: Any, second: Any) -> Tensor:
    if isinstance(first, Tensor) and first.requires_grad:
        if isinstance(second, Tensor) and second.requires_grad:
            result: Tensor = func(condition, first, second)
            return result
        return _masked(mode, func, first, ~condition, second)
    return _masked(mode, func, second, condition, first)


def _activation(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise Unfollowable("a constant takes the place of a signal")
    return value


def _in_place(func: Any) -> bool:
    name: str = func.__name__
    return name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def _per_channel(mode: Signals, vector: Tensor | None, following: int) -> Tensor | None:
    """A vector over the second dimension of a batch, or the first of a single example, broadcastable."""
    if vector is None or mode.is_signal(vector):
        return vector
    column: Tensor = mode.inherit(vector.view(-1, *[1] * (following - 1)), vector)
    return column


_NORMALISATIONS = (F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm, F.rms_norm)

_FAMILIES: tuple[tuple[Handler, str], ...] = (
    (_identity, """relu relu_ relu6 gelu silu silu_ mish tanh tanh_ tanhshrink hardtanh hardtanh_ hardswish elu elu_
        selu celu leaky_relu leaky_relu_ rrelu softsign softshrink hardshrink erf sin tan atan asinh sinh expm1 log1p
        abs abs_ absolute neg neg_ negative sqrt square clamp clamp_ clamp_min clamp_max clip positive detach
        dropout dropout_ dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout"""),
    (_open, "sigmoid sigmoid_ hardsigmoid softmax log_softmax softmin softplus log_sigmoid logsigmoid exp cos cosh"),
    (_moved, """view view_as reshape reshape_as flatten unflatten ravel permute transpose swapaxes swapdims movedim
        moveaxis t T mT squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile chunk split
        split_with_sizes tensor_split unbind narrow select index_select __getitem__ roll flip rot90 contiguous clone
        tril triu diagonal pixel_shuffle pixel_unshuffle channel_shuffle unfold atleast_1d atleast_2d atleast_3d"""),
    (_gathered, "mean sum cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d fold"),
    (_joined, "cat concat concatenate stack hstack vstack"),
    (_cast, "to float double half bfloat16 type_as"),
    (_added, "add add_ sub sub_ subtract rsub __add__ __radd__ __sub__ __rsub__ __iadd__ __isub__"),
    (_multiplied, "mul mul_ multiply __mul__ __rmul__ __imul__"),
    (_divided, "div div_ divide true_divide __truediv__ __itruediv__"),
    (_power, "pow __pow__"),
    (_normaliser, "rsqrt"),
    (_product, "matmul __matmul__ mm bmm mv"),
    (_shifted_product, "addmm"),
    (_einsum, "einsum"),
    (_linear, "linear"),
    (_convolution, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    (_embedding, "embedding"),
    (_normalised, "batch_norm instance_norm group_norm layer_norm rms_norm"),
    (_prelu, "prelu"),
    (_pooled_maximum, "max_pool1d max_pool2d max_pool3d"),
    (_adaptive_maximum, "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"),
    (_maximum, "amax"),
    (_interpolated, "interpolate"),
    (_padded, "pad"),
    (_masked, "masked_fill"),
    (_chosen, "where"),
    (scaled_dot_product_attention, "scaled_dot_product_attention"),
    (multi_head_attention, "multi_head_attention_forward"),
)  # fmt: skip

HANDLERS: dict[str, Handler] = {name: handler for handler, names in _FAMILIES for name in names.split()}
