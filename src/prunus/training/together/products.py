"""Products of whole and of sparse matrices, each by the quickest of torch's kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

FEWEST_MULTIPLICATIONS = 1_000_000  # below which the call of oneDNN takes longer than all of BLAS
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def affine(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, rectified: bool = False) -> Tensor:
    """x Wᵀ + b: large ones by oneDNN, which compiles its kernels for the processor at hand.

    The BLAS that torch comes with takes twice as long on processors that are not of its own maker.

    Args:
        inputs: (N, in).
        weight: (out, in).
        bias: (out).
        rectified: whether what is negative becomes zero, as by ReLU.
    """
    if _ONEDNN and inputs.dtype is torch.float32 and len(inputs) * weight.numel() >= FEWEST_MULTIPLICATIONS:
        then = "relu" if rectified else "none"
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, then, [], ""))
    outputs = torch.mm(inputs, weight.t()) if bias is None else torch.addmm(bias, inputs, weight.t())
    return outputs.relu_() if rectified else outputs


@dataclass(frozen=True)
class Places:
    """Where a matrix has elements, compressed by rows.

    Attributes:
        begins: where each row begins among the elements, and the last one ends.
        columns: of each element.
        shape: of the matrix.
    """

    begins: Tensor
    columns: Tensor
    shape: torch.Size

    @classmethod
    def of(cls, mask: Tensor) -> Places:
        """The places where a mask is true."""
        begins = torch.zeros(len(mask) + 1, dtype=torch.int64)
        begins[1:] = mask.sum(1).cumsum(0)
        return cls(begins, mask.nonzero()[:, 1].contiguous(), mask.shape)

    def matrix(self, values: Tensor) -> Tensor:
        """The matrix with these elements."""
        return torch.sparse_csr_tensor(self.begins, self.columns, values, self.shape, check_invariants=False)

    def product(self, values: Tensor, other: Tensor) -> Tensor:
        """Of the matrix with these elements, and a whole one.

        Each row is a weighted sum of rows of the other. That is what a bag of embeddings is too, whose kernel in single
        precision takes 0.4 of the time of the one for compressed matrices.
        """
        if values.dtype is torch.float32:
            return torch.embedding_bag(other, self.columns, self.begins, False, 0, False, values, True)[0]
        return self.matrix(values) @ other

    def sampled(self, like: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """The product of two whole matrices, at these places alone.

        Args:
            like: elements, of which only number and kind count.
            first: (rows, N).
            second: (N, columns).
        """
        return torch.sparse.sampled_addmm(self.matrix(like), first, second, beta=0.0).values()
