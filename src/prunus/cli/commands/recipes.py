"""``prunus recipes``."""

from __future__ import annotations

from typing import Annotated

import typer

from prunus.cli.options import AsJson
from prunus.cli.output import print_json, print_table
from prunus.errors import UnknownNameError
from prunus.lookup import unknown_name


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's text, to begin your own with.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of recipes.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the recipes that ship with prunus, or print one: `prunus recipes demo > my.toml`."""
    import tomllib

    from prunus.experiments.reading import shipped_recipes

    if schema:
        from prunus.experiments.kinds import recipe_schema

        print_json(recipe_schema())
        return
    shipped = shipped_recipes()
    if name is not None and name not in shipped:
        raise UnknownNameError(unknown_name("shipped recipe", name, shipped))
    if as_json:
        asked = shipped if name is None else {name: shipped[name]}
        print_json({each: tomllib.loads(text) for each, text in asked.items()})
    elif name is not None:
        typer.echo(shipped[name], nl=False)
    else:
        print_table(["recipe", "question"], [[each, tomllib.loads(text)["title"]] for each, text in shipped.items()])
