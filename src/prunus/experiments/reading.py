"""From the text of a recipe to the recipe, with every mistake explained."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prunus.errors import RecipeError
from prunus.experiments.kinds import RECIPES, kind_of
from prunus.experiments.messages import explain
from prunus.experiments.overrides import override, parse
from prunus.experiments.source import Source
from prunus.lookup import unknown_name


def shipped_recipes() -> dict[str, str]:
    """Name → text of the recipes that ship with prunus."""
    folder = resources.files("prunus.experiments") / "recipes"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files}


def read(source: Path | str, overrides: Sequence[str] = ()) -> Source:
    """The values of a recipe file, or of a shipped recipe, with changes applied.

    Raises:
        RecipeError: there is no such file, it is not TOML, or a change cannot be applied.
    """
    name, text = _named(source)
    return Source(name, override(parse(text, name), overrides), text, overrides)


def validated(source: Source) -> Any:
    """The recipe with these values, of the kind that they are.

    Raises:
        RecipeError: they do not make one; every mistake is named with its place, its key and what is allowed.
    """
    kind = RECIPES[kind_of(source.values)].load()
    try:
        return kind.model_validate(source.values)
    except ValidationError as error:
        raise RecipeError(explain(error, source, kind)) from error


def _named(source: Path | str) -> tuple[str, str]:
    """Name and text of a recipe file, or of a shipped recipe."""
    path = Path(source)
    shipped = shipped_recipes()
    try:
        if not path.exists() and str(source) in shipped:
            return str(source), shipped[str(source)]
        return str(path), path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        message = f"there is no file {path}, and {unknown_name('shipped recipe', str(source), shipped)}"
        raise RecipeError(message) from error
    except (OSError, ValueError) as error:  # a name with a null character, or bytes that are no text
        raise RecipeError(f"cannot read {path}: {error}") from error
