"""``prunus run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prunus.cli.options import AsJson, Changes, HistoryFolder, RecipeSource
from prunus.cli.output import print_json, say
from prunus.errors import SelectionError

if TYPE_CHECKING:
    from prunus.experiments.recipe import Recipe
    from prunus.history.store import History


def run(
    recipe: RecipeSource,
    changes: Changes = None,
    folder: HistoryFolder = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="Processes to use; by default one for every core."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: compare its techniques, record every round, choose the best, write the model and the report.

    Stopped at any moment, the same command goes on where it stopped and repeats nothing.
    """
    from prunus.experiments.own_names import require_own
    from prunus.experiments.recipe import Recipe
    from prunus.history.store import History

    found = Recipe.load(recipe, changes or [])
    require_own(found, recipe, changes or [])
    history = History(folder)
    try:
        result = _run(found, history, jobs, quiet=as_json)
    except KeyboardInterrupt:
        say("", err=True)
        say(f"interrupted; what is done is recorded in {history.folder}: the same command goes on from there", err=True)
        sys.exit(130)
    _finish(result, found, as_json)


def _run(recipe: Recipe, history: History, jobs: int | None, quiet: bool) -> History:
    """Do the work under a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from prunus.experiments.runner import run as run_recipe

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("models, left:"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("training and pruning", total=None)

        def watch(progress: Any) -> None:
            bar.update(task, completed=progress.done, total=progress.planned)

        return run_recipe(recipe, history=history, jobs=jobs, watch=watch)


def _finish(history: History, recipe: Recipe, as_json: bool) -> None:
    """Choose, write the model and the page, and say so."""
    from prunus.cli.commands.export import write_model
    from prunus.cli.places import experiment_folder
    from prunus.cli.verdict import print_outcome, sentence
    from prunus.report.evidence import gather
    from prunus.report.page import write_report

    folder: Path = experiment_folder(history, recipe.id)
    report = write_report(history, folder / "report.html", recipe.id)
    model = choice = None
    try:
        choice = history.best(metric=recipe.choose.by, **recipe.choose.constraints)
    except SelectionError as error:
        verdict = str(error)
    else:
        verdict = sentence(choice)
        model = folder / "model.safetensors"
        write_model(history.state(choice.replicate.state), model)
    if as_json:
        print_json({"experiment": recipe.id, "verdict": verdict, "choice": choice, "model": model, "report": report})
        return
    print_outcome(gather(history, recipe.id))
    say("")
    say(verdict)
    say("")
    say(f"model:  {model or 'none qualifies'}")
    say(f"report: {report}")
