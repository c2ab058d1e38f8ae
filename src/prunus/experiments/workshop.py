"""What the runs of one task share: the data, fresh networks, training, evaluation."""

from __future__ import annotations

import functools
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prunus.evaluation.accuracy import evaluate
from prunus.evaluation.measure import measure
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.experiments.work import Work
from prunus.lookup import own_code
from prunus.masks.masks import Masks
from prunus.outcomes import Cost, CurvePoint, SplitOutcome
from prunus.tasks.load import recorded_task
from prunus.tasks.task import Examples, Task
from prunus.training.batches import TensorBatches
from prunus.training.plan import Plan
from prunus.training.trainer import Trainer

EVALUATION_BATCH = 500
CALIBRATION_BATCH = 100


@dataclass(frozen=True)
class Workshop:
    """One task and one plan.

    Attributes:
        task: data, network and loss.
        plan: how the dense network is trained.
        data_digest: of all examples, so that data that change behind a name are noticed.
        own: the user's own task, network or data, as ``"module:name"``; empty where none of them is.
        curve: how the network that is trained now has fared until now.
    """

    task: Task
    plan: Plan
    data_digest: str = ""
    own: str = ""
    curve: list[CurvePoint] = field(default_factory=list)

    @classmethod
    def of(cls, work: Work) -> Workshop:
        """The workshop in which the work is done; a task is loaded once a process."""
        identity = json.dumps(work.task)
        named = [work.task[key] for key in ("target", "model", "data") if key in work.task]
        own = next((name for name in named if ":" in name), "")
        task = _task(identity)
        return cls(task, work.training, task.data.digest, own)

    def own_code(self) -> AbstractContextManager[None]:
        """Where the network runs: what it raises becomes a ``UserCodeError`` if it, or its data, are the user's."""
        return own_code(self.own, "training or measuring the model")

    def build(self, seed: int) -> nn.Module:
        """A fresh network, drawn from the seed alone."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.task.build()

    def trainer(self, plan: Plan | None = None) -> Trainer:
        """Trains on the training split."""
        plan = plan or self.plan
        train = self.task.data.train
        batches = TensorBatches(train.inputs, train.targets, plan.batch_size, self.task.augment)
        return Trainer(batches, plan, self.task.loss, look=self._look)

    def finetuner(self, technique: TechniqueSettings) -> Trainer:
        """Trains on at the last learning rate of the plan, or at the technique's own."""
        total = len(self.trainer().batches) * self.plan.epochs
        rate = technique.learning_rate or self.plan.rate(total - 1, total)
        return self.trainer(self.plan.constant(technique.epochs or self.plan.epochs, rate))

    def calibration(self, examples: int, seed: int) -> list[tuple[Tensor, Tensor]]:
        """Batches of training examples for criteria with data, drawn from the seed."""
        train = self.task.data.train
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:examples]
        return [(train.inputs[part], train.targets[part]) for part in order.split(CALIBRATION_BATCH)]

    def outcomes(self, model: nn.Module) -> tuple[SplitOutcome, SplitOutcome]:
        """How the model fares on the validation split and on the test split."""
        return self._outcome(model, self.task.data.validation), self._outcome(model, self.task.data.test)

    def cost(self, model: nn.Module, masks: Masks | None) -> Cost:
        """What the model costs."""
        return measure(model, self.task.data.test.inputs[:1], masks)

    def _look(self, step: int, model: nn.Module) -> None:
        data, loss = self.task.data, self.task.loss
        validation, test = (
            evaluate(model, examples.batches(EVALUATION_BATCH), loss=loss, class_names=())
            for examples in (data.validation, data.test)
        )
        # A training that is given up, because several cannot be done as one after all, is begun anew.
        self.curve[:] = [point for point in self.curve if point.step < step]
        self.curve.append(CurvePoint(step, validation.loss, validation.accuracy, test.loss, test.accuracy))

    def _outcome(self, model: nn.Module, examples: Examples) -> SplitOutcome:
        data = self.task.data
        return evaluate(
            model,
            examples.batches(EVALUATION_BATCH),
            loss=self.task.loss,
            class_names=data.class_names,
            groups=examples.groups,
            group_names=data.group_names,
        )


def forget_tasks() -> None:
    """Load tasks and their data anew when they are asked for next."""
    _task.cache_clear()


@functools.lru_cache(maxsize=2)
def _task(identity: str) -> Task:
    """The task of these settings; the digest of the user's own source among them makes changed code a new task."""
    return recorded_task(json.loads(identity))
