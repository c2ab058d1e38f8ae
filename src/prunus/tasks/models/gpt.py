"""A small decoder-only transformer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunus.errors import ArgumentError


class Attention(nn.Module):
    """Causal self-attention: every token sees itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, width) → (N, T, width)."""
        split = (self.heads, tokens.shape[-1] // self.heads)
        query, key, value = (
            layer(tokens).unflatten(-1, split).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then two linear layers around GELU; each normalised before and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, width) → (N, T, width)."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.contract(functional.gelu(self.expand(self.norm2(tokens))))


class GPT(nn.Module):
    """Token and position embeddings, ``depth`` blocks, a last normalisation, logits over the vocabulary.

    Weights begin N(0, 0.02²), those that write into the residual stream divided by √(2 · depth), biases at 0.
    The last layer has weights of its own, without bias.

    Args:
        vocabulary: the number of tokens.
        context: the longest sequence, in tokens.
        width: the length of a token's vector, a multiple of ``heads``.
        depth: the number of blocks.
        heads: the number of attention heads in a block.

    Raises:
        ArgumentError: a size is not positive, or ``width`` is not a multiple of ``heads``.

    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, sec. 2.3.
    """

    def __init__(self, vocabulary: int, context: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if min(vocabulary, context, width, depth, heads) < 1 or width % heads:
            raise ArgumentError(
                "vocabulary, context, width, depth and heads must be at least 1 and width a multiple of heads, "
                f"got {vocabulary=}, {context=}, {width=}, {depth=}, {heads=}"
            )
        self.context = context
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self._initialise(depth)

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 (N, T) with T at most the context → logits (N, T, vocabulary).

        Raises:
            ArgumentError: the sequences are longer than the context.
        """
        length = tokens.shape[1]
        if length > self.context:
            raise ArgumentError(f"sequences may have at most {self.context} tokens, got {length}")
        positions = torch.arange(length, device=tokens.device)
        vectors = self.token_embedding(tokens) + self.position_embedding(positions)
        return self.head(self.norm(self.blocks(vectors)))

    def _initialise(self, depth: int) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                residual = name.endswith(("attention.output", "contract"))
                nn.init.normal_(module.weight, std=0.02 / math.sqrt(2 * depth) if residual else 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def gpt(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """A GPT of width 128 with 4 blocks of 4 heads; 818,176 parameters for 64 tokens of context, 65 characters.

    Args:
        input_shape: (context,), the length of the sequences in tokens.
        classes: the number of tokens in the vocabulary.

    Raises:
        ArgumentError: ``input_shape`` is not (context,).
    """
    if len(input_shape) != 1:
        raise ArgumentError(f"gpt takes sequences of tokens of shape (context,), got the shape {tuple(input_shape)}")
    return GPT(vocabulary=classes, context=input_shape[0], width=128, depth=4, heads=4)
