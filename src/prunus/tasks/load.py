"""From settings, as a recipe states them, to a task."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from prunus.errors import ArgumentError
from prunus.lookup import Table, import_target, own_code, user_code_error
from prunus.tasks.tables import AUGMENTATIONS, DATASETS, MODELS
from prunus.tasks.task import Data, Task

_KEYS = ("data", "model", "augment", "classes")


def load_task(settings: Mapping[str, Any], folder: str | Path | None = None) -> Task:
    """The task that ``settings`` describe.

    Args:
        settings: either ``{"data": …, "model": …}``, names from ``DATASETS`` and ``MODELS`` (or a user's own
            ``"module:function"`` of the same form), with ``"augment": True`` for the data set's augmentation
            (default False) and ``"classes"``, names of those that are to be told apart (default all); or
            ``{"target": "module:function"}``, a function of no arguments that returns a ``Task``.
        folder: where to look for data files, instead of the environment variable PRUNUS_DATA.

    Raises:
        ArgumentError: a key is missing, unknown or of the wrong type, or the function is not one or returns
            something else.
        UnknownNameError: no data set or model has that name, or the data set has no augmentation.
        DataError: the data set is missing or malformed.
        UserCodeError: an error arises in the user's own code, here or when the task's functions are called; the
            message says in which and where, and the error is its cause.
    """
    if "target" in settings:
        return _task_of_user(settings)
    _check_keys(settings)
    name, model = settings["data"], settings["model"]
    # names are looked up before any file is read, so that a wrong one is told at once
    _resolve(MODELS, model)
    augment = AUGMENTATIONS[name].load() if settings.get("augment", False) else None
    data = load_data(name, folder)
    if settings.get("classes"):
        data = data.of_classes(settings["classes"])
    return Task(
        name=f"{name}/{model}",
        data=data,
        build=partial(build_model, model, data.input_shape, len(data.class_names)),
        augment=augment,
    )


def recorded_task(settings: Mapping[str, Any]) -> Task:
    """The task of a run that is recorded, whose settings hold digests of the user's own source too.

    Raises:
        as for ``load_task``.
    """
    return load_task({key: settings[key] for key in (*_KEYS, "target") if key in settings})


def load_data(name: str, folder: str | Path | None = None) -> Data:
    """The data set called ``name``.

    Args:
        name: from ``DATASETS``, or a user's own ``"module:function"``.
        folder: where to look for its files, instead of the environment variable PRUNUS_DATA.

    Raises:
        UnknownNameError: no data set has that name.
        ArgumentError: the user's function cannot be imported or returns something else.
        DataError: the data set is missing or malformed.
        UserCodeError: an error arises in the user's function.
    """
    with own_code(name):
        data = _resolve(DATASETS, name)(None if folder is None else Path(folder))
    if not isinstance(data, Data):
        raise ArgumentError(f"the data set {name!r} must be a prunus.tasks.Data, got {type(data).__name__}")
    return data


def build_model(name: str, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """A fresh model, initialised from torch's global random state.

    Args:
        name: from ``MODELS``, or a user's own ``"module:function"``.
        input_shape: the shape of one example, such as (1, 28, 28).
        classes: the number of outputs.

    Raises:
        UnknownNameError: no model has that name.
        ArgumentError: the model does not fit the shape, there are no classes, or the user's function cannot be
            imported or returns something else.
        UserCodeError: an error arises in the user's function.
    """
    if classes < 1:
        raise ArgumentError(f"a model needs at least 1 class, got {classes}")
    with own_code(name):
        model = _resolve(MODELS, name)(input_shape, classes)
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"the model {name!r} must be a torch.nn.Module, got {type(model).__name__}")
    return model


def import_own(target: str) -> Any:
    """A user's own ``"module:name"``.

    Raises:
        ArgumentError: there is no such module, or no such name in it.
        UserCodeError: an error arises in the module; the message says which and where.
    """
    with _importing(target):
        return import_target(target)


def _resolve(table: Table, name: str) -> Any:
    with _importing(name):
        return table.resolve(name)


@contextlib.contextmanager
def _importing(target: str) -> Iterator[None]:
    """``own_code`` for the import of a user's module, where a script that is taken for one ends the program."""
    try:
        with own_code(target):
            yield
    except SystemExit as error:
        raise user_code_error(error, target) from error


def _call_own(function: Callable[..., Any], target: str, part: str, *arguments: Any) -> Any:
    with own_code(target, part):
        return function(*arguments)


def _build_own(build: Callable[[], nn.Module], target: str) -> nn.Module:
    model = _call_own(build, target, "the build")
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"the build of {target!r} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def _task_of_user(settings: Mapping[str, Any]) -> Task:
    others = sorted(set(settings) - {"target"})
    if others:
        raise ArgumentError(f"a task given as 'target' takes no other key, got {', '.join(others)}")
    target = settings["target"]
    if not isinstance(target, str):
        raise ArgumentError(f"'target' must be 'module:function', got {target!r}")
    function = import_own(target)
    if not callable(function):
        raise ArgumentError(f"{target!r} must be a function that returns a Task, got {type(function).__name__}")
    with own_code(target):
        task = function()
    if not isinstance(task, Task):
        raise ArgumentError(f"{target!r} must return a prunus.tasks.Task, got {type(task).__name__}")
    return replace(
        task,
        build=partial(_build_own, task.build, target),
        loss=partial(_call_own, task.loss, target, "the loss"),
        augment=task.augment and partial(_call_own, task.augment, target, "the augmentation"),
    )


def _check_keys(settings: Mapping[str, Any]) -> None:
    unknown = sorted(set(settings) - set(_KEYS))
    if unknown:
        raise ArgumentError(
            f"a task has no key {', '.join(map(repr, unknown))}: there are {', '.join(_KEYS)}, or target alone"
        )
    for key in ("data", "model"):
        if not isinstance(settings.get(key), str):
            raise ArgumentError(
                f"a task needs {key!r} as a name, got {settings.get(key)!r}: "
                "give data and model, or target = 'module:function'"
            )
    if not isinstance(settings.get("augment", False), bool):
        raise ArgumentError(f"'augment' must be true or false, got {settings['augment']!r}")
    classes = settings.get("classes", ())
    if not isinstance(classes, list | tuple) or not all(isinstance(each, str) for each in classes):
        raise ArgumentError(f"'classes' must be a list of names, got {classes!r}")
