"""``prunus inspect``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from prunus.cli.options import AsJson
from prunus.cli.output import percent, print_json, print_table, say, size


def inspect(
    file: Annotated[Path, typer.Argument(help="A packed model, or any safetensors file.")], as_json: AsJson = False
) -> None:
    """Say what a model file holds, tensor by tensor; nothing in the file is ever run."""
    from prunus.packing.inspection import inspect as look_into

    found = look_into(file)
    if as_json:
        tensors = [{**dataclasses.asdict(each), "sparsity": each.sparsity} for each in found.tensors]
        print_json({**dataclasses.asdict(found), "sparsity": found.sparsity, "tensors": tensors})
        return
    rows = [
        [
            each.name,
            "×".join(map(str, each.shape)),
            each.dtype,
            each.encoding,
            percent(each.sparsity),
            f"{each.size_bytes:,}",
        ]
        for each in found.tensors
    ]
    print_table(["tensor", "shape", "dtype", "stored as", "sparsity", "bytes"], rows)
    say(f"{file}: {size(found.size_bytes)}, {len(found.tensors)} tensors, sparsity {percent(found.sparsity)} over all")
