"""``prunus history``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import moment, percent, print_json, print_table, say, short

if TYPE_CHECKING:
    from prunus.history.records import RunRecord, StateRecord
    from prunus.history.store import History


def history(
    folder: HistoryFolder = None,
    most: Annotated[int, typer.Option("--most", help="How many runs to list; 0 lists all.")] = 20,
    experiments: Annotated[
        bool, typer.Option("--experiments", help="List the experiments instead of their runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what was tried, newest first."""
    from prunus.history.store import History

    found = History(folder, create=False)
    if experiments:
        _list_experiments(found, most, as_json)
    else:
        _list_runs(found, most, as_json)
    if not as_json:
        for problem in found.problems:
            say(f"warning: {problem}", err=True)


def _list_runs(found: History, most: int, as_json: bool) -> None:
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
    columns = ["run", "began (UTC)", "technique", "seed", "states", "sparsity", "accuracy"]
    print_table(columns, [_row(run, states[run.id]) for run in shown])
    _say_older(len(runs) - len(shown), "run")
    if any(len(states[run.id]) < run.states_planned for run in shown):
        say("so far: unfinished; run the recipe again to go on")


def _row(run: RunRecord, states: list[StateRecord]) -> list[str]:
    last = states[-1] if states else None
    return [
        short(run.id),
        moment(run.created),
        run.technique,
        str(run.seed),
        f"{len(states)}/{run.states_planned}{' so far' if len(states) < run.states_planned else ''}",
        percent(last.sparsity) if last else "–",
        percent(last.test.accuracy) if last and last.test else "–",
    ]


def _list_experiments(found: History, most: int, as_json: bool) -> None:
    every = found.experiments()
    shown = every[:most] if most else every
    recorded = Counter(state.run_id for state in found.states())
    complete = {run.id for run in found.runs() if recorded[run.id] >= run.states_planned}
    done = {each.id: sum(run in complete for run in each.runs) for each in shown}
    if as_json:
        print_json(
            [
                {
                    "experiment": each,
                    "runs": len(each.runs),
                    "runs_complete": done[each.id],
                    "complete": done[each.id] == len(each.runs),
                }
                for each in shown
            ]
        )
        return
    rows = [
        [
            short(each.id),
            moment(each.created),
            each.title or "untitled",
            f"{done[each.id]}/{len(each.runs)}{' unfinished' if done[each.id] < len(each.runs) else ''}",
        ]
        for each in shown
    ]
    print_table(["experiment", "last asked for (UTC)", "title", "runs"], rows)
    _say_older(len(every) - len(shown), "experiment")
    if any(done[each.id] < len(each.runs) for each in shown):
        say("unfinished: run the recipe again to go on")


def _say_older(count: int, what: str) -> None:
    if count:
        say(f"{count} older {what}{'' if count == 1 else 's'}: --most 0 lists all")
