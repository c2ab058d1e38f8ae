from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from prunus.training.rewiring import Rewirer
from prunus.training.updates import Updates
from training.small import batch, sgd, small_model, train

OFTEN = Updates(until=100, every=2, fraction=0.4)


def test_several_backward_passes_grow_what_one_does():
    whole, parts = small_model(), small_model()
    for model, pieces in ((whole, 1), (parts, 4)):
        optimizer = sgd(model)
        with Rewirer(model, optimizer, 0.6, OFTEN) as rewirer:
            for number in range(6):
                inputs, targets = batch(number)
                optimizer.zero_grad()
                for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
                    cross_entropy(model(x), y, reduction="sum").backward()
                optimizer.step()
                rewirer.step()
            masks = rewirer.masks
        model.found = masks
    assert whole.found == parts.found
    torch.testing.assert_close(whole[0].weight, parts[0].weight)


def test_a_gradient_that_is_thrown_away_grows_nothing():
    def grown(wrong_first):
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with Rewirer(model, optimizer, 0.6, Updates(until=9, every=1)) as rewirer:
            if wrong_first:
                inputs, targets = batch(99)
                (1000 * cross_entropy(model(inputs), targets)).backward()
                optimizer.zero_grad()
            train(model, optimizer, rewirer, 1)
            return rewirer.masks

    assert grown(True) == grown(False)


def test_a_tensor_that_no_gradient_reaches_keeps_its_connections():
    model = nn.ModuleDict({"used": nn.Linear(6, 4), "unused": nn.Linear(6, 4)})
    optimizer = sgd(model)
    with Rewirer(model, optimizer, 0.6, Updates(until=9, every=1)) as rewirer:
        before = rewirer.masks
        for number in range(3):
            inputs, targets = batch(number)
            optimizer.zero_grad()
            cross_entropy(model["used"](inputs), targets).backward()
            optimizer.step()
            rewirer.step()
        assert torch.equal(rewirer.masks["unused.weight"], before["unused.weight"])
        assert not torch.equal(rewirer.masks["used.weight"], before["used.weight"])


PROCESS = """
import sys, torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from prunus.training.rewiring import Rewirer
from prunus.training.updates import Updates
torch.set_num_threads(1)
rank, file = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
torch.manual_seed(0)
model = DistributedDataParallel(nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4)))
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
torch.manual_seed(rank)
with Rewirer(model, optimizer, 0.6, Updates(until=20, every=2), grow="gradient") as rewirer:
    first = rewirer.masks
    for _ in range(6):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(4, (8,))).backward()
        optimizer.step()
        rewirer.step()
    print(rewirer.masks.digest(), rewirer.masks == first)
dist.destroy_process_group()
"""


def test_all_processes_grow_the_same_connections(tmp_path):
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROCESS, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=240)[0].split() for process in running]
    finally:
        for process in running:
            process.kill()
    assert said[0] == said[1]
    assert len(said[0][0]) == 64
    assert said[0][1] == "False"
