"""Bool tensors as bits: eight to a byte, row-major, lowest bit first, the last byte filled up with zeros.

Reading them needs no torch: ``unpack_array`` gives arrays, and ``unpack_bits`` makes tensors of these.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from prunus.errors import CorruptFileError

if TYPE_CHECKING:
    from torch import Tensor


def pack_bits(mask: Tensor) -> bytes:
    """A bool tensor of any shape as ``ceil(numel / 8)`` bytes."""
    return np.packbits(mask.detach().cpu().numpy().reshape(-1), bitorder="little").tobytes()


def unpack_bits(data: bytes | memoryview, shape: tuple[int, ...]) -> Tensor:
    """The bool tensor of ``shape`` that ``pack_bits`` wrote.

    Raises:
        CorruptFileError: as for ``unpack_array``.
    """
    import torch

    return torch.from_numpy(unpack_array(data, shape))


def unpack_array(data: bytes | memoryview, shape: tuple[int, ...]) -> np.ndarray:
    """The same as a bool array of ``shape``, which owns its memory.

    Raises:
        CorruptFileError: the number of bytes is not that of the shape, or a filling bit is set.
    """
    count = math.prod(shape)
    packed = np.frombuffer(data, np.uint8)
    if len(packed) != (count + 7) // 8:
        raise CorruptFileError(f"{len(packed)} bytes of bits do not make a mask of shape {shape}")
    bits = np.unpackbits(packed, bitorder="little")
    if bits[count:].any():
        raise CorruptFileError("bits are set behind the end of a mask")
    return bits[:count].astype(bool).reshape(shape)
