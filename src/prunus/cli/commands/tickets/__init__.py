"""``prunus tickets``: one file for each of its commands."""

from __future__ import annotations

import typer

from prunus.cli.commands.tickets.compare import compare
from prunus.cli.commands.tickets.consensus import consensus
from prunus.cli.commands.tickets.rank import rank
from prunus.cli.commands.tickets.stability import stability
from prunus.cli.commands.tickets.structure import structure
from prunus.cli.commands.tickets.transfer import transfer
from prunus.cli.commands.tickets.verdict import verdict

app = typer.Typer(no_args_is_help=True, help="Study lottery tickets: judge, compare, intersect and transfer them.")
app.command()(verdict)
app.command()(rank)
app.command()(compare)
app.command()(structure)
app.command()(stability)
app.command()(consensus)
app.command()(transfer)
