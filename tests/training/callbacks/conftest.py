from __future__ import annotations

import functools
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy

from prunus.schedules import Cubic
from prunus.training.edge_popup import EdgePopup
from prunus.training.movement import MovementPruner, TopScores
from prunus.training.pruner import Pruner
from prunus.training.rewiring import Rewirer
from prunus.training.updates import Updates

# At exit torch now and then aborts while it takes gloo's threads down, after all is done.
LEAVE = """
import os
sys.stdout.flush()
torch.distributed.barrier()
os._exit(0)
"""


GRADUAL = {"schedule": Cubic(0.9, begin=2, end=14, every=3)}
every_kind = pytest.mark.parametrize(
    "make",
    [
        functools.partial(Pruner, **GRADUAL),
        functools.partial(Pruner, criterion="movement", **GRADUAL),
        functools.partial(Rewirer, sparsity=0.5, updates=Updates(until=10, every=2)),
        functools.partial(MovementPruner, rule=TopScores(Cubic(0.7, begin=1, end=10)), learning_rate=0.1),
        functools.partial(EdgePopup, sparsity=0.6, learning_rate=1.0),
    ],
    ids=["magnitude", "movement", "rigl", "movement with scores", "edge-popup"],
)


def examples(count=60, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=generator), torch.randint(4, (count,), generator=generator)


def adam(model):
    return torch.optim.Adam(model.parameters(), 0.01)


def train_by_hand(model, make, steps, *, batch=5, accumulate=1, optimizer=None, average=None):
    """The reference: the same batches in a plain loop; what the library does must be bit for bit this."""
    optimizer = optimizer or adam(model)
    inputs, targets = examples()
    # Copies, since a matrix product in the middle of a larger tensor may be rounded otherwise, on some machines.
    batches = [(inputs[at : at + batch].clone(), targets[at : at + batch]) for at in range(0, len(inputs), batch)]
    with make(model, optimizer) as pruner:
        if average is not None:
            pruner.mask_also(average)
        for step in range(steps):
            optimizer.zero_grad()
            for number in range(step * accumulate, (step + 1) * accumulate):
                (cross_entropy(model(batches[number % 12][0]), batches[number % 12][1]) / accumulate).backward()
            optimizer.step()
            if average is not None:
                average.update_parameters(model)
            pruner.step()
    return pruner


def same(first, second):
    return all(torch.equal(ours, theirs) for ours, theirs in zip(first.parameters(), second.parameters(), strict=True))


def removed_are_zero(model, masks):
    parameters = dict(model.named_parameters())
    return all(bool((parameters[name][~mask] == 0).all()) for name, mask in masks.items()) and masks.removed > 0


@pytest.fixture
def processes(tmp_path):
    """Run a script in two processes that find one another; what each wrote, word by word."""

    def run(script):
        file = tmp_path / "script.py"
        file.write_text(script + LEAVE)
        command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        done = subprocess.run(
            [*command, f"--log-dir={tmp_path / 'logs'}", "--redirects=1", str(file), str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said = [path.read_text().split() for path in sorted((tmp_path / "logs").rglob("stdout.log"))]
        assert len(said) == 2
        return said

    return run
