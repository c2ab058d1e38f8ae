from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest
import torch

from prunus.errors import ArgumentError, DataError, UnknownNameError, UserCodeError
from prunus.tasks.augment import crop_and_flip
from prunus.tasks.datasets.images import image_data
from prunus.tasks.load import build_model, load_data, load_task
from prunus.tasks.task import Task

DIGITS = {"data": "digits", "model": "mlp"}


@pytest.fixture
def mine(monkeypatch):
    """A module of the user's, importable as ``mine``."""
    module = types.ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def test_settings_name_data_and_model():
    task = load_task(DIGITS)
    assert (task.name, task.data.name, task.augment) == ("digits/mlp", "digits", None)
    assert task.build()(task.data.test.inputs[:5]).shape == (5, 10)


def test_a_build_is_fresh_and_comes_from_the_global_random_state():
    task = load_task(DIGITS)
    torch.manual_seed(3)
    first, other = task.build(), task.build()
    torch.manual_seed(3)
    again = task.build()
    assert torch.equal(first.fc1.weight, again.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_classes_are_told_apart_alone_in_the_order_of_the_list():
    whole, part = load_task(DIGITS), load_task({**DIGITS, "classes": ["7", "3"]})
    assert part.data.class_names == ("7", "3")
    for ours, theirs in zip(part.data.splits().values(), whole.data.splits().values(), strict=True):
        kept = (theirs.targets == 7) | (theirs.targets == 3)
        assert torch.equal(ours.inputs, theirs.inputs[kept])
        assert torch.equal(ours.targets, (theirs.targets[kept] == 3).long())
    assert part.build()(part.data.train.inputs[:5]).shape == (5, 2)


def test_augmentation_is_off_unless_asked_for(monkeypatch, source, pools):
    data = image_data(source.look, *pools, pools[1])
    monkeypatch.setattr("prunus.tasks.datasets.cifar10.load", lambda folder: data)
    settings = {"data": "cifar10", "model": "mlp"}
    assert load_task(settings).augment is None
    assert load_task({**settings, "augment": False}).augment is None
    assert load_task({**settings, "augment": True}).augment is crop_and_flip


def test_a_data_set_without_augmentation_says_so():
    with pytest.raises(UnknownNameError, match="no augmentation is named 'digits': there are cifar10"):
        load_task({**DIGITS, "augment": True})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "needs 'data' as a name, got None"),
        ({"data": "digits"}, "needs 'model' as a name, got None"),
        ({"data": 3, "model": "mlp"}, "needs 'data' as a name, got 3"),
        ({**DIGITS, "modle": "mlp"}, "no key 'modle': there are data, model, augment"),
        ({**DIGITS, "augment": "yes"}, "'augment' must be true or false, got 'yes'"),
        ({**DIGITS, "classes": "0"}, "'classes' must be a list of names, got '0'"),
        ({**DIGITS, "classes": ["0"]}, "two classes or more, each once, got '0'"),
        ({**DIGITS, "classes": ["0", "0"]}, "two classes or more, each once, got '0', '0'"),
        ({**DIGITS, "classes": ["0", "ten"]}, "no class is named 'ten'"),
        ({**DIGITS, "target": "mine:task"}, "takes no other key, got data, model"),
        ({"target": 3}, "must be 'module:function', got 3"),
        ({"target": "mine"}, "expected 'package.module:attribute', got 'mine'"),
        ({"target": "no_such_module:task"}, "no such module"),
    ],
)
def test_wrong_settings_are_answered_with_what_is_allowed(settings, says):
    with pytest.raises(ArgumentError, match=says):
        load_task(settings)


def test_wrong_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'digits'"):
        load_data("digit")
    with pytest.raises(UnknownNameError, match="did you mean 'lenet-5'"):
        load_task({"data": "digits", "model": "lenet5"})


def test_a_wrong_model_is_told_before_the_data_are_looked_for(no_data):
    with pytest.raises(UnknownNameError, match="resnet-21"):
        load_task({"data": "cifar10", "model": "resnet-21"})


def test_a_target_is_called_for_its_task(mine):
    task = load_task(DIGITS)
    mine.task = lambda: task
    found = load_task({"target": "mine:task"})
    assert (found.name, found.data, found.augment) == (task.name, task.data, None)
    torch.manual_seed(0)
    model = found.build()
    torch.manual_seed(0)
    assert torch.equal(model.fc1.weight, task.build().fc1.weight)
    outputs, targets = model(task.data.test.inputs), task.data.test.targets
    assert torch.equal(found.loss(outputs, targets), task.loss(outputs, targets))


@pytest.mark.parametrize(
    ("part", "call"),
    [
        ("build", lambda task: task.build()),
        ("loss", lambda task: task.loss(torch.zeros(2, 10), torch.zeros(2))),
        ("augment", lambda task: task.augment(torch.zeros(2, 64), torch.Generator())),
    ],
)
def test_what_a_tasks_functions_raise_is_told_with_the_tasks_name(mine, part, call):
    def wrong(*arguments):
        raise KeyError("width")

    mine.task = lambda: replace(load_task(DIGITS), **{part: wrong})
    name = "augmentation" if part == "augment" else part
    task = load_task({"target": "mine:task"})
    with pytest.raises(UserCodeError, match=rf"^the {name} of 'mine:task' raised KeyError: 'width' \(.*\)$") as caught:
        call(task)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_build_that_gives_no_module_is_refused(mine):
    mine.task = lambda: replace(load_task(DIGITS), build=lambda: 3)
    with pytest.raises(ArgumentError, match=r"^the build of 'mine:task' must return a torch\.nn\.Module, got int$"):
        load_task({"target": "mine:task"}).build()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (3, "must be a function that returns a Task, got int"),
        (lambda: None, "must return a prunus.tasks.Task, got NoneType"),
        (lambda: Task, "must return a prunus.tasks.Task, got type"),
    ],
)
def test_a_target_that_gives_no_task_is_refused(mine, value, says):
    mine.task = value
    with pytest.raises(ArgumentError, match=says):
        load_task({"target": "mine:task"})


def test_an_error_inside_the_users_function_is_told_with_its_name(mine):
    def wrong(*arguments):
        raise ZeroDivisionError("the user's own")

    mine.wrong = wrong
    for load in (
        lambda: load_task({"target": "mine:wrong"}),
        lambda: load_data("mine:wrong"),
        lambda: build_model("mine:wrong", (1,), 2),
    ):
        with pytest.raises(
            UserCodeError, match=r"^'mine:wrong' raised ZeroDivisionError: the user's own \(.*test_load\.py:\d+\)$"
        ) as caught:
            load()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_the_users_function_raises_of_ours_passes_through(mine):
    def task():
        raise ArgumentError("ours")

    mine.task = task
    with pytest.raises(ArgumentError, match=r"^ours$"):
        load_task({"target": "mine:task"})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f():\n    raise ValueError('boom')\n", "'broken_code:f' raised ValueError: boom (broken_code.py:2)"),
        ("def f():\n    import json\n    json.loads('{')\n",
         "'broken_code:f' raised JSONDecodeError: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1) (broken_code.py:3)"),
        ("def f():\n    raise KeyError\n", "'broken_code:f' raised KeyError (broken_code.py:2)"),
        ("def f(x):\n    pass\n", "'broken_code:f' raised TypeError: f() missing 1 required positional argument: 'x'"),
        ("\nf = = 3\n", "'broken_code:f' raised SyntaxError: invalid syntax (broken_code.py:2)"),
        ("f = g\n", "'broken_code:f' raised NameError: name 'g' is not defined (broken_code.py:1)"),
        ("import no_such\n",
         "'broken_code:f' raised ModuleNotFoundError: No module named 'no_such' (broken_code.py:1)"),
        ("raise SystemExit(3)\n", "'broken_code:f' raised SystemExit: 3 (broken_code.py:1)"),
    ],
)  # fmt: skip
def test_an_error_in_the_users_file_is_told_with_its_line(tmp_path, monkeypatch, source, message):
    (tmp_path / "broken_code.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        with pytest.raises(UserCodeError) as caught:
            load_task({"target": "broken_code:f"})
    finally:
        sys.modules.pop("broken_code", None)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_users_function_can_end_the_program(mine, kind):
    def end(*arguments):
        raise kind

    mine.end = end
    mine.task = lambda: replace(load_task(DIGITS), build=end)
    for load in (
        lambda: load_task({"target": "mine:end"}),
        lambda: load_data("mine:end"),
        lambda: build_model("mine:end", (1,), 2),
        load_task({"target": "mine:task"}).build,
    ):
        with pytest.raises(kind):
            load()


def test_users_bring_their_own_data_and_model(mine):
    digits = load_data("digits")
    mine.data = lambda folder: digits
    mine.model = lambda shape, classes: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))
    task = load_task({"data": "mine:data", "model": "mine:model"})
    assert task.data is digits
    assert task.build()[1].weight.shape == (10, 64)
    with pytest.raises(UnknownNameError, match="no augmentation is named 'mine:data'"):
        load_task({"data": "mine:data", "model": "mine:model", "augment": True})


def test_what_is_neither_data_nor_model_is_refused(mine):
    mine.wrong = lambda *arguments: 3
    with pytest.raises(ArgumentError, match=r"must be a prunus\.tasks\.Data, got int"):
        load_data("mine:wrong")
    with pytest.raises(ArgumentError, match=r"must be a torch\.nn\.Module, got int"):
        build_model("mine:wrong", (1,), 2)


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10"])
def test_a_missing_data_set_names_both_ways_to_get_it(no_data, name):
    with pytest.raises(DataError) as caught:
        load_data(name)
    message = str(caught.value)
    assert "PRUNUS_DATA" in message
    assert "pip install 'prunus[hf]'" in message


def test_the_folder_may_be_text(no_data, tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        load_data("mnist", str(tmp_path))
