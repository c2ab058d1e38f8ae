"""Options and words that several of the commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.output import say, short
from prunus.errors import ArgumentError

if TYPE_CHECKING:
    from prunus.history.store import History
    from prunus.report.names import ShortNames
    from prunus.tickets.rounds import Round

Experiment = Annotated[
    str | None,
    typer.Argument(metavar="[EXPERIMENT]", help="Id of an experiment, or its beginning; the latest where left out."),
]
Sparsity = Annotated[
    float | None, typer.Option(help="As in the recipe; the highest that most techniques have where left out.")
]
Rounds = Annotated[
    bool, typer.Option("--rounds", help="At every sparsity that was recorded, those of rounds in between among them.")
]


def opened(folder: Path | None, *experiments: str | None) -> History:
    """The history; a warning names those of the experiments that are not finished."""
    from prunus.history.store import History
    from prunus.report.words import plural

    history = History(folder, create=False)
    for each in map(history.experiment, experiments):
        missing = history.missing(each)
        if missing:
            say(
                f"warning: the experiment {short(each.id)} is unfinished: {plural(missing, 'run')} of {len(each.runs)} "
                "not complete; run the recipe again to go on",
                err=True,
            )
    return history


def asked_for(rounds: list[Round], sparsity: float | None, every: bool) -> list[Round]:
    """The rounds that the options ask for."""
    from prunus.tickets.rounds import round_at

    if every and sparsity is not None:
        raise ArgumentError("--rounds shows every sparsity: leave out --sparsity")
    return rounds if every else [round_at(rounds, sparsity)]


def told_names(names: Iterable[str]) -> ShortNames:
    """Names without what all share, which is printed once."""
    from prunus.report.names import shortened

    short = shortened([*dict.fromkeys(names)])
    if short.usual:
        who = "Every technique is" if short.all_have_it else "Unless its name says otherwise, a technique is"
        say(f"{who}: {short.usual}")
    return short


def in_percent(sparsity: float) -> str:
    """A sparsity, or what is left, as the tables show it."""
    return f"{100 * sparsity:.4g} %"
