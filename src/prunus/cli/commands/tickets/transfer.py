"""``prunus tickets transfer``."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.commands.tickets.options import in_percent, opened
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say, short
from prunus.errors import SelectionError

if TYPE_CHECKING:
    from prunus.tickets.transferring import Transfer

_WORDS = {"bespoke": "ticket found on the target", "random": "random ticket", "dense": "dense network"}
_COMPARED = {"bespoke": "to_bespoke", "random": "to_random", "dense": "to_dense"}


def transfer(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT]...",
            help="Ids of experiments, one for each task that tickets are taken to; all that take some where left out.",
        ),
    ] = None,
    folder: HistoryFolder = None,
    sparsity: Annotated[
        float | None, typer.Option(help="As in the recipes; the highest that most tickets have where left out.")
    ] = None,
    to: Annotated[
        str, typer.Option(help="Compare with the bespoke ticket, the random one, or the dense network.")
    ] = "bespoke",
    as_json: AsJson = False,
) -> None:
    """Say how good tickets of one task are on another: source by target."""
    from prunus.lookup import require_name
    from prunus.tickets.rounds import nearest
    from prunus.tickets.transferring import trained_otherwise, transfers

    require_name("comparison", to, _COMPARED)
    history = opened(folder, *(experiments or ()))
    found = transfers(history, experiments or ())
    counted = Counter(each.sparsity for each in found)
    at = max(counted, key=lambda each: (counted[each], each)) if sparsity is None else nearest(counted, sparsity)
    if at is None:
        there = ", ".join(f"{each:g}" for each in sorted(counted))
        raise SelectionError(f"no ticket was taken to another task at sparsity {sparsity:g}: some were at {there}")
    shown = [each for each in found if each.sparsity == at]
    if as_json:
        print_json([{**vars(each), "origin": json.loads(each.origin)} for each in shown])
        return
    for origin in dict.fromkeys(each.origin for each in shown):
        of_one = [each for each in shown if each.origin == origin]
        for carry in dict.fromkeys(each.carry for each in of_one if each.source != each.target):
            _print([each for each in of_one if each.carry == carry or each.source == each.target], carry, at, to)
    say("accuracy on the target in %, mean over seeds; where both tasks are one, that of")
    say(f"the ticket found there; and the difference to the {_WORDS[to]}")
    say("in points ± half its 95 % interval, paired by seed")
    others = [] if experiments else [short(each.id) for each in trained_otherwise(history)]
    if others:
        say("left out, for they train otherwise, and shown where they are named:")
        say(", ".join(others))


def _print(found: list[Transfer], carry: str, sparsity: float, to: str) -> None:
    from prunus.report.words import mean_and_half

    cells = {(each.source, each.target): each for each in found}
    targets = list(dict.fromkeys(each.target for each in found))
    rows = []
    for source in dict.fromkeys(each.source for each in found):
        row = [source]
        for target in targets:
            each = cells.get((source, target))
            difference = getattr(each, _COMPARED[to]) if each else None
            told = f" ({mean_and_half(difference, 100, sign=True)})" if difference else ""
            row.append(f"{100 * each.accuracy.mean:.1f}{told}" if each else "–")
        rows.append(row)
    with_it = {"mask": "the mask alone", "initialisation": "mask and first weights", "late": "mask and late weights"}
    title = f"Found on the row, trained on the column, at {in_percent(sparsity)} sparsity: {with_it[carry]}"
    print_table(["found on", *targets], rows, title)
    say("")
