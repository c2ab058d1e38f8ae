"""What is in a file of weights, tensor by tensor, without torch and without running anything from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunus.files.sealed import BITS, raw_tensors, read_file, split_header, unseal
from prunus.packing.layout import (
    ALIAS,
    DENSE,
    GIVEN,
    KEY,
    KIND,
    VERSION,
    StoredTensor,
    count_ones,
    read_layout,
    refuse_pickle,
    words,
)

_UNSIGNED_ZERO = ("BOOL", "U", "I", "F8_E4M3FNUZ", "F8_E5M2FNUZ")


@dataclass(frozen=True)
class TensorInspection:
    """One tensor of a file.

    Attributes:
        name: the tensor's own name.
        shape: its sizes.
        dtype: name in the safetensors format, such as ``"F32"``.
        encoding: ``"dense"``, ``"bitmask"`` or ``"alias"``.
        elements: number of elements, the zeros included.
        kept: elements that its mask keeps; without a mask of its own, elements that are not zero.
        sparsity: fraction removed, in [0, 1]; 0 for an empty tensor.
        size_bytes: bytes of its values and bits in the file; 0 for an alias.
        dense_bytes: bytes of all its values, as a dense file would hold them; 0 for an alias.
        alias_of: the name whose tensor this is, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    encoding: str
    elements: int
    kept: int
    sparsity: float
    size_bytes: int
    dense_bytes: int
    alias_of: str | None = None


@dataclass(frozen=True)
class Inspection:
    """A file of weights; its totals count tied tensors once.

    Attributes:
        tensors: in the order in which they were packed; in a plain file, that of its header.
        metadata: the writer's own text → text.
        version: version of the packed format, or None for a plain safetensors file.
        elements: number of elements of all tensors.
        kept: number of those that stay.
        sparsity: fraction removed, in [0, 1]; 0 where there is no element.
        size_bytes: bytes of the whole file.
        dense_bytes: bytes of all values as a dense file would hold them, without its header.
    """

    tensors: tuple[TensorInspection, ...]
    metadata: dict[str, str]
    version: int | None
    elements: int
    kept: int
    sparsity: float
    size_bytes: int
    dense_bytes: int


def inspect(path: Path | str) -> Inspection:
    """Describe a packed model or a plain safetensors file.

    Raises:
        FileFormatError: no such file, not safetensors, another kind of prunus file, or one that contradicts itself.
        CorruptFileError: truncated, or a byte of a packed file has changed.
    """
    data = read_file(path)
    refuse_pickle(data)
    header, body = split_header(data)
    metadata = header.get("__metadata__", {})
    if "prunus.kind" not in metadata:
        raw = raw_tensors(header, body)
        dense = {name: StoredTensor(tensor.dtype, tensor.shape, DENSE, tensor.data) for name, tensor in raw.items()}
        return _inspection(dense, metadata, len(data), None)
    sealed = unseal(data, KIND, VERSION)
    stored = read_layout(sealed)
    own = {key: value for key, value in sealed.metadata.items() if key != KEY}
    return _inspection(stored, own, len(data), sealed.version)


def _inspection(
    stored: dict[str, StoredTensor], metadata: dict[str, str], size_bytes: int, version: int | None
) -> Inspection:
    counts = {name: _kept(tensor) for name, tensor in stored.items() if tensor.encoding != ALIAS}
    tensors = tuple(_described(name, tensor, counts) for name, tensor in stored.items())
    elements = sum(stored[name].elements for name in counts)
    kept = sum(counts.values())
    dense_bytes = sum(tensor.dense_bytes for tensor in tensors)
    return Inspection(
        tensors, metadata, version, elements, kept, _sparsity(kept, elements), size_bytes, dense_bytes=dense_bytes
    )


def _described(name: str, tensor: StoredTensor, counts: dict[str, int]) -> TensorInspection:
    kept = counts[name if tensor.alias_of is None else tensor.alias_of]
    return TensorInspection(
        name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        encoding=tensor.encoding,
        elements=tensor.elements,
        kept=kept,
        sparsity=_sparsity(kept, tensor.elements),
        size_bytes=len(tensor.values) + len(tensor.bits or b""),
        dense_bytes=0 if tensor.encoding == ALIAS else tensor.elements * BITS[tensor.dtype] // 8,
        alias_of=tensor.alias_of,
    )


def _sparsity(kept: int, elements: int) -> float:
    return 1 - kept / elements if elements else 0.0


def _kept(tensor: StoredTensor) -> int:
    if tensor.mask == GIVEN and tensor.bits is not None:
        return count_ones(tensor.bits)
    return _count_nonzero(tensor.values, tensor.dtype)


def _count_nonzero(data: bytes | memoryview, dtype: str) -> int:
    """Number of elements that are not zero; −0.0 is zero, NaN is not."""
    if dtype == "C64":
        parts = words(data, "F32").reshape(-1, 2) << np.uint32(1)
        return int(parts.any(axis=1).sum())
    elements = words(data, dtype)
    if not dtype.startswith(_UNSIGNED_ZERO):
        elements = elements << elements.dtype.type(1)  # drops the sign
    return int(np.count_nonzero(elements))
