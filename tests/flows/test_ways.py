from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import torch

import prunus
from prunus.experiments import workshop

DIGITS = """\
title = "How sparse?"
seeds = [0, 1]
sparsities = [0.5, 0.9]

[task]
data = "digits"
model = "mlp"

[training]
epochs = 3
batch_size = 30
learning_rate = 3e-3

[[technique]]
name = "magnitude"
schedule = "levels"

[[technique]]
name = "random"
criterion = "random"
when = "before"

[choose]
sparsity_at_least = 0.9
"""


def program(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from prunus.cli.app import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_from_a_recipe_to_the_file_that_ships():
    Path("digits.toml").write_text(DIGITS, encoding="utf-8")
    done = program("run", "digits.toml", "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^magnitude +\d\d\.\d ±\d+\.\d +\d\d\.\d ±\d+\.\d$", done.stdout, re.MULTILINE)
    model_file, page = (re.search(rf"^{name}: +(.+)$", done.stdout, re.MULTILINE)[1] for name in ("model", "report"))
    assert "How sparse?" in Path(page).read_text(encoding="utf-8")

    history = prunus.History()
    choice = history.best(metric="accuracy", sparsity_at_least=0.9)
    assert choice.candidate.technique == "magnitude"
    assert choice.replicate.reporting["accuracy"] > 0.6
    task = prunus.tasks.load_task({"data": "digits", "model": "mlp"})
    model = task.build()
    masks = prunus.load(model, model_file)
    assert masks.removed == round(0.9 * masks.total)
    with torch.no_grad():
        right = model.eval()(task.data.test.inputs).argmax(1) == task.data.test.targets
    assert float(right.double().mean()) == choice.replicate.reporting["accuracy"]

    run = program("history", "--json")
    assert choice.replicate.run in run.stdout
    exported = program("export", choice.replicate.state[:12], "--to", "copy.safetensors")
    assert exported.returncode == 0
    assert Path("copy.safetensors").read_bytes() == Path(model_file).read_bytes()


def test_the_same_recipe_resumes_and_repeats_nothing_from_python_and_from_the_program():
    Path("digits.toml").write_text(DIGITS.replace("seeds = [0, 1]", "seeds = [0]"), encoding="utf-8")
    history = prunus.run("digits.toml", jobs=1)
    before = {state.id: state.record for state in history.states()}
    done = program("run", "digits.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert {state.id: state.record for state in history.states()} == before
    assert history.experiment().id in done.stdout


def test_a_changed_module_of_the_user_gives_new_runs(tmp_path):
    source = (tmp_path / "tinytask.py").read_text(encoding="utf-8")
    module = tmp_path / "changing.py"
    recipe = {"seeds": [0], "sparsities": [0.5], "task": "changing:task", "technique": [{}],
              "training": {"epochs": 1, "batch_size": 20}}  # fmt: skip
    found = []
    for width in (20, 30, 20):
        module.write_text(
            source.replace("20), nn.ReLU", f"{width}), nn.ReLU").replace("nn.Linear(20", f"nn.Linear({width}")
        )
        sys.modules.pop("changing", None)
        workshop._task.cache_clear()
        history = prunus.run(recipe, history="h", jobs=1)
        (state,) = history.states(history.experiment().runs[1])
        found.append((state.id, state.record.pruning.tensors["0.weight"].shape))
    assert found[0] == found[2] != found[1]
    assert [shape for _, shape in found] == [(20, 6), (30, 6), (20, 6)]
    assert len(prunus.History("h").runs()) == 4


def test_in_your_own_loop(tmp_path):
    torch.manual_seed(0)
    data = prunus.tasks.load_task({"data": "digits", "model": "mlp"}).data
    model = prunus.tasks.load_task({"data": "digits", "model": "mlp"}).build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss = torch.nn.CrossEntropyLoss()

    def train(steps, after_step=lambda: None):
        for index in range(steps):
            part = slice(60 * (index % 19), 60 * (index % 19) + 60)
            optimizer.zero_grad()
            loss(model(data.train.inputs[part]), data.train.targets[part]).backward()
            optimizer.step()
            after_step()

    train(60)
    masks = prunus.prune(model, 0.8)
    with masks.held(model, optimizer):
        train(40)
    assert all(not parameter[~masks[name]].any() for name, parameter in model.named_parameters() if name in masks)
    schedule = prunus.schedules.Cubic(0.9, begin=5, end=20, initial=0.8)
    with prunus.Pruner(model, optimizer, schedule=schedule) as pruner:
        train(40, pruner.step)
    assert pruner.masks.removed == round(0.9 * masks.total)
    accuracy = float((model(data.test.inputs).argmax(1) == data.test.targets).double().mean())
    assert accuracy > 0.8

    size = prunus.save(model, tmp_path / "model.safetensors", pruner.masks)
    fresh = prunus.tasks.load_task({"data": "digits", "model": "mlp"}).build()
    assert prunus.load(fresh, tmp_path / "model.safetensors") == pruner.masks
    assert torch.equal(fresh(data.test.inputs), model(data.test.inputs))
    measured = prunus.measure(model, data.test.inputs[:1], pruner.masks)
    assert measured.size_bytes <= size
    assert measured.nonzero_parameters < measured.parameters
