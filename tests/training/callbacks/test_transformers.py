from __future__ import annotations

import functools
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset
from transformers import Trainer, TrainingArguments

from prunus.errors import CorruptFileError, TrainingError
from prunus.schedules import Cubic, Iterative, OneShot
from prunus.training.callbacks.transformers import STATE_FILE, PruningCallback
from prunus.training.pruner import Pruner
from training.callbacks.conftest import GRADUAL, adam, every_kind, examples, removed_are_zero, same, train_by_hand
from training.small import small_model

pytestmark = pytest.mark.filterwarnings(*(f"ignore:.*:{kind}Warning" for kind in ("User", "Future", "Deprecation")))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = small_model()

    def forward(self, inputs, labels=None):
        outputs = self.network(inputs)
        return {"logits": outputs} if labels is None else {"loss": cross_entropy(outputs, labels), "logits": outputs}


class InOrder(Trainer):
    def _get_train_sampler(self, *_):
        return None


def collate(batch):
    inputs, labels = zip(*batch, strict=True)
    return {"inputs": torch.stack(inputs), "labels": torch.stack(labels)}


def trainer(folder, callback, *, model=None, epochs=2, **settings):
    model = model or Model()
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=5,
        max_grad_norm=0,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        **{"save_strategy": "no", **settings},
    )
    constant = functools.partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0)
    optimizer = adam(model)
    data = TensorDataset(*examples())
    return InOrder(
        model,
        arguments,
        data_collator=collate,
        train_dataset=data,
        eval_dataset=data,
        callbacks=[callback],
        optimizers=(optimizer, constant(optimizer)),
    )


@every_kind
def test_the_training_is_bit_for_bit_that_of_a_plain_loop(tmp_path, make):
    callback = PruningCallback(make)
    training = trainer(tmp_path, callback)
    training.train()
    expected = small_model()
    train_by_hand(expected, make, 24)
    assert same(training.model.network, expected)
    assert callback.pruner.steps == 24
    assert removed_are_zero(training.model, callback.masks)
    assert not training.model.network[0].weight._post_accumulate_grad_hooks


def test_several_batches_of_one_step_are_one_step(tmp_path):
    callback = PruningCallback(**GRADUAL)
    training = trainer(tmp_path, callback, epochs=3, gradient_accumulation_steps=2)
    training.train()
    expected = small_model()
    train_by_hand(expected, functools.partial(Pruner, **GRADUAL), 18, accumulate=2)
    assert callback.pruner.steps == 18
    for ours, theirs in zip(training.model.network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)  # the Trainer divides the loss elsewhere


@pytest.mark.parametrize(
    ("criterion", "schedule"),
    [
        ("random", Iterative(6, every=4, fraction=0.3)),
        ("random", OneShot(0.7)),
        ("movement", Cubic(0.9, begin=1, end=30, every=4, initial=0.3)),
    ],
)
def test_a_training_resumed_in_the_middle_ends_as_an_uninterrupted_one(tmp_path, criterion, schedule):
    whole = PruningCallback(schedule=schedule, criterion=criterion)
    training = trainer(tmp_path / "whole", whole, epochs=3, save_strategy="steps", save_steps=17)
    training.train()
    again = PruningCallback(schedule=schedule, criterion=criterion, seed=5)
    resumed = trainer(tmp_path / "whole", again, epochs=3)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-17"))
    assert again.pruner.steps == whole.pruner.steps == 36
    assert again.masks == whole.masks
    assert same(resumed.model, training.model)


def test_a_checkpoint_elsewhere_must_be_named_and_one_without_a_state_is_refused(tmp_path):
    trainer(tmp_path / "first", PruningCallback(**GRADUAL), save_strategy="steps", save_steps=12).train()
    shutil.move(tmp_path / "first" / "checkpoint-12", tmp_path / "moved")
    moved = str(tmp_path / "moved")
    with pytest.raises(TrainingError, match=r"there is no pruner's state to go on from.*checkpoint=…"):
        trainer(tmp_path / "second", PruningCallback(**GRADUAL)).train(resume_from_checkpoint=moved)
    callback = PruningCallback(checkpoint=moved, **GRADUAL)
    trainer(tmp_path / "second", callback).train(resume_from_checkpoint=moved)
    assert callback.pruner.steps == 24
    file = tmp_path / "moved" / STATE_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(TrainingError) as told:
        trainer(tmp_path / "second", callback).train(resume_from_checkpoint=moved)
    assert isinstance(told.value.__cause__, CorruptFileError)


def test_in_bfloat16_removed_weights_are_zero(tmp_path):
    callback = PruningCallback(**GRADUAL)
    training = trainer(tmp_path, callback, bf16=True)
    training.train()
    assert callback.masks.removed == 90
    assert removed_are_zero(training.model, callback.masks)


def test_the_best_model_has_the_masks_of_its_checkpoint(tmp_path):
    callback = PruningCallback(**GRADUAL)
    losses = iter([0.1, 0.9, 0.9, 0.9])
    training = trainer(
        tmp_path,
        callback,
        save_strategy="steps",
        save_steps=6,
        eval_strategy="steps",
        eval_steps=6,
        load_best_model_at_end=True,
        metric_for_best_model="judged",
        greater_is_better=False,
    )
    training.compute_metrics = lambda _: {"judged": next(losses)}
    training.train()
    assert training.state.best_global_step == 6
    assert 0 < callback.masks.removed < 90
    zeros = sum(int((training.model.get_parameter(name) == 0).sum()) for name in callback.masks)
    assert zeros == callback.masks.removed


PROCESS = """
import os, sys, torch
from prunus.schedules import Levels
sys.path.insert(0, {tests!r})
from training.callbacks.test_transformers import *
torch.set_num_threads(1)
batches = [examples(20, seed=int(os.environ["RANK"]))]  # each process looks at other data
outputs_loss = lambda outputs, targets: cross_entropy(outputs["logits"], targets)
callback = PruningCallback(schedule=Levels((0.3, 0.6), every=3), criterion="snip", batches=batches, loss=outputs_loss)
training = trainer(sys.argv[1], callback, ddp_backend="gloo")
training.train()
parameters = [parameter.detach().numpy().tobytes() for parameter in training.model.parameters()]
digest = __import__("hashlib").sha256(b"".join(parameters)).hexdigest()
masks = callback.masks
print("found", masks.digest(), digest, masks.removed, removed_are_zero(training.model, masks))
"""


def test_all_processes_have_the_same_masks(processes, pytestconfig):
    said = processes(PROCESS.format(tests=str(pytestconfig.rootpath / "tests")))
    first, second = (words[words.index("found") :] for words in said)
    assert first == second
    assert first[3:] == ["60", "True"]


def test_without_transformers_the_error_says_what_to_install():
    code = "import sys; sys.modules['transformers'] = None\nimport prunus.training.callbacks.transformers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'prunus[hf]'" in done.stderr
