"""``prunus tickets structure``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prunus.cli.commands.tickets.options import Experiment, Rounds, Sparsity, asked_for, in_percent, opened, told_names
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say
from prunus.errors import SelectionError

if TYPE_CHECKING:
    from prunus.report.names import ShortNames
    from prunus.tickets.comparison import Comparison
    from prunus.tickets.unit_structure import Structure


class _At(NamedTuple):
    """What is shown of one sparsity."""

    sparsity: float
    techniques: Mapping[str, Mapping[str, Structure]]
    structured: list[Comparison]


def structure(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    sparsity: Sparsity = None,
    rounds: Rounds = False,
    view: Annotated[str, typer.Option(help="row (outputs, filters), column (inputs) or kernel.")] = "row",
    as_json: AsJson = False,
) -> None:
    """Say how far what stays lies in whole rows, columns or kernels, beside what chance would give."""
    from prunus.tickets.rounds import gather_rounds
    from prunus.tickets.structured import beside_structured
    from prunus.tickets.unit_structure import mean_structure

    found = []
    for each in asked_for(gather_rounds(opened(folder, experiment), experiment), sparsity, rounds):
        techniques = {name: mean_structure(several, view) for name, several in each.masks.items()}
        found.append(_At(each.sparsity, techniques, beside_structured(each, view)))
    if not any(layers for at in found for layers in at.techniques.values()):
        raise SelectionError(f"no layer that was pruned has {view}s: look at another view")
    if as_json:
        plain: list[dict[str, Any]] = [each._asdict() for each in found]
        print_json({"view": view, **({"rounds": plain} if rounds else plain[0])})
        return
    short = told_names(name for each in found for name in each.techniques)
    _print_layers(found, short, view)
    _print_structured(found, short)
    say("")
    say(f"empty: {view}s of which nothing is left; Gini, entropy: of what is kept of each")
    say(f"{view}; in wholes: what lies in as many of the fullest {view}s as would hold")
    say("it all. Jaccard: of masks, where both look, ± half the 95 % interval;")
    say(f"{view}s by norm: those of the trained network with the largest L1 norm, as many")
    say("weights of each layer. By chance: as many of each layer at random.")


def _print_layers(found: Sequence[_At], short: ShortNames, view: str) -> None:
    """A table for each layer, in which the techniques at one sparsity stand below one another."""
    columns = ["masks of", "% empty", "Gini", "entropy", "% in wholes"]
    several = len(found) > 1
    for layer in dict.fromkeys(layer for at in found for layers in at.techniques.values() for layer in layers):
        at_layer = [
            (at.sparsity, technique, layers[layer])
            for at in found
            for technique, layers in at.techniques.items()
            if layer in layers
        ]
        rows = [
            [*([in_percent(sparsity)] if several else []), short[technique], *_cells(each)]
            for sparsity, technique, each in at_layer
        ]
        where = "" if several else f" at {in_percent(found[0].sparsity)} sparsity"
        title = f"{layer}: its {at_layer[0][2].groups} {view}s{where}, means over seeds (by chance)"
        print_table([*(["sparsity"] if several else []), *columns], rows, title)
        say("")


def _print_structured(found: Sequence[_At], short: ShortNames) -> None:
    from prunus.report.words import mean_and_half

    several = len(found) > 1
    rows = [
        [
            *([in_percent(at.sparsity)] if several else []),
            short[each.first],
            short[each.second],
            mean_and_half(each.jaccard, decimals=3),
            f"{each.by_chance.mean:.3f}",
            f"{100 * each.beyond_chance:.0f} %",
        ]
        for at in found
        for each in at.structured
    ]
    columns = ["masks of", "and of", "Jaccard", "by chance", "beyond it"]
    if rows:
        title = "How far masks of single weights agree with structured pruning"
        print_table([*(["sparsity"] if several else []), *columns], rows, title)
    else:
        say("No agreement with structured pruning: nothing prunes single weights of a trained network.")


def _cells(found: Structure) -> list[str]:
    return [
        f"{100 * found.empty:.1f} ({100 * found.empty_by_chance:.1f})",
        f"{found.gini:.2f} ({found.gini_by_chance:.2f})",
        f"{found.entropy:.3f} ({found.entropy_by_chance:.3f})",
        f"{100 * found.in_wholes:.1f} ({100 * found.in_wholes_by_chance:.1f})",
    ]
