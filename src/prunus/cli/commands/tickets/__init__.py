"""``prunus tickets``: one file for each of its commands."""

from __future__ import annotations

import typer

from prunus.cli.commands.tickets.compare import compare
from prunus.cli.commands.tickets.rank import rank
from prunus.cli.commands.tickets.stability import stability
from prunus.cli.commands.tickets.structure import structure
from prunus.cli.commands.tickets.verdict import verdict

app = typer.Typer(no_args_is_help=True, help="Study lottery tickets: judge them, with controls.")
app.command()(verdict)
app.command()(rank)
app.command()(compare)
app.command()(structure)
app.command()(stability)
