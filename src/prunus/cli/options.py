"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HistoryFolder = Annotated[
    Path | None,
    typer.Option("--history", help="Folder of the history; by default $PRUNUS_HISTORY, else ./prunus-history."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe, such as training.epochs=2."),
]
RecipeSource = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A TOML file, or the name of a recipe that `prunus recipes` lists.")
]
