"""Masks and weights ⇄ bytes on disk: a sealed safetensors file that holds zeros as bits."""

from __future__ import annotations

from prunus.lookup import lazy_attributes

__all__ = [
    "Inspection",
    "TensorInspection",
    "Unpacked",
    "dense_size",
    "inspect",
    "load",
    "pack",
    "packed_size",
    "save",
    "unpack",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Inspection": "prunus.packing.inspection",
        "TensorInspection": "prunus.packing.inspection",
        "Unpacked": "prunus.packing.format",
        "dense_size": "prunus.packing.size",
        "inspect": "prunus.packing.inspection",
        "load": "prunus.packing.model",
        "pack": "prunus.packing.format",
        "packed_size": "prunus.packing.size",
        "save": "prunus.packing.model",
        "unpack": "prunus.packing.format",
    },
)
