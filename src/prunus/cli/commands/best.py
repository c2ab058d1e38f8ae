"""``prunus best``."""

from __future__ import annotations

from typing import Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json
from prunus.errors import ArgumentError


def best(
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", help="The metric to optimise.")] = "accuracy",
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", help="Look at this experiment alone; by default at all comparable runs."),
    ] = None,
    folder: HistoryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Choose the best model: `prunus best --sparsity-at-least 0.9 --worst-class-drop-at-most 0.02 --by accuracy`.

    Every metric can be bounded by --METRIC-at-least and --METRIC-at-most. Metrics: accuracy, loss,
    worst-class-accuracy, accuracy-drop, worst-class-drop, sparsity, parameters, nonzero-parameters,
    effective-parameters, flops, effective-flops, size-bytes, compression.
    """
    from prunus.history.store import History

    history = History(folder, create=False)
    if experiment is not None:
        history = history.restricted_to(experiment)
    choice = history.best(metric=by.replace("-", "_"), **_constraints(context.args))
    if as_json:
        print_json(choice)
        return
    from prunus.cli.verdict import sentence

    typer.echo(sentence(choice))
    typer.echo(f"run {choice.replicate.run}, state {choice.replicate.state} (seed {choice.replicate.seed})")
    typer.echo(f"prunus export {choice.replicate.state} --to model.safetensors   writes it")


def _constraints(arguments: list[str]) -> dict[str, float]:
    """``--sparsity-at-least 0.9`` and ``--sparsity-at-least=0.9`` to keyword arguments."""
    words = [part for argument in arguments for part in argument.split("=", 1)]
    constraints: dict[str, float] = {}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if not name.startswith("--"):
            raise ArgumentError(f"expected --METRIC-at-least or --METRIC-at-most, got {name!r}")
        try:
            constraints[name[2:].replace("-", "_")] = float(value)
        except ValueError:
            raise ArgumentError(f"{name} needs a number, got {value!r}") from None
    return constraints
