"""``prunus tickets``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from prunus.selection.statistics import Interval
    from prunus.tickets.verdict import Verdict

app = typer.Typer(no_args_is_help=True, help="Study lottery tickets: judge them, with controls.")

Experiment = Annotated[
    str | None,
    typer.Argument(metavar="[EXPERIMENT]", help="Id of an experiment, or its beginning; the latest where left out."),
]

Sparsity = Annotated[
    float | None, typer.Option(help="Of the masks, as in the recipe; the highest that most have where left out.")
]


@app.command()
def verdict(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    margin: Annotated[float, typer.Option(help="Accuracy that a winning ticket may lose, in points.", min=0)] = 0.5,
    later: Annotated[float, typer.Option(help="How much later it may stop, in % of the dense steps.", min=0)] = 10,
    as_json: AsJson = False,
) -> None:
    """Say of every ticket whether it wins: as accurate as the dense network, after as many steps, and by how much."""
    from prunus.history.store import History
    from prunus.tickets.gathering import gather_tickets
    from prunus.tickets.verdict import judge

    found = judge(gather_tickets(History(folder, create=False), experiment), margin=margin / 100, later=later / 100)
    if as_json:
        print_json([_plain(each) for each in found])
        return
    for technique in dict.fromkeys(each.ticket.technique for each in found):
        _print(technique, [each for each in found if each.ticket.technique == technique])
    say("")
    say(f"winning: at most {margin:g} points less accurate than the dense network and, where")
    say(f"learning curves were recorded, stopping at most {later:g} % later, each shown by")
    say("its 95 % interval; losing: one of them shown to be otherwise. Paired by seed.")


@app.command()
def compare(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    sparsity: Sparsity = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say how far techniques, and seeds, agree on what stays, beside what chance would give."""
    from prunus.history.store import History
    from prunus.tickets.comparison import clustered, found_masks
    from prunus.tickets.comparison import compare as compared

    at, masks = found_masks(History(folder, create=False), experiment, sparsity)
    found = compared(masks)
    order = clustered(found)
    found.sort(key=lambda each: (each.first != each.second, *sorted(map(order.index, (each.first, each.second)))))
    if as_json:
        print_json({"sparsity": at, "order": order, "pairs": found})
        return
    names = list(found[0].layers) if layers and found else []
    rows = [
        [
            each.first,
            each.second if each.second != each.first else "itself, other seeds",
            _shown(each.jaccard, 1, digits=3),
            f"{each.by_chance:.3f}",
            f"{100 * each.beyond_chance:.0f} %",
            *("{:.3f} ({:.3f})".format(*each.layers[name]) for name in names),
        ]
        for each in found
    ]
    columns = ["masks of", "and of", "Jaccard", "by chance", "beyond it", *names]
    print_table(
        columns, rows, f"What stays at {100 * at:.4g} % sparsity: weights that both keep of those that either keeps"
    )
    say("")
    say("Compared seed by seed, ± half the 95 % interval. By chance: masks that keep as")
    say("many weights of each layer at random; beyond it: agree more than 97.5 % of those.")


@app.command()
def structure(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    sparsity: Sparsity = None,
    view: Annotated[str, typer.Option(help="row (outputs, filters), column (inputs) or kernel.")] = "row",
    as_json: AsJson = False,
) -> None:
    """Say how far what stays lies in whole rows, columns or kernels, beside what chance would give."""
    from prunus.history.store import History
    from prunus.tickets.comparison import found_masks
    from prunus.tickets.unit_structure import mean_structure

    at, masks = found_masks(History(folder, create=False), experiment, sparsity)
    found = {name: mean_structure(several, view) for name, several in masks.items()}
    if as_json:
        print_json({"sparsity": at, "view": view, "techniques": found})
        return
    rows = [
        [
            technique,
            name,
            f"{100 * each.empty:.1f} ({100 * each.empty_by_chance:.1f})",
            f"{each.gini:.2f} ({each.gini_by_chance:.2f})",
            f"{each.entropy:.3f} ({each.entropy_by_chance:.3f})",
            f"{100 * each.in_wholes:.1f} ({100 * each.in_wholes_by_chance:.1f})",
        ]
        for technique, layers in found.items()
        for name, each in layers.items()
    ]
    columns = ["masks of", "layer", "% empty", "Gini", "entropy", "% in wholes"]
    print_table(columns, rows, f"The {view}s at {100 * at:.4g} % sparsity, means over seeds (by chance)")
    say("")
    say(f"empty: {view}s of which nothing is left; Gini, entropy: of what is kept of each")
    say(f"{view}; in wholes: what lies in as many of the fullest {view}s as would hold")
    say("it all; by chance: as many weights of each layer at random.")


@app.command()
def stability(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    points: Annotated[int, typer.Option(help="On the line between two networks, its ends included.", min=2)] = 30,
    as_json: AsJson = False,
) -> None:
    """Say whether tickets end in one valley whatever the order of the data, and how far their weights go."""
    from prunus.history.store import History
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
            f"{100 * (1 - each.ticket.sparsity):.4g} %",
            _shown(each.barrier, 100, sign=True),
            _shown(each.sibling_signs, 100),
            _shown(each.signs, 100),
            _shown(each.change, 100, digits=0),
        ]
        for each in found
    ]
    columns = ["tickets", "left", "barrier", "signs alike", "signs kept", "change in %"]
    print_table(columns, rows, "Each ticket beside a sibling that saw the data in another order, over seeds")
    say("")
    say("barrier: points by which the test error rises on the line between the two, measured")
    say(f"at {points} points; signs alike: % of the kept weights with one sign in both; signs")
    say("kept: % that end with the sign of their first value; change: in norm.")


def _print(technique: str, verdicts: list[Verdict]) -> None:
    controls = list(dict.fromkeys(kind for each in verdicts for kind in each.to_controls))
    columns = ["left", "accuracy", "to dense", "stops at", "later", "verdict", *(f"to {kind}" for kind in controls)]
    rows = [
        [
            f"{100 * (1 - each.ticket.sparsity):.4g} %",
            _shown(each.accuracy, 100),
            _shown(each.to_dense, 100, sign=True),
            _shown(each.step, 1, digits=0),
            f"{_shown(each.later, 100, digits=0, sign=True)}{' %' if each.later else ''}",
            each.word,
            *(_shown(each.to_controls.get(kind), 100, sign=True) for kind in controls),
        ]
        for each in verdicts
    ]
    seeds = max(each.accuracy.count for each in verdicts)
    print_table(columns, rows, f"{technique}: test accuracy in %, mean of {seeds} seeds ± half the 95 % interval")


def _shown(interval: Interval | None, factor: float, *, digits: int = 1, sign: bool = False) -> str:
    if interval is None:
        return "–"
    mean = f"{factor * interval.mean:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    if interval.low is None:
        return mean
    return f"{mean} ±{factor * (interval.mean - interval.low):.{digits}f}"


def _plain(found: Verdict) -> dict[str, object]:
    return {
        "technique": found.ticket.technique,
        "sparsity": found.ticket.sparsity,
        "accuracy": found.accuracy,
        "to_dense": found.to_dense,
        "step": found.step,
        "later": found.later,
        "verdict": found.word,
        "to_controls": found.to_controls,
    }
