"""``prunus tickets stability``."""

from __future__ import annotations

from typing import Annotated

import typer

from prunus.cli.commands.tickets.options import Experiment, in_percent
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say


def stability(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    points: Annotated[int, typer.Option(help="On the line between two networks, its ends included.", min=2)] = 30,
    as_json: AsJson = False,
) -> None:
    """Say whether tickets end in one valley whatever the order of the data, and how far their weights go."""
    from prunus.history.store import History
    from prunus.report.words import mean_and_half
    from prunus.tickets.gathering import gather_tickets
    from prunus.tickets.siblings import stability as measured

    history = History(folder, create=False)
    found = measured(history, gather_tickets(history, experiment), points)
    if as_json:
        print_json(
            [{**vars(each), "ticket": each.ticket.technique, "sparsity": each.ticket.sparsity} for each in found]
        )
        return
    rows = [
        [
            each.ticket.technique,
            in_percent(1 - each.ticket.sparsity),
            mean_and_half(each.barrier, 100, sign=True),
            mean_and_half(each.sibling_signs, 100),
            mean_and_half(each.signs, 100),
            mean_and_half(each.change, 100, 0),
        ]
        for each in found
    ]
    columns = ["tickets", "left", "barrier", "signs alike", "signs kept", "change in %"]
    print_table(columns, rows, "Each ticket beside a sibling that saw the data in another order, over seeds")
    say("")
    say("barrier: points by which the test error rises on the line between the two, measured")
    say(f"at {points} points; signs alike: % of the kept weights with one sign in both; signs")
    say("kept: % that end with the sign of their first value; change: in norm.")
