from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import prunus
from prunus.errors import RecipeError, UserCodeError
from prunus.experiments.own_names import require_own
from prunus.experiments.performing import perform as perform_work
from prunus.experiments.recipe import Recipe

SOURCE = (Path(__file__).parent / "modules" / "brokentask.py").read_text(encoding="utf-8").split("\n")
BOOM = 'raise Unpicklable("boom", "bang")'
OWN = {"data": "brokentask:data", "model": "mlp"}


@pytest.fixture(autouse=True)
def forgotten():
    yield
    sys.modules.pop("brokentask", None)


def told(caught):
    """The message without the summary's end, and the user's line that it names."""
    message = re.sub(r" \(\d+ of \d+ runs are done; what is recorded stays\)$", "", str(caught.value))
    place = re.search(r" \([^()]*brokentask\.py:(\d+)\)$", message)
    return (message[: place.start()], SOURCE[int(place[1]) - 1].strip()) if place else (message, None)


@pytest.mark.parametrize(
    ("task", "said", "line"),
    [
        ("brokentask:in_the_task", "'brokentask:in_the_task' raised ValueError: boom", 'raise ValueError("boom")'),
        ("brokentask:in_the_build", "the build of 'brokentask:in_the_build' raised Unpicklable: boom", BOOM),
        ("brokentask:in_the_loss", "the loss of 'brokentask:in_the_loss' raised Unpicklable: boom", BOOM),
        ("brokentask:in_the_augmentation",
         "the augmentation of 'brokentask:in_the_augmentation' raised Unpicklable: boom", BOOM),
        ("brokentask:in_the_model", "training or measuring the model of 'brokentask:in_the_model' raised RuntimeError: "
         "shape '[7, 13]' is invalid for input of size 180", "return self.layer(inputs).view(7, 13)"),
        ("brokentask:while_training", "training or measuring the model of 'brokentask:while_training' raised "
         "Unpicklable: boom", BOOM),
        ("brokentask:outside_of_the_model", "training or measuring the model of 'brokentask:outside_of_the_model' "
         "raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (60x6 and 5x3)", None),
        ({"data": "brokentask:data", "model": "brokentask:network"}, "training or measuring the model of "
         "'brokentask:network' raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (60x6 and 5x3)", None),
        ({"data": "brokentask:fail", "model": "mlp"}, "'brokentask:fail' raised Unpicklable: boom", BOOM),
        ({"data": "brokentask:data", "model": "brokentask:fail"}, "'brokentask:fail' raised Unpicklable: boom", BOOM),
    ],
)  # fmt: skip
def test_an_error_in_any_part_of_the_users_task_is_told_with_its_name_and_line(perform, task, said, line):
    with pytest.raises(UserCodeError) as caught:
        perform(task=task)
    assert told(caught) == (f"'dense' with seed 0: {said}", line)
    assert type(caught.value.__cause__).__name__ in said


@pytest.mark.parametrize(
    ("criterion", "said", "line"),
    [
        ("brokentask:criterion", "'brokentask:criterion' raised Unpicklable: boom", BOOM),
        ("brokentask:NeedsMore", "'brokentask:NeedsMore' raised TypeError: NeedsMore.__init__() missing 1 required "
         "positional argument: 'exponent'", None),
    ],
)  # fmt: skip
def test_an_error_in_the_users_criterion_is_told_with_its_name_and_line(perform, criterion, said, line):
    with pytest.raises(UserCodeError) as caught:
        perform({"name": "mine", "criterion": criterion}, {"name": "random", "criterion": "random"})
    assert told(caught) == (f"'mine' with seed 0: {said}", line)


def test_from_other_processes_it_is_told_once_and_the_whole_traceback_is_the_cause(perform):
    with pytest.raises(UserCodeError) as caught:
        perform(task="brokentask:in_the_loss", jobs=2, seeds=[0, 1, 2])
    said = "'dense' with seeds 0–2: the loss of 'brokentask:in_the_loss' raised Unpicklable: boom"
    assert told(caught) == (said, BOOM)
    assert BOOM in str(caught.value.__cause__)


def test_a_mistake_of_ours_is_not_blamed_on_a_task_of_ours(perform, monkeypatch):
    def mistaken(*_):
        raise IndexError("ours")

    monkeypatch.setattr("prunus.experiments.workshop.Workshop.cost", mistaken)
    with pytest.raises(IndexError, match="ours"):
        perform(task={"data": "digits", "model": "mlp"})
    with pytest.raises(UserCodeError, match="training or measuring the model of 'brokentask:data' raised IndexError"):
        perform(task=OWN, folder="another")


def test_what_ends_the_program_ends_it_in_the_users_code_too(works, tmp_path, monkeypatch):
    import brokentask

    for kind in (KeyboardInterrupt, SystemExit):
        monkeypatch.setattr(brokentask, "fail", lambda *_, kind=kind: (_ for _ in ()).throw(kind))
        work = works(task={"data": "brokentask:data", "model": "brokentask:fail"})[0]
        with pytest.raises(kind):
            perform_work(work, prunus.History(tmp_path / "history"))


def test_an_error_in_the_package_of_the_users_module_is_told_with_its_name(perform, tmp_path, monkeypatch):
    (tmp_path / "brokenpackage").mkdir()
    (tmp_path / "brokenpackage" / "__init__.py").write_text("1 / 0\n")
    (tmp_path / "brokenpackage" / "inner.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserCodeError) as caught:
        perform(task="brokenpackage.inner:task")
    place = Path("brokenpackage", "__init__.py")
    assert f"'brokenpackage.inner:task' raised ZeroDivisionError: division by zero ({place}:1)" in str(caught.value)


def test_what_is_imported_before_a_run_is_told_with_its_cause(tmp_path, monkeypatch):
    (tmp_path / "brokenmodule.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my.toml").write_text('sparsities = [0.5]\ntask = "brokenmodule:task"\n[[technique]]\n')
    recipe = Recipe.load(tmp_path / "my.toml")
    with pytest.raises(RecipeError, match=r"my\.toml:2: task\.target: 'brokenmodule:task' raised Zero") as caught:
        require_own(recipe, tmp_path / "my.toml")
    assert isinstance(caught.value.__cause__, UserCodeError)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)
