"""``prunus check``."""

from __future__ import annotations

from prunus.cli.options import AsJson, Changes, RecipeSource
from prunus.cli.output import print_json, say


def check(recipe: RecipeSource, changes: Changes = None, as_json: AsJson = False) -> None:
    """Validate a recipe without running it; every mistake is named with its key, its line and what is allowed.

    Modules of your own that it names are imported; no data are loaded.
    """
    from prunus.experiments.base_work import with_elsewhere
    from prunus.experiments.own_names import require_own
    from prunus.experiments.recipe import Recipe
    from prunus.report.words import plural

    found = Recipe.load(recipe, changes or [])
    require_own(found, recipe, changes or [])
    works = with_elsewhere(found.works())
    states = sum(work.states_planned for work in works)
    if as_json:
        print_json({"id": found.id, "runs": len(works), "states": states, "recipe": found.model_dump(mode="json")})
        return
    say(f"{recipe} is a valid recipe ({found.id}): {found.title or 'untitled'}")
    say(
        f"{plural(len(found.techniques), 'technique')} over {plural(len(found.seeds), 'seed')} at "
        f"{plural(len(found.sparsities), 'sparsity')}: "
        f"{plural(len(works), 'run')}, {plural(states, 'model')} to train and evaluate"
    )
    for technique in found.techniques:
        say(f"  {technique.label}")
