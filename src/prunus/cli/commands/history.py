"""``prunus history``."""

from __future__ import annotations

from typing import Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import moment, percent, print_json, print_table, short


def history(
    folder: HistoryFolder = None,
    most: Annotated[int, typer.Option("--most", help="How many runs to list; 0 lists all.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what was tried, newest first."""
    from prunus.history.store import History

    found = History(folder, create=False)
    runs = found.runs()
    shown = runs[:most] if most else runs
    states = {run.id: [state.record for state in found.states(run.id)] for run in shown}
    if as_json:
        print_json(
            [
                {
                    "run": run,
                    "states": len(states[run.id]),
                    "complete": found.complete(run.id),
                    "last": states[run.id][-1] if states[run.id] else None,
                }
                for run in shown
            ]
        )
        return
    rows = []
    for run in shown:
        last = states[run.id][-1] if states[run.id] else None
        rows.append(
            [
                short(run.id),
                moment(run.created),
                run.technique,
                str(run.seed),
                f"{len(states[run.id])}/{run.states_planned}",
                percent(last.sparsity) if last else "–",
                percent(last.test.accuracy) if last and last.test else "–",
            ]
        )
    columns = ["run", "began (UTC)", "technique", "seed", "states", "sparsity", "accuracy"]
    print_table(columns, rows)
    if len(shown) < len(runs):
        typer.echo(f"{len(runs) - len(shown)} older runs: --most 0 lists all")
    for problem in found.problems:
        typer.echo(f"warning: {problem}", err=True)
