"""Whether what a recipe names of its user's own is there and takes its settings, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prunus.errors import ArgumentError, PrunusError, RecipeError
from prunus.experiments.messages import explain, mistakes
from prunus.experiments.reading import read
from prunus.experiments.recipe import Recipe


def require_own(recipe: Recipe, source: Path | str, overrides: Sequence[str] = ()) -> None:
    """Import every ``"module:name"`` of the recipe's user and try settings, before anything runs.

    Args:
        recipe: read from ``source`` with ``overrides``.
        source, overrides: see ``Recipe.load``.

    Raises:
        RecipeError: a module or a name in it is missing, or an error arises in the module; each is named with its
            key and its line or override. The first error in a module, if there is any, is the cause.
    """
    found = [(path, wrong) for path, name in recipe.own if (wrong := _wrong_import(name))]
    missing = {path[:2] for path, _ in found}
    found += [(path, wrong) for path, wrong in recipe.wrong_settings() if path[:2] not in missing]
    if found:
        told = mistakes((path, _told(wrong)) for path, wrong in found)
        cause = min((wrong for _, wrong in found), key=lambda wrong: isinstance(wrong, ArgumentError))
        raise RecipeError(explain(told, read(source, overrides), type(recipe))) from cause


def _wrong_import(name: str) -> PrunusError | None:
    """What is wrong with a user's own ``"module:name"``, or None."""
    from prunus.tasks.load import import_own  # needs torch, which most recipes can be checked without

    try:
        thing = import_own(name)
    except PrunusError as error:
        return error
    return None if callable(thing) else ArgumentError(f"{name!r} must be a function, got {type(thing).__name__}")


def _told(error: PrunusError) -> str:
    missing = isinstance(error.__cause__, ModuleNotFoundError) and isinstance(error, ArgumentError)
    return f"{error}, nor in the current folder {Path.cwd()}" if missing else str(error)
