"""How many bytes a file would have, without writing it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from torch import Tensor

from prunus.files.sealed import BITS, sealed_size
from prunus.packing.format import DTYPES, check_tensors, first_of_tied, stored_tensors
from prunus.packing.layout import KEY, KIND, VERSION, write_layout

_ORDER = (
    "U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16",
    "F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL",
)  # fmt: skip


def packed_size(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None) -> int:
    """The length in bytes of ``pack(tensors, masks)``.

    Args, Raises: those of ``pack``.
    """
    raw, text = write_layout(stored_tensors(tensors, masks))
    return sealed_size(KIND, VERSION, raw, {KEY: text})


def dense_size(tensors: Mapping[str, Tensor]) -> int:
    """The length in bytes of ``safetensors.torch.save`` of the same tensors, tied ones counted once.

    Args:
        tensors: name → tensor of a dtype that safetensors knows.

    Raises:
        ArgumentError: a tensor has no bytes that can be stored.

    Source: https://huggingface.co/docs/safetensors, "Format"; the order of the tensors, on which the digits of the
    offsets depend, is that of the reference writer (0.8).
    """
    check_tensors(tensors)
    names = [name for name, first in first_of_tied(tensors).items() if name == first]
    header = {}
    end = 0
    for name in sorted(names, key=lambda name: (_ORDER.index(DTYPES[tensors[name].dtype]), name)):
        dtype, tensor = DTYPES[tensors[name].dtype], tensors[name]
        begin, end = end, end + tensor.numel() * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + length + -length % 8 + end
