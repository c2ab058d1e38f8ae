"""Safetensors files with a digest over every byte of the file.

A sealed file is an ordinary safetensors file: any reader opens it. Its metadata hold a SHA-256 taken over the
whole file with the digest's own 64 characters set to zero, so no byte can change unnoticed, the header
included. The digest detects damage; it does not prove who wrote the file.

Layout: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors reference reader
_KIND, _VERSION, _DIGEST = "prunus.kind", "prunus.version", "prunus.sha256"
_BLANK = "0" * 64


@dataclass(frozen=True)
class RawTensor:
    """A tensor as bytes.

    Attributes:
        dtype: name in the safetensors format, such as ``"F32"``.
        shape: its sizes.
        data: its elements, row-major, little-endian; a memoryview must count in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


@dataclass(frozen=True)
class Sealed:
    """What a sealed file holds.

    Attributes:
        tensors: name → tensor.
        metadata: the writer's own text → text, without the seal.
        version: format version of the file's kind.
    """

    tensors: dict[str, RawTensor]
    metadata: dict[str, str]
    version: int


def seal(kind: str, version: int, tensors: Mapping[str, RawTensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a sealed file; equal content gives equal bytes.

    Args:
        kind: what the file is, such as ``"masks"``; asked for again when it is opened.
        version: version of that kind's layout.
        tensors: name → tensor; stored widest dtype first, then by name, so that each is aligned.
        metadata: text → text, stored beside the seal.

    Raises:
        ArgumentError: a name or a key is one that the format keeps for itself, or is not valid Unicode.
    """
    head, names = _head(kind, version, tensors, metadata)
    hasher = hashlib.sha256(head)
    for name in names:
        hasher.update(tensors[name].data)
    place = _digest_place(head)
    head = head[:place] + hasher.hexdigest().encode() + head[place + 64 :]
    return b"".join([head, *(tensors[name].data for name in names)])


def sealed_size(kind: str, version: int, tensors: Mapping[str, RawTensor], metadata: Mapping[str, str]) -> int:
    """The number of bytes that ``seal`` would return, without joining or hashing them."""
    head, _ = _head(kind, version, tensors, metadata)
    return len(head) + sum(len(tensor.data) for tensor in tensors.values())


def _head(
    kind: str, version: int, tensors: Mapping[str, RawTensor], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """The length and the header with a blank digest, and the names in the order of their bytes."""
    if "__metadata__" in tensors:
        raise ArgumentError("no tensor can be named '__metadata__' in a safetensors file: give it another name")
    reserved = sorted(metadata.keys() & {_KIND, _VERSION, _DIGEST})
    if reserved:
        raise ArgumentError(f"the metadata key {reserved[0]!r} belongs to the seal: take another")
    names = sorted(tensors, key=lambda name: (-BITS[tensors[name].dtype], name))
    header: dict[str, object] = {
        "__metadata__": {
            **dict(sorted(metadata.items())),
            _KIND: kind,
            _VERSION: str(version),
            _DIGEST: _BLANK,
        }
    }
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"a name or the metadata hold a lone surrogate, which no file can store: {error}"
        ) from error
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names


def unseal(data: bytes, kind: str, newest_version: int) -> Sealed:
    """Open the bytes of a sealed file, after checking the digest and every length.

    Raises:
        FileFormatError: not a sealed file of this kind, or written by a later version.
        CorruptFileError: truncated, or any byte has changed.
    """
    header, body = split_header(data)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or _KIND not in metadata:
        raise FileFormatError(f"not a prunus {kind} file: it carries no prunus metadata")
    _check_digest(data, metadata)
    if metadata[_KIND] != kind:
        raise FileFormatError(f"expected a prunus {kind} file, got a prunus {metadata[_KIND]} file")
    version = metadata.get(_VERSION, "")
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise FileFormatError(f"the {kind} file's version is {version[:20]!r}, not a number")
    if int(version) > newest_version:
        raise FileFormatError(
            f"the {kind} file has format version {version}, this prunus reads up to {newest_version}: update prunus"
        )
    own = {key: value for key, value in metadata.items() if key not in (_KIND, _VERSION, _DIGEST)}
    return Sealed(raw_tensors(header, body), own, int(version))


def kind_of_file(path: Path | str) -> str:
    """What a sealed file calls itself, from its header alone; empty for any other file, or one that cannot be read.

    Nothing is checked: whoever reads the whole file does.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            header, _ = split_header(start + (file.read(length) if length <= LARGEST_HEADER else b""))
    except (OSError, CorruptFileError):
        return ""
    return header.get("__metadata__", {}).get(_KIND, "")


def read_file(path: Path | str) -> bytes:
    """The bytes of a file that a user named.

    Raises:
        FileFormatError: there is no such file, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from error


def split_header(data: bytes) -> tuple[dict[str, dict], memoryview]:
    """The JSON header of safetensors bytes, and the bytes of the tensors behind it.

    Raises:
        CorruptFileError: the header is cut off or is not the JSON object it must be.
    """
    if len(data) < 8:
        raise CorruptFileError(f"truncated: {len(data)} bytes are too few for a safetensors file")
    length = int.from_bytes(data[:8], "little")
    if length > LARGEST_HEADER or 8 + length > len(data):
        raise CorruptFileError(f"truncated or not safetensors: a header of {length} bytes in a file of {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"the safetensors header cannot be read: {error}") from error
    if not isinstance(header, dict) or not all(isinstance(value, dict) for value in header.values()):
        raise CorruptFileError("the safetensors header is not an object of objects")
    if not all(isinstance(value, str) for value in header.get("__metadata__", {}).values()):
        raise CorruptFileError("the safetensors metadata are not text")
    return header, memoryview(data)[8 + length :]


def raw_tensors(header: Mapping[str, dict], body: memoryview) -> dict[str, RawTensor]:
    """The tensors that a header describes, each checked to lie in ``body`` and to leave no byte of it over.

    Raises:
        CorruptFileError: a dtype, shape or offset is impossible.
    """
    found = {}
    spans = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        tensor, span = _raw_tensor(name, entry, body)
        found[name] = tensor
        spans.append(span)
    end = 0
    for begin, stop in sorted(spans):
        if begin != end:
            raise CorruptFileError(f"tensors overlap or leave a gap at byte {min(begin, end)}")
        end = stop
    if end != len(body):
        raise CorruptFileError(f"the tensors end at byte {end}, the file at byte {len(body)}")
    return found


def _raw_tensor(name: str, entry: dict, body: memoryview) -> tuple[RawTensor, tuple[int, int]]:
    dtype, shape, offsets = entry.get("dtype"), read_shape(entry.get("shape")), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise CorruptFileError(f"tensor {name!r} has the unknown dtype {dtype!r}")
    if shape is None or not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        raise CorruptFileError(f"tensor {name!r} has no readable shape or place")
    begin, end = offsets
    if not 0 <= begin <= end <= len(body) or (end - begin) * 8 != math.prod(shape) * BITS[dtype]:
        raise CorruptFileError(f"tensor {name!r} of shape {shape} does not fit its place {offsets}")
    return RawTensor(dtype, shape, body[begin:end]), (begin, end)


def read_shape(values: object) -> tuple[int, ...] | None:
    """What a JSON value says as the sizes of a tensor; None where it is no list of sizes, or one beyond all memory.

    An empty tensor is held to the same bound without its zeros: its strides are products of the other sizes.
    """
    if not isinstance(values, list):
        return None
    product = 1
    for value in values:
        if type(value) is not int or value < 0:
            return None
        product *= max(value, 1)
        if product >= 2**57:  # elements; 2⁶³ bits of the widest dtype
            return None
    return tuple(values)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """For ``json.loads(object_pairs_hook=…)``: the object, refused where a key stands twice or text is not Unicode.

    Raises:
        ValueError: as said.
    """
    for key, value in pairs:
        (key + value if isinstance(value, str) else key).encode()  # a lone surrogate could not be printed later
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _check_digest(data: bytes, metadata: Mapping[str, str]) -> None:
    stated = metadata.get(_DIGEST, "")
    place = _digest_place(data[: 8 + int.from_bytes(data[:8], "little")])
    if len(stated) != 64 or place < 0 or data[place : place + 64] != stated.encode():
        raise CorruptFileError("the file carries no readable digest")
    hasher = hashlib.sha256(data[:place])
    hasher.update(_BLANK.encode())
    hasher.update(memoryview(data)[place + 64 :])
    if hasher.hexdigest() != stated:
        raise CorruptFileError("the digest does not match: the file has been changed or damaged since it was written")


def _digest_place(head: bytes) -> int:
    marker = f'"{_DIGEST}":"'.encode()
    place = head.rfind(marker)
    return place + len(marker) if place >= 0 else -1
