"""Named tensors ⇄ the bytes of a packed file; see ``prunus.packing.layout`` for how they lie there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prunus.errors import ArgumentError, MaskError
from prunus.files.sealed import seal, unseal
from prunus.masks.bits import pack_bits, unpack_bits
from prunus.packing.layout import (
    ALIAS,
    BITMASK,
    DENSE,
    GIVEN,
    INFERRED,
    KEY,
    KIND,
    VERSION,
    StoredTensor,
    read_layout,
    refuse_pickle,
    words,
    write_layout,
)

DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32",
    torch.int64: "I64", torch.uint64: "U64", torch.float64: "F64", torch.complex64: "C64",
}  # fmt: skip
_TORCH_DTYPES = {name: dtype for dtype, name in DTYPES.items()}


@dataclass(frozen=True)
class Unpacked:
    """What a packed file holds.

    Attributes:
        tensors: name → tensor on the CPU, in the order in which they were packed; tied names have one tensor.
        masks: name → bool tensor of its shape, True = kept: the masks that were given to ``pack``, or, where none
            were, those of the tensors that were stored with a bitmask.
        inferred: the names whose mask says no more than where the values are not zero.
        metadata: the writer's own text → text.
    """

    tensors: dict[str, Tensor]
    masks: dict[str, Tensor]
    inferred: frozenset[str]
    metadata: dict[str, str]


def pack(
    tensors: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a file that holds these tensors bit for bit.

    Each is stored in the encoding whose values and bits take fewer bytes; what the header costs is not counted.
    Equal tensors in equal order give equal bytes. Names that share memory, dtype, shape and strides are stored
    once.

    Args:
        tensors: name → tensor of any shape, on any device, of a dtype that safetensors knows.
        masks: name → bool tensor of that tensor's shape, True = kept; what it removes must be +0.0. Masks are
            stored as they are, even where that costs space. With None they are inferred: a tensor with zeros
            enough for the bitmask to be worth it is taken to be pruned where it is zero in every bit.
        metadata: text → text, stored beside the tensors; keys that begin with ``prunus.`` are taken.

    Raises:
        ArgumentError: a tensor has no bytes that can be stored (dtype, layout, device), or the metadata are not text.
        MaskError: a mask does not fit its tensor, or removes an element that is not +0.0.
    """
    raw, text = write_layout(stored_tensors(tensors, masks))
    return seal(KIND, VERSION, raw, {**_checked_metadata(metadata or {}), KEY: text})


def unpack(data: bytes) -> Unpacked:
    """What ``pack`` put into these bytes.

    Memory is bounded by the file: a tensor of zeros takes at most 64 times its bits.

    Raises:
        FileFormatError: not a packed model, of a later version, or what it says of its tensors is not so.
        CorruptFileError: truncated, or any byte has changed.
    """
    refuse_pickle(data)
    sealed = unseal(data, KIND, VERSION)
    stored = read_layout(sealed)
    decoded = {name: _decoded(tensor) for name, tensor in stored.items() if tensor.encoding != ALIAS}
    holders = {name: name if tensor.alias_of is None else tensor.alias_of for name, tensor in stored.items()}
    masks = {}
    for name, tensor in stored.items():
        bits = stored[holders[name]].bits
        if tensor.mask is not None and bits is not None:
            masks[name] = unpack_bits(bits, tensor.shape)
    return Unpacked(
        tensors={name: decoded[holder] for name, holder in holders.items()},
        masks=masks,
        inferred=frozenset(name for name, tensor in stored.items() if tensor.mask == INFERRED),
        metadata={key: value for key, value in sealed.metadata.items() if key != KEY},
    )


def stored_tensors(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None) -> dict[str, StoredTensor]:
    """How each tensor is to be stored. Dense values are views of the tensors' own memory where that is possible.

    Args, Raises: those of ``pack``.
    """
    check_tensors(tensors)
    given = masks or {}
    for name, mask in given.items():
        _check_mask(name, mask, tensors)
    stored = {}
    for name, holder in _holders(tensors, given).items():
        tensor = tensors[name]
        if holder == name:
            stored[name] = _encoded(name, tensor, given.get(name), infer=masks is None)
            continue
        if name in given and not torch.equal(given[name].cpu(), given[holder].cpu()):
            raise MaskError(f"{name!r} and {holder!r} are one tied tensor, but have different masks: give one of them")
        origin = GIVEN if name in given else None
        stored[name] = StoredTensor(DTYPES[tensor.dtype], tuple(tensor.shape), ALIAS, mask=origin, alias_of=holder)
    return stored


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """See that each has bytes that can be stored.

    Raises:
        ArgumentError: it is no tensor, its dtype is unknown to safetensors, or it is sparse or without memory.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"{name!r} is a {type(tensor).__name__}: only tensors can be packed")
        if tensor.dtype not in DTYPES:
            known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise ArgumentError(f"{name!r} is {tensor.dtype}, which safetensors cannot hold; allowed are {known}")
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            found = "on the meta device" if tensor.device.type == "meta" else tensor.layout
            raise ArgumentError(f"{name!r} is {found}: only dense tensors with values can be packed")


def first_of_tied(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name → the first name that has the same memory, read in the same way."""
    firsts: dict[Hashable, str] = {}
    return {name: firsts.setdefault(_place(name, tensor), name) for name, tensor in tensors.items()}


def _place(name: str, tensor: Tensor) -> Hashable:
    if not tensor.numel():
        return name
    reading = (tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.is_conj(), tensor.is_neg())
    return tensor.device, tensor.data_ptr(), *reading


def _holders(tensors: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Name → the one of its tied names that holds the values: the first with a mask, else the first."""
    firsts = first_of_tied(tensors)
    holders: dict[str, str] = {}
    for name in given:
        holders.setdefault(firsts[name], name)
    return {name: holders.get(first, first) for name, first in firsts.items()}


def _check_mask(name: str, mask: Tensor, tensors: Mapping[str, Tensor]) -> None:
    if name not in tensors:
        raise MaskError(f"there is a mask for {name!r}, but no tensor of that name")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != tensors[name].shape:
        found = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise MaskError(f"the mask of {name!r} must be torch.bool of {tuple(tensors[name].shape)}, got {found}")


def _checked_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentError(f"metadata must be text → text, got {key!r} → {value!r}")
        if key.startswith("prunus."):
            raise ArgumentError(f"the metadata key {key!r} is taken: keys that begin with 'prunus.' are the format's")
    return metadata


def _encoded(name: str, tensor: Tensor, mask: Tensor | None, infer: bool) -> StoredTensor:
    dtype, shape = DTYPES[tensor.dtype], tuple(tensor.shape)
    data = _bytes_of(tensor)
    elements = words(data.data, dtype)
    kept = elements != 0 if mask is None else mask.detach().cpu().numpy().reshape(-1)
    if mask is not None and elements[~kept].any():
        raise MaskError(f"the mask of {name!r} removes elements that are not +0.0: apply the mask before packing")
    shorter = int(kept.sum()) * elements.itemsize + (len(elements) + 7) // 8 < len(data)
    if not shorter and mask is None:
        return StoredTensor(dtype, shape, DENSE, data.data)
    bits = pack_bits(torch.from_numpy(kept))
    origin = GIVEN if mask is not None else INFERRED if infer else None
    if not shorter:
        return StoredTensor(dtype, shape, DENSE, data.data, bits, origin)
    return StoredTensor(dtype, shape, BITMASK, elements[kept].view(np.uint8).data, bits, origin)


def _bytes_of(tensor: Tensor) -> np.ndarray:
    values = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    # Strides along sizes of 0 and 1 may be anything in a contiguous tensor, and a view as bytes minds them.
    return values.as_strided((values.numel(),), (1,)).view(torch.uint8).numpy()


def _decoded(stored: StoredTensor) -> Tensor:
    tensor = torch.zeros(stored.elements, dtype=_TORCH_DTYPES[stored.dtype])
    values = words(stored.values, stored.dtype)
    target = tensor.view(torch.uint8).numpy().view(values.dtype)
    if stored.encoding == DENSE or stored.bits is None:
        target[:] = values
    else:
        target[unpack_bits(stored.bits, (stored.elements,)).numpy()] = values
    return tensor.reshape(stored.shape)
