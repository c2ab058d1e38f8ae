"""``prunus report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, say


def report(
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", help="Id of the experiment; by default the latest."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write; by default report.html in the experiment's folder."),
    ] = None,
    folder: HistoryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write the page that shows an experiment: one HTML file that opens offline."""
    from prunus.cli.places import experiment_folder
    from prunus.history.store import History
    from prunus.report.page import write_report

    history = History(folder, create=False)
    record = history.experiment(experiment)
    path = write_report(history, to or experiment_folder(history, record.id) / "report.html", record.id)
    if as_json:
        print_json({"experiment": record.id, "path": path})
    else:
        say(f"report: {path}")
