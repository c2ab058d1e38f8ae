"""The program ``prunus``."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from prunus.cli.commands.best import best
from prunus.cli.commands.check import check
from prunus.cli.commands.criteria import criteria
from prunus.cli.commands.export import export
from prunus.cli.commands.history import history
from prunus.cli.commands.inspect import inspect
from prunus.cli.commands.recipes import recipes
from prunus.cli.commands.report import report
from prunus.cli.commands.run import run
from prunus.cli.commands.show import show
from prunus.cli.commands.tickets import app as tickets
from prunus.cli.output import say
from prunus.errors import ArgumentError, PrunusError, UserCodeError

TRACEBACK = "PRUNUS_TRACEBACK"

app = typer.Typer(
    name="prunus",
    help="Prune networks by any technique, keep the evidence, ship the best.",
    epilog=f"{TRACEBACK}=1 in the environment shows where an error arose, call by call.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
CONSTRAINTS = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command()(run)
app.command()(check)
app.command()(recipes)
app.command()(history)
app.command()(show)
app.command(context_settings=CONSTRAINTS)(best)
app.command()(report)
app.command()(export)
app.command()(inspect)
app.command()(criteria)
app.add_typer(tickets, name="tickets")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        typer.echo(f"prunus {installed('prunus')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Prune networks by any technique, keep the evidence, ship the best."""


def main() -> None:
    """Run the program; what prunus raises on purpose becomes one message and an exit status.

    Exit status: 0 done, 1 it could not be done, 2 it was asked for wrongly, 130 interrupted.
    """
    sys.path.append(os.getcwd())  # so that a recipe can name a module of the current folder
    try:
        app()
    except PrunusError as error:
        _tell(error)
        sys.exit(2 if isinstance(error, ArgumentError) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, as in `prunus history | head`
        sys.exit(1)


def _tell(error: PrunusError) -> None:
    """The message, below the whole traceback where that is asked for."""
    asked = os.environ.get(TRACEBACK, "0") not in ("", "0")
    calls = "".join(traceback.format_exception(error)) if asked else ""
    users = any(isinstance(each, UserCodeError) for each in (error, error.__cause__))
    hint = f"\n{TRACEBACK}=1 shows where, call by call" if users and not asked else ""
    for line in f"{calls}error: {error}{hint}".split("\n"):
        say(line, err=True)
