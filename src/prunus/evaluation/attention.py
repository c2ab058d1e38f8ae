"""How attention passes a signal on.

The values always pass, for the softmax is nowhere zero; a query passes where its key is alive, and a key where its
query is. Masks over positions are left out: they cut no channel.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunus.evaluation.signals import Signals, Unfollowable, support


def scaled_dot_product_attention(
    mode: Signals,
    func: Any,
    /,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Handle the function of that name: shapes (…, L, E), (…, S, E), (…, S, V) → (…, L, V)."""
    _refuse_learnt(attn_mask)
    if enable_gqa:
        repeats = query.size(-3) // key.size(-3)
        key = mode.inherit(key.repeat_interleave(repeats, -3), key)
        value = mode.inherit(value.repeat_interleave(repeats, -3), value)
    return _attended(mode, query, key, value)[0]


def multi_head_attention(mode: Signals, func: Any, /, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """Handle ``torch.nn.functional.multi_head_attention_forward``: (L, N, E) or (L, E) → outputs and weights."""
    bound = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    unusual = ("bias_k", "bias_v", "static_k", "static_v")
    if given["add_zero_attn"] or any(given[name] is not None for name in unusual):
        raise Unfollowable("its attention adds keys of its own")
    _refuse_learnt(given["attn_mask"])
    batched = given["query"].dim() == 3
    heads = [
        _heads(mode, _projected(mode, given, index, name, batched), given["num_heads"])
        for index, name in enumerate(("query", "key", "value"))
    ]
    attended, weights = _attended(mode, *heads)
    joined = attended.permute(2, 0, 1, 3).flatten(2)
    result = mode.multiply(F.linear, joined, given["out_proj_weight"])
    result = mode.shift(result, given["out_proj_bias"])
    if given["average_attn_weights"]:
        weights = support(weights.sum(1))
    if not batched:
        result, weights = result.squeeze(1), weights.squeeze(0)
    return result, weights if given["need_weights"] else None


def _projected(mode: Signals, given: dict[str, Any], index: int, name: str, batched: bool) -> Tensor:
    inputs: Tensor = given[name]
    inputs = inputs if batched else mode.inherit(inputs.unsqueeze(1), inputs)
    if given["use_separate_proj_weight"]:
        weight = given[f"{name[0]}_proj_weight"]
    else:
        weight = _third(mode, given["in_proj_weight"], index)
    outputs = mode.multiply(F.linear, inputs, weight)
    bias = given["in_proj_bias"]
    return outputs if bias is None else mode.shift(outputs, _third(mode, bias, index))


def _third(mode: Signals, packed: Tensor, index: int) -> Tensor:
    part: Tensor = mode.inherit(packed.chunk(3)[index], packed)
    return part


def _heads(mode: Signals, inputs: Tensor, heads: int) -> Tensor:
    """(L, N, E) → (N, heads, L, E / heads)."""
    split: Tensor = mode.inherit(inputs.unflatten(2, (heads, -1)).permute(1, 2, 0, 3), inputs)
    return split


def _attended(mode: Signals, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    transposed = mode.inherit(key.transpose(-2, -1), key)
    weights = mode.open(mode.multiply(torch.matmul, query, transposed))
    return mode.multiply(torch.matmul, weights, value), weights


def _refuse_learnt(mask: Tensor | None) -> None:
    if mask is not None and mask.requires_grad:
        raise Unfollowable("its attention has a learnt bias")
