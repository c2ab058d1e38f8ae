from __future__ import annotations

import functools
import subprocess
import sys

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from prunus.errors import ArgumentError, MissingExtraError, TrainingError
from prunus.schedules import Cubic, OneShot
from prunus.training.callbacks.lightning import PruningCallback
from prunus.training.pruner import Pruner
from training.callbacks.conftest import GRADUAL, adam, every_kind, examples, removed_are_zero, same, train_by_hand
from training.small import small_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:UserWarning", "ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning"
)


class Module(lightning.LightningModule):
    def __init__(self, fails_at=None):
        super().__init__()
        self.network, self.fails_at = small_model(), fails_at

    def forward(self, inputs):
        return self.network(inputs)

    def training_step(self, batch, number):
        if self.fails_at == self.global_step:
            raise RuntimeError("out of luck")
        return cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch, number):
        self.log("zeros", sum((parameter == 0).sum().float() for parameter in self.parameters()))

    def configure_optimizers(self):
        return adam(self)


def trainer(folder, *callbacks, epochs=2, **settings):
    return lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"enable_checkpointing": False, **settings},
    )


def loader():
    return DataLoader(TensorDataset(*examples()), batch_size=5)


def fitted(folder, callback, *others, module=None, **settings):
    module = module or Module()
    trainer(folder, callback, *others, **settings).fit(module, loader(), loader())
    return module


@every_kind
def test_the_training_is_bit_for_bit_that_of_a_plain_loop(tmp_path, make):
    callback = PruningCallback(make)
    module = fitted(tmp_path, callback)
    expected = small_model()
    pruner = train_by_hand(expected, make, 24)
    assert same(module.network, expected)
    assert {f"network.{name}": mask.tolist() for name, mask in pruner.masks.items()} == {
        name: mask.tolist() for name, mask in callback.masks.items()
    }
    assert callback.pruner.steps == 24
    assert removed_are_zero(module, callback.masks)


def test_several_batches_of_one_step_are_one_step(tmp_path):
    callback = PruningCallback(**GRADUAL)
    module = fitted(tmp_path, callback, epochs=3, accumulate_grad_batches=2)
    expected = small_model()
    train_by_hand(expected, functools.partial(Pruner, **GRADUAL), 18, accumulate=2)
    assert callback.pruner.steps == 18
    assert same(module.network, expected)


@pytest.mark.parametrize(
    ("criterion", "schedule"),
    [
        ("random", Cubic(0.9, begin=0, end=30, every=4, initial=0.3)),
        ("random", OneShot(0.7)),
        ("movement", Cubic(0.9, begin=1, end=30, every=4, initial=0.3)),
    ],
)
def test_a_resumed_training_ends_as_an_uninterrupted_one(tmp_path, schedule, criterion):
    whole = PruningCallback(schedule=schedule, criterion=criterion)
    expected = fitted(tmp_path, whole, epochs=3)
    first = trainer(tmp_path, PruningCallback(schedule=schedule, criterion=criterion), epochs=2)
    first.fit(Module(), loader())
    first.save_checkpoint(tmp_path / "middle.ckpt")
    again = PruningCallback(schedule=schedule, criterion=criterion, seed=5)
    module = Module()
    trainer(tmp_path, again, epochs=3).fit(module, loader(), ckpt_path=tmp_path / "middle.ckpt", weights_only=True)
    assert again.pruner.steps == whole.pruner.steps == 36
    assert again.masks == whole.masks
    assert same(module, expected)


def test_in_bfloat16_removed_weights_are_zero(tmp_path):
    callback = PruningCallback(**GRADUAL)
    module = fitted(tmp_path, callback, precision="bf16-mixed")
    assert callback.masks.removed == 90
    assert removed_are_zero(module, callback.masks)
    assert module.network[0].weight.dtype == torch.float32


@pytest.mark.parametrize("average_first", [True, False])
def test_in_a_moving_average_removed_weights_are_zero_too(tmp_path, average_first):
    callback, average = PruningCallback(**GRADUAL), EMAWeightAveraging(decay=0.8)
    saved = ModelCheckpoint(tmp_path, save_last=True)
    module = Module()
    callbacks = [average, callback] if average_first else [callback, average]
    fitting = trainer(tmp_path, *callbacks, saved, enable_checkpointing=True)
    fitting.fit(module, loader(), loader())
    assert removed_are_zero(module, callback.masks)
    assert fitting.callback_metrics["zeros"] == 90  # validation is on the average
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert sum(int((tensor == 0).sum()) for tensor in stored.values()) == 90
    expected = small_model()
    by_hand = AveragedModel(expected, avg_fn=get_ema_avg_fn(0.8), use_buffers=True)
    train_by_hand(expected, functools.partial(Pruner, **GRADUAL), 24, average=by_hand)
    assert same(module.network, by_hand.module)


def test_after_training_and_after_an_error_nothing_is_held(tmp_path):
    module = fitted(tmp_path, PruningCallback(**GRADUAL))
    assert not module.network[0].weight._post_accumulate_grad_hooks
    module = Module(fails_at=5)
    with pytest.raises(RuntimeError, match="out of luck"):
        fitted(tmp_path, PruningCallback(**GRADUAL), module=module)
    assert not module.network[0].weight._post_accumulate_grad_hooks


class TwoOptimizers(Module):
    automatic_optimization = False

    def training_step(self, batch, number):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(cross_entropy(self.network(batch[0]), batch[1]))
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self):
        return adam(self.network[0]), adam(self.network[2])


def test_of_several_optimizers_one_must_be_named(tmp_path):
    with pytest.raises(ArgumentError, match=r"the module has 2 optimizers: say by optimizer=0 which"):
        fitted(tmp_path, PruningCallback(**GRADUAL), module=TwoOptimizers())
    with pytest.raises(ArgumentError, match=r"optimizer must be below the module's 2, got 2"):
        fitted(tmp_path, PruningCallback(optimizer=2, **GRADUAL), module=TwoOptimizers())
    callback = PruningCallback(optimizer=1, include=["network.2"], **GRADUAL)
    module = fitted(tmp_path, callback, module=TwoOptimizers())
    assert callback.pruner.steps == 24
    assert list(callback.masks) == ["network.2.weight"]
    assert removed_are_zero(module, callback.masks)


class Alternating(Module):
    """Two networks; the first is trained in every third batch alone, and then twice."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.other = small_model()

    def training_step(self, batch, number):
        first, second = self.optimizers()
        networks = [(self.other, second), *([(self.network, first)] * 2 if number % 3 == 0 else ())]
        for network, optimizer in networks:
            optimizer.zero_grad()
            self.manual_backward(cross_entropy(network(batch[0]), batch[1]))
            optimizer.step()

    def configure_optimizers(self):
        return adam(self.network), adam(self.other)


def test_with_manual_optimization_batches_are_counted_in_which_the_named_optimizer_steps(tmp_path):
    for number, include, steps in ((0, "network.*", 8), (1, "other.*", 24)):
        callback = PruningCallback(optimizer=number, include=[include], **GRADUAL)
        module = Alternating()
        trainer(tmp_path, callback).fit(module, loader())
        assert callback.pruner.steps == steps
        assert removed_are_zero(module, callback.masks)


def test_a_state_that_was_read_for_a_test_is_none_of_the_next_training(tmp_path):
    callback = PruningCallback(schedule=OneShot(0.9, at=5))
    training = trainer(tmp_path, callback, epochs=1)
    module = Module()
    training.fit(module, loader())
    training.save_checkpoint(tmp_path / "end.ckpt")
    training.validate(module, loader(), ckpt_path=tmp_path / "end.ckpt", verbose=False)
    again = Module()
    trainer(tmp_path, callback, epochs=1).fit(again, loader())
    assert callback.pruner.steps == 12
    assert same(again, module)


def test_before_training_there_are_no_masks():
    with pytest.raises(TrainingError, match="the pruner is made when the training begins"):
        _ = PruningCallback(**GRADUAL).masks


PROCESS = """
import sys, torch
from prunus.schedules import Levels
sys.path.insert(0, {tests!r})
from training.callbacks.test_lightning import *
torch.set_num_threads(1)
rank = int(__import__("os").environ["RANK"])
inputs, targets = examples(20, seed=rank)  # each process looks at other data, and would choose other weights
callback = PruningCallback(schedule=Levels((0.3, 0.6), every=3), criterion="snip", batches=[(inputs, targets)])
fitting = trainer(sys.argv[1], callback, strategy="ddp", devices=2)
module = Module()
fitting.fit(module, loader())
digest = __import__("hashlib").sha256(b"".join(p.detach().numpy().tobytes() for p in module.parameters())).hexdigest()
print("found", callback.masks.digest(), digest, callback.masks.removed, removed_are_zero(module, callback.masks))
"""


def test_all_processes_have_the_same_masks(processes, pytestconfig):
    said = processes(PROCESS.format(tests=str(pytestconfig.rootpath / "tests")))
    first, second = (words[words.index("found") :] for words in said)
    assert first == second
    assert first[3:] == ["60", "True"]


def test_fabric_is_held_under_the_names_of_the_plain_model():
    fabric = lightning.Fabric(accelerator="cpu", precision="bf16-mixed")
    network = small_model()
    model, optimizer = fabric.setup(network, adam(network))
    inputs, targets = examples()
    with Pruner(model, optimizer, OneShot(0.5, at=2)) as pruner:
        for _ in range(4):
            optimizer.zero_grad()
            fabric.backward(cross_entropy(model(inputs), targets))
            optimizer.step()
            pruner.step()
    assert [*pruner.masks] == ["0.weight", "2.weight"]
    assert removed_are_zero(network, pruner.masks)


def test_without_lightning_the_error_says_what_to_install():
    code = "import sys; sys.modules['lightning'] = None\nimport prunus.training.callbacks.lightning"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{MissingExtraError.__name__}: pruning in Lightning's loop needs" in done.stderr
    assert "pip install 'prunus[lightning]'" in done.stderr
