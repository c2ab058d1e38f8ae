"""How a packed model lies in a sealed file; no torch here, so that a file can be described without it.

The metadata key ``prunus.tensors`` holds a JSON object, name → how that tensor is stored:

- ``{"encoding": "dense"}``: all values, under the tensor's own name.
- ``{"encoding": "bitmask", "shape": […]}``: one bit an element under ``name#bits``, lowest bit first, and the
  values whose bit is set, row-major, under ``name#kept``. The others are zero in every bit.
- ``{"encoding": "alias", "of": "other"}``: the same tensor as the one called ``other``, which is no alias.

``"mask": "given"`` adds that the bits are a mask that the writer was given (a dense tensor then has bits too),
``"mask": "inferred"`` that they are only where the values were not zero. A ``#`` in a tensor's own name is doubled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prunus.errors import FileFormatError
from prunus.files.sealed import BITS, RawTensor, Sealed, read_shape, unique_keys

KIND, VERSION, KEY = "model", 1, "prunus.tensors"
DENSE, BITMASK, ALIAS = "dense", "bitmask", "alias"
GIVEN, INFERRED = "given", "inferred"
_WORDS: dict[int, np.dtype] = {8: np.dtype("<u1"), 16: np.dtype("<u2"), 32: np.dtype("<u4"), 64: np.dtype("<u8")}
_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)
_KEYS = {DENSE: {"encoding"}, BITMASK: {"encoding", "shape"}, ALIAS: {"encoding", "of"}}
_MASKS = {DENSE: (None, GIVEN), BITMASK: (None, GIVEN, INFERRED), ALIAS: (None, GIVEN)}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file holds it.

    Attributes:
        dtype: name in the safetensors format.
        shape: its sizes.
        encoding: ``"dense"``, ``"bitmask"`` or ``"alias"``.
        values: the bytes of all elements, of the kept ones, or none.
        bits: the mask, eight elements to a byte, or None.
        mask: ``"given"``, ``"inferred"``, or None where the bits are nothing but an encoding.
        alias_of: the name whose tensor this is.
    """

    dtype: str
    shape: tuple[int, ...]
    encoding: str
    values: bytes | memoryview = b""
    bits: bytes | memoryview | None = None
    mask: str | None = None
    alias_of: str | None = None

    @property
    def elements(self) -> int:
        """Number of elements, the zeros included."""
        return math.prod(self.shape)


def words(data: bytes | memoryview, dtype: str) -> np.ndarray:
    """The elements as unsigned integers of the same width, which compare and move bit for bit."""
    return np.frombuffer(data, _WORDS[BITS[dtype]])


def count_ones(bits: bytes | memoryview) -> int:
    """Number of bits set."""
    return int(_ONES[np.frombuffer(bits, np.uint8)].sum(dtype=np.int64))


def write_layout(stored: Mapping[str, StoredTensor]) -> tuple[dict[str, RawTensor], str]:
    """The raw tensors of the file, and the text under ``KEY``."""
    raw: dict[str, RawTensor] = {}
    records = {}
    for name, tensor in stored.items():
        record: dict[str, object] = {"encoding": tensor.encoding}
        if tensor.encoding == DENSE:
            raw[_values_name(name, DENSE)] = RawTensor(tensor.dtype, tensor.shape, tensor.values)
        elif tensor.encoding == BITMASK:
            record["shape"] = list(tensor.shape)
            count = len(tensor.values) * 8 // BITS[tensor.dtype]
            raw[_values_name(name, BITMASK)] = RawTensor(tensor.dtype, (count,), tensor.values)
        else:
            record["of"] = tensor.alias_of
        if tensor.bits is not None:
            raw[_bits_name(name)] = RawTensor("U8", (len(tensor.bits),), tensor.bits)
        if tensor.mask is not None:
            record["mask"] = tensor.mask
        records[name] = record
    return raw, json.dumps(records, separators=(",", ":"), ensure_ascii=False)


def read_layout(sealed: Sealed) -> dict[str, StoredTensor]:
    """The tensors that a file says it holds, in the order in which they were packed.

    Everything is checked against the bytes: the digest that the file carries may be its author's own.

    Raises:
        FileFormatError: what the file says of its tensors is malformed, or is not what its bytes are.
    """
    raw = dict(sealed.tensors)
    records = _records(sealed.metadata)
    stored = {name: _read_tensor(name, record, raw) for name, record in records.items() if record["encoding"] != ALIAS}
    if raw:
        raise FileFormatError(f"the file holds {sorted(raw)[0]!r}, but does not say what it is")
    for name, record in records.items():
        if record["encoding"] == ALIAS:
            stored[name] = _read_alias(name, record, records, stored)
    return {name: stored[name] for name in records}


def refuse_pickle(data: bytes) -> None:
    """Say plainly that a pickle is not read, where one is offered.

    Raises:
        FileFormatError: the bytes are a pickle, or a zip archive as ``torch.save`` writes it.
    """
    # A safetensors header begins with a brace, whatever the eight bytes of its length look like.
    if data[8:9] != b"{" and (data[:4] == b"PK\x03\x04" or data[:1] == b"\x80"):
        raise FileFormatError(
            "this is a zip archive or a pickle, as torch.save writes them, not a safetensors file; prunus never reads "
            "pickles, which can run code: load it with torch.load(…, weights_only=True) and write it with prunus.save"
        )


def _values_name(name: str, encoding: str) -> str:
    escaped = name.replace("#", "##")
    if encoding == BITMASK:
        return f"{escaped}#kept"
    return "#__metadata__" if escaped == "__metadata__" else escaped


def _bits_name(name: str) -> str:
    return f"{name.replace('#', '##')}#bits"


def _records(metadata: Mapping[str, str]) -> dict[str, dict]:
    try:
        records = json.loads(metadata.get(KEY, ""), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"the file does not say how its tensors are stored: {error}") from error
    if not isinstance(records, dict):
        raise FileFormatError("what the file says of its tensors is not an object")
    for name, record in records.items():
        encoding = record.get("encoding") if isinstance(record, dict) else None
        if not isinstance(encoding, str) or encoding not in _KEYS:
            raise FileFormatError(f"tensor {name!r} has no known encoding: there are {', '.join(_KEYS)}")
        if record.keys() - {"mask"} != _KEYS[encoding] or record.get("mask") not in _MASKS[encoding]:
            raise FileFormatError(f"what the file says of the {encoding} tensor {name!r} cannot be read")
    return records


def _read_tensor(name: str, record: Mapping, raw: dict[str, RawTensor]) -> StoredTensor:
    encoding, mask = record["encoding"], record.get("mask")
    values = _taken(name, _values_name(name, encoding), raw)
    if values.dtype == "BOOL" and (np.frombuffer(values.data, np.uint8) > 1).any():
        raise FileFormatError(f"the bool tensor {name!r} holds bytes that are neither 0 nor 1")
    if encoding == DENSE and mask is None:
        return StoredTensor(values.dtype, values.shape, DENSE, values.data)
    shape = values.shape if encoding == DENSE else read_shape(record["shape"])
    if shape is None:
        raise FileFormatError(f"tensor {name!r} has no readable shape")
    bits = _taken(name, _bits_name(name), raw)
    tensor = StoredTensor(values.dtype, shape, encoding, values.data, bits.data, mask)
    _check_bits(name, tensor, bits)
    if encoding == BITMASK and values.shape != (count_ones(bits.data),):
        raise FileFormatError(f"tensor {name!r} keeps {count_ones(bits.data)} elements, but holds {values.shape}")
    if encoding == DENSE:
        kept = np.unpackbits(np.frombuffer(bits.data, np.uint8), count=tensor.elements, bitorder="little")
        if words(tensor.values, tensor.dtype)[kept == 0].any():
            raise FileFormatError(f"tensor {name!r} holds values that its mask removes")
    return tensor


def _check_bits(name: str, tensor: StoredTensor, bits: RawTensor) -> None:
    if bits.dtype != "U8" or bits.shape != ((tensor.elements + 7) // 8,):
        raise FileFormatError(f"the bits of {name!r} do not fit its shape {tensor.shape}")
    if tensor.elements % 8 and bits.data[-1] >> tensor.elements % 8:
        raise FileFormatError(f"bits are set behind the end of the mask of {name!r}")


def _read_alias(name: str, record: Mapping, records: Mapping, stored: Mapping[str, StoredTensor]) -> StoredTensor:
    other, mask = record["of"], record.get("mask")
    if not isinstance(other, str) or other not in records or records[other]["encoding"] == ALIAS:
        raise FileFormatError(f"tensor {name!r} is said to be that of {other!r}, which is not stored")
    if mask == GIVEN and stored[other].mask != GIVEN:
        raise FileFormatError(f"tensor {name!r} is said to have the mask of {other!r}, which has none")
    return StoredTensor(stored[other].dtype, stored[other].shape, ALIAS, mask=mask, alias_of=other)


def _taken(name: str, raw_name: str, raw: dict[str, RawTensor]) -> RawTensor:
    if raw_name not in raw:
        raise FileFormatError(f"tensor {name!r} is said to be stored under {raw_name!r}, which the file does not hold")
    return raw.pop(raw_name)
