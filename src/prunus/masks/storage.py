"""Masks on disk: one bit a weight in a sealed safetensors file.

Every mask is a tensor of dtype U8 that holds its packed bits; its shape stands in the metadata under ``shapes``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prunus.errors import CorruptFileError, FileFormatError
from prunus.files.atomic import write_atomically
from prunus.files.sealed import RawTensor, read_file, read_shape, seal, unique_keys, unseal
from prunus.masks.bits import pack_bits, unpack_array

if TYPE_CHECKING:
    from prunus.masks.masks import Masks

KIND, VERSION = "masks", 1


def masks_to_bytes(masks: Masks) -> bytes:
    """The file's bytes; equal masks give equal bytes."""
    packed = {name: pack_bits(mask) for name, mask in masks.items()}
    shapes = {name: list(masks[name].shape) for name in sorted(masks)}
    tensors = {name: RawTensor("U8", (len(bits),), bits) for name, bits in packed.items()}
    return seal(KIND, VERSION, tensors, {"shapes": json.dumps(shapes)})


def masks_from_bytes(data: bytes) -> Masks:
    """The masks whose file has these bytes.

    Raises:
        FileFormatError, CorruptFileError: as for ``arrays_from_bytes``.
    """
    import torch

    from prunus.masks.masks import Masks

    return Masks.owning({name: torch.from_numpy(mask) for name, mask in arrays_from_bytes(data).items()})


def arrays_from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """The masks whose file has these bytes, as bool arrays: reading them needs no torch.

    Raises:
        FileFormatError: not a file of masks, or of a later version.
        CorruptFileError: truncated, or a byte has changed.
    """
    sealed = unseal(data, KIND, VERSION)
    shapes = _shapes(sealed.metadata.get("shapes", ""))
    if shapes.keys() != sealed.tensors.keys():
        raise CorruptFileError("the masks and their shapes have different names")
    if any(tensor.dtype != "U8" for tensor in sealed.tensors.values()):
        raise CorruptFileError("the bits of a mask are not of dtype U8")
    return {name: unpack_array(sealed.tensors[name].data, shape) for name, shape in shapes.items()}


def _shapes(text: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the masks, each checked: the digest proves no intent."""
    try:
        named = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"the shapes of the masks cannot be read: {error}") from error
    if not isinstance(named, dict):
        raise CorruptFileError("the shapes of the masks are not an object")
    found = {}
    for name, value in named.items():
        shape = read_shape(value)
        if shape is None or 0 in shape:
            raise CorruptFileError(f"the mask of {name!r} has an impossible shape: {value!r}")
        found[name] = shape
    return found


def save_masks(masks: Masks, path: Path | str) -> None:
    """Write the file, whole or not at all.

    Raises:
        FileFormatError: it cannot be written.
    """
    try:
        write_atomically(Path(path), masks_to_bytes(masks))
    except OSError as error:
        raise FileFormatError(f"cannot write the masks to {path}: {error.strerror or error}") from error


def load_masks(path: Path | str) -> Masks:
    """Read the file; see ``masks_from_bytes``."""
    return masks_from_bytes(read_file(path))
