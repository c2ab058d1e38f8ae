from __future__ import annotations

import functools

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from prunus.schedules import Iterative
from prunus.training.pruner import Pruner
from training.callbacks.conftest import GRADUAL, adam, every_kind, examples, removed_are_zero, same, train_by_hand
from training.small import small_model

pytestmark = pytest.mark.filterwarnings(*(f"ignore:.*:{kind}Warning" for kind in ("User", "Future", "Deprecation")))


@pytest.fixture(autouse=True)
def _accelerate_begins_afresh():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def prepared(**settings):
    accelerator = Accelerator(cpu=True, **settings)
    network = small_model()
    loader = DataLoader(TensorDataset(*examples()), batch_size=5)
    return accelerator, network, *accelerator.prepare(network, adam(network), loader)


def train(accelerator, model, optimizer, loader, pruner, epochs, average=None):
    for _ in range(epochs):
        for inputs, targets in loader:
            with accelerator.accumulate(model):
                accelerator.backward(cross_entropy(model(inputs), targets))
                optimizer.step()
                optimizer.zero_grad()
                if average is not None and accelerator.sync_gradients:
                    average.update_parameters(model)
                pruner.step()


@every_kind
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_training_is_bit_for_bit_that_of_a_plain_loop(make, accumulate):
    accelerator, network, model, optimizer, loader = prepared(gradient_accumulation_steps=accumulate)
    with make(model, optimizer) as pruner:
        train(accelerator, model, optimizer, loader, pruner, 2)
    expected = small_model()
    train_by_hand(expected, make, 24 // accumulate, accumulate=accumulate)
    assert pruner.steps == 24 // accumulate
    assert same(network, expected)
    assert removed_are_zero(network, pruner.masks)


def test_a_training_resumed_in_the_middle_ends_as_an_uninterrupted_one(tmp_path):
    make = functools.partial(Pruner, schedule=Iterative(6, every=4, fraction=0.3), criterion="random")
    accelerator, whole, model, optimizer, loader = prepared()
    with make(model, optimizer) as pruner:
        accelerator.register_for_checkpointing(pruner)
        train(accelerator, model, optimizer, loader, pruner, 1)
        accelerator.save_state(tmp_path)
        train(accelerator, model, optimizer, loader, pruner, 1)
    again, network, model, optimizer, loader = prepared()
    with make(model, optimizer, seed=5) as resumed:
        again.register_for_checkpointing(resumed)
        again.load_state(tmp_path)
        train(again, model, optimizer, loader, resumed, 1)
    assert resumed.steps == pruner.steps == 24
    assert resumed.masks == pruner.masks
    assert same(network, whole)


def test_in_bfloat16_and_in_a_moving_average_removed_weights_are_zero():
    accelerator, network, model, optimizer, loader = prepared(mixed_precision="bf16")
    average = AveragedModel(network, avg_fn=get_ema_avg_fn(0.8))
    with Pruner(model, optimizer, **GRADUAL) as pruner:
        pruner.mask_also(average)
        train(accelerator, model, optimizer, loader, pruner, 2, average)
    assert pruner.masks.removed == 90
    assert removed_are_zero(network, pruner.masks)
    assert removed_are_zero(average.module, pruner.masks)
    assert not torch.equal(average.module[0].weight, network[0].weight)


PROCESS = """
import os, sys, torch
sys.path.insert(0, {tests!r})
from training.callbacks.test_accelerate import *
from prunus.schedules import Levels
torch.set_num_threads(1)
batches = [examples(20, seed=int(os.environ["RANK"]))]  # each process looks at other data
accelerator, network, model, optimizer, loader = prepared()
with Pruner(model, optimizer, Levels((0.3, 0.6), every=3), "snip", batches=batches) as pruner:
    train(accelerator, model, optimizer, loader, pruner, 2)
digest = __import__("hashlib").sha256(b"".join(p.detach().numpy().tobytes() for p in network.parameters())).hexdigest()
print("found", pruner.masks.digest(), digest, pruner.masks.removed, removed_are_zero(network, pruner.masks))
"""


def test_all_processes_have_the_same_masks(processes, pytestconfig):
    said = processes(PROCESS.format(tests=str(pytestconfig.rootpath / "tests")))
    first, second = (words[words.index("found") :] for words in said)
    assert first == second
    assert first[3:] == ["60", "True"]
