from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

import pytest
import torch

import prunus
from prunus.experiments.recipe import Recipe
from prunus.tasks.load import build_model
from prunus.training.trainer import Stretch, Trainer

MODULES = Path(__file__).parent / "modules"
WHOLE = Stretch()


@pytest.fixture(autouse=True)
def modules_of_a_user(monkeypatch):
    monkeypatch.syspath_prepend(str(MODULES))
    yield
    sys.modules.pop("tinytask", None)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Several would wait for each other longer than these networks take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def values():
    """Values of a small recipe, changed where told so."""

    def make(*techniques, **changes):
        usual = {
            "seeds": [0],
            "sparsities": [0.5, 0.8],
            "task": "tinytask:task",
            "training": {"epochs": 2, "batch_size": 20, "learning_rate": 0.01},
            "technique": [*techniques] or [{"schedule": "levels"}],
        }
        return {**usual, **changes}

    return make


@pytest.fixture
def works(values):
    """The work of a small recipe: the dense runs, then those of the techniques."""
    return lambda *techniques, **changes: Recipe.of(values(*techniques, **changes)).works()


@pytest.fixture
def perform(values, tmp_path):
    """Run a small recipe in this process."""

    def run(*techniques, folder="history", jobs=1, **changes):
        return prunus.run(values(*techniques, **changes), history=tmp_path / folder, jobs=jobs)

    return run


@pytest.fixture
def on_digits(tmp_path):
    """Run techniques on real digits: name → its states, in order."""

    def run(*techniques, folder="history", **changes):
        usual = {"seeds": [0], "sparsities": [0.5, 0.8], "task": {"data": "digits", "model": "mlp"}}
        plan = {"training": {"epochs": 2, "batch_size": 50}}
        history = prunus.run(usual | plan | {"technique": [*techniques]} | changes, history=tmp_path / folder, jobs=1)
        return {made.technique: history.states(made.id) for made in history.runs()}

    return run


@pytest.fixture
def digits():
    """The weights and masks of a recorded state of real digits, in a new model."""

    def restore(state):
        model = build_model("mlp", (1, 8, 8), 10)
        masks = state.restore(model)
        return model, masks

    return restore


@dataclasses.dataclass(frozen=True)
class Fit:
    """One call of ``Trainer.fit``: with what it began, and the weights after every step."""

    begun_with: dict[str, torch.Tensor]
    masks: prunus.Masks | None
    stretch: Stretch
    plan: object
    seed: int
    steps: list[dict[str, torch.Tensor]]


@pytest.fixture
def fits(monkeypatch):
    """Every training, in order."""
    found: list[Fit] = []
    fit = Trainer.fit

    def recording(self, model, seed, *, masks=None, stretch=WHOLE, optimizer=None, watch=None):
        steps = []

        def record(step, used):
            if watch is not None:
                watch(step, used)
            steps.append(weights(model))

        found.append(Fit(weights(model), masks, stretch, self.plan, seed, steps))
        return fit(self, model, seed, masks=masks, stretch=stretch, optimizer=optimizer, watch=record)

    monkeypatch.setattr(Trainer, "fit", recording)
    return found


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def restored():
    """The weights and masks of a recorded state, in a new model."""

    def restore(state):
        import tinytask

        model = tinytask.build()
        masks = state.restore(model)
        return weights(model), masks

    return restore


@pytest.fixture
def interrupted_after(monkeypatch):
    """Ctrl-C comes when that many states are recorded."""

    @contextlib.contextmanager
    def interrupt(count):
        add, added = prunus.History.add, []

        def adding(self, state):
            if len(added) == count:
                raise KeyboardInterrupt
            added.append(state)
            add(self, state)

        with monkeypatch.context() as patch:
            patch.setattr(prunus.History, "add", adding)
            with pytest.raises(KeyboardInterrupt):
                yield

    return interrupt
