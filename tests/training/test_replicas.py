from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from prunus.training.replicas import replica_group

BEGIN = """
import sys, torch, torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
import prunus
from prunus.schedules import Levels, OneShot
torch.set_num_threads(1)
rank, file = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))
torch.manual_seed(rank)
batches = [(torch.randn(30, 6), torch.randint(4, (30,)))]  # each process has other data
"""


def in_two_processes(script, meeting):
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", BEGIN + script, str(rank), str(meeting)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        return [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()


TRAINED = """
settings = {settings}
model = DistributedDataParallel(network, find_unused_parameters=False)
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
subject = model if {wrapped} else network
with prunus.Pruner(subject, optimizer, Levels((0.3, 0.5), every=3), batches=batches, **settings) as pruner:
    for _ in range(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = cross_entropy(model(batches[0][0]), batches[0][1])
        loss.backward()
        optimizer.step()
        pruner.step()
zeros = sum(int((weight == 0).sum()) for weight in (network[0].weight, network[2].weight))
weights = __import__("hashlib").sha256(b"".join(p.detach().numpy().tobytes() for p in network.parameters())).hexdigest()
print(pruner.masks.digest(), weights, zeros, pruner.masks.removed, *pruner.last.protected)
dist.destroy_process_group()
"""


def trained(meeting, settings, wrapped=True):
    return in_two_processes(TRAINED.replace("{settings}", repr(settings)).replace("{wrapped}", str(wrapped)), meeting)


def test_magnitude_agrees_without_being_told(tmp_path):
    first, second = trained(tmp_path / "meeting", {})
    assert first == second
    assert first.split()[2:] == ["50", "50"]


def test_criteria_that_look_at_each_process_own_data_give_the_same_masks_and_weights(tmp_path):
    for number, (criterion, wrapped) in enumerate([("snip", True), ("snip", False), ("sparsegpt", True)]):
        first, second = trained(tmp_path / f"meeting {number}", {"criterion": criterion}, wrapped)
        assert first == second, criterion
        assert first.split()[2:] == ["50", "50"], criterion


WITH_BUFFERS = """
network = nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.Linear(10, 4))
batches = batches * (2 - rank)  # not as many in each process
model = DistributedDataParallel(network, static_graph={static})
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with prunus.Pruner(model, optimizer, Levels((0.3, 0.5), every=2), "snip", batches=batches) as pruner:
    for _ in range(4):
        optimizer.zero_grad()
        cross_entropy(model(batches[0][0]), batches[0][1]).backward()
        optimizer.step()
        pruner.step()
weights = __import__("hashlib").sha256(b"".join(p.detach().numpy().tobytes() for p in network.parameters())).hexdigest()
print(pruner.masks.digest(), weights, pruner.masks.removed)
dist.destroy_process_group()
"""


@pytest.mark.parametrize("static", [False, True])
def test_scoring_waits_for_nobody_and_the_gradients_stay_those_of_all(tmp_path, static):
    first, second = in_two_processes(WITH_BUFFERS.replace("{static}", str(static)), tmp_path / "meeting")
    assert first == second
    assert first.split()[2:] == ["50"]


ONE_FAILS = """
def own(subject):
    if rank == 1:
        raise KeyError("no such layer")
    return dict(subject.weights())
optimizer = torch.optim.SGD(network.parameters(), 0.1)
try:
    prunus.Pruner(network, optimizer, OneShot(0.5), "snip", batches=batches if rank == 0 else [])
except prunus.PrunusError as error:
    print(type(error).__name__, error)
try:
    prunus.Pruner(network, optimizer, OneShot(0.5), own)
except (prunus.PrunusError, KeyError) as error:
    print(type(error).__name__, error)
print(len(network[0].weight._post_accumulate_grad_hooks or ()))
dist.destroy_process_group()
"""


def test_an_error_in_one_process_is_raised_in_all_and_nobody_waits_forever(tmp_path):
    first, second = in_two_processes(ONE_FAILS, tmp_path / "meeting")
    told = "TrainingError process 1 could not choose what to prune:"
    assert first.startswith(f"{told} ArgumentError: the batches are empty")
    assert f"{told} KeyError: 'no such layer'" in first
    assert second.startswith("ArgumentError the batches are empty")
    assert "KeyError 'no such layer'" in second
    assert first.endswith("\n0\n")
    assert second.endswith("\n0\n")


OTHERS = """
if rank == 1:
    network = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 4))
for replicas in (True, False):
    try:
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        with prunus.Pruner(network, optimizer, OneShot(0.5), replicas=replicas) as pruner:
            print(pruner.masks.removed)
    except prunus.PrunusError as error:
        print(error)
dist.destroy_process_group()
"""


def test_processes_that_train_other_models_are_told_to_say_so(tmp_path):
    said = in_two_processes(OTHERS, tmp_path / "meeting")
    for text, removed in zip(said, (50, 60), strict=True):
        refused, alone = text.splitlines()
        assert "they train no replicas of one model: pass replicas=False" in refused
        assert int(alone) == removed


def test_one_process_has_no_replicas():
    assert replica_group(nn.Linear(2, 2), replicas=True) is None
    assert not torch.distributed.is_initialized()
