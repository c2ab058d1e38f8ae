from __future__ import annotations

import sys
import types

import pytest
import torch

from prunus.errors import ArgumentError, DataError, UnknownNameError
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
    assert load_task({"target": "mine:task"}) is task


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


def test_an_error_inside_the_users_function_passes_through(mine):
    def task():
        raise ZeroDivisionError("the user's own")

    mine.task = task
    with pytest.raises(ZeroDivisionError, match="the user's own"):
        load_task({"target": "mine:task"})


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
