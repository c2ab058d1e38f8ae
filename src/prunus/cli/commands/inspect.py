"""``prunus inspect``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from prunus.cli.options import AsJson
from prunus.cli.output import percent, print_json, print_table, say, size


def inspect(
    file: Annotated[Path, typer.Argument(help="A packed model, trees, or any safetensors file.")],
    as_json: AsJson = False,
) -> None:
    """Say what a model file holds, tensor by tensor or tree by tree; nothing in the file is ever run."""
    from prunus.files.sealed import kind_of_file

    look = _inspect_trees if kind_of_file(file) == "trees" else _inspect_weights
    look(file, as_json)


def _inspect_weights(file: Path, as_json: bool) -> None:
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


def _inspect_trees(file: Path, as_json: bool) -> None:
    from prunus.trees.inspection import inspect as look_into

    found = look_into(file)
    if as_json:
        print_json(found)
        return
    rows = [
        [str(index), f"{tree.nodes:,}", f"{tree.leaves:,}", str(tree.depth)] for index, tree in enumerate(found.trees)
    ]
    print_table(["tree", "nodes", "leaves", "depth"], rows)
    classes = " and ".join(_counted(len(each), "class", "es") for each in found.classes)
    facts = [
        size(found.size_bytes),
        _counted(len(found.trees), "tree"),
        f"{found.nodes:,} nodes",
        f"{found.leaves:,} leaves",
        f"depth {found.depth}",
        _counted(found.features, "feature"),
        classes or _counted(found.outputs, "output"),
    ]
    say(f"{file}: {found.estimator}, {', '.join(facts)}")


def _counted(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{plural if count != 1 else ''}"
