from __future__ import annotations

import copy
import tomllib

import pytest

from prunus.errors import RecipeError
from prunus.experiments.overrides import override
from prunus.experiments.recipe import Recipe

VALUES = {"title": "?", "training": {"epochs": 3}, "seeds": [0, 1], "technique": [{"criterion": "random"}, {}]}


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("training.epochs=2", ("training", "epochs"), 2),
        (" training.epochs = 2 ", ("training", "epochs"), 2),
        ("training.learning_rate=1e-3", ("training", "learning_rate"), 0.001),
        ("training.decay=cosine", ("training", "decay"), "cosine"),
        ('training.decay="cosine"', ("training", "decay"), "cosine"),
        ("title=a = b", ("title",), "a = b"),
        ("title=", ("title",), ""),
        ("title=it's", ("title",), "it's"),
        ("task.data=digits", ("task", "data"), "digits"),
        ("task=module:function", ("task",), "module:function"),
        ("sparsities=[0.5, 0.9]", ("sparsities",), [0.5, 0.9]),
        ("seeds.1=5", ("seeds", 1), 5),
        ("technique.1.fraction=0.5", ("technique", 1, "fraction"), 0.5),
        ("technique.0.protect=false", ("technique", 0, "protect"), False),
        ("technique.0={scope = 'layer'}", ("technique", 0), {"scope": "layer"}),
        ("choose.sparsity_at_least=0.9", ("choose", "sparsity_at_least"), 0.9),
        ("a.b.c=1", ("a", "b", "c"), 1),
    ],
)
def test_a_change_reaches_its_place_and_nothing_else(change, path, value):
    before = copy.deepcopy(VALUES)
    place = result = override(VALUES, [change])
    for key in path:
        place = place[key]
    assert (place, type(place)) == (value, type(value))
    assert before == VALUES
    assert {key: result[key] for key in before if key != path[0]} == {
        key: before[key] for key in before if key != path[0]
    }


def test_of_two_changes_the_later_one_holds():
    assert override(VALUES, ["seeds=[1]", "seeds.0=2"])["seeds"] == [2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("training.epochs", "--set expects KEY=VALUE, such as training.epochs=2, got 'training.epochs'"),
        ("=2", "--set expects KEY=VALUE, such as training.epochs=2, got '=2'"),
        ("training.epochs.x=2", "--set training.epochs.x=2 leads through 3, which has no key 'x'"),
        ("title.x.y=2", "--set title.x.y=2 leads through '?', which has no key 'x'"),
        ("technique.2.name=a", "--set technique.2.name=a: the list has elements 0 to 1, not '2'"),
        ("technique.-1.name=a", "--set technique.-1.name=a: the list has elements 0 to 1, not '-1'"),
        ("technique.name=a", "--set technique.name=a: the list has elements 0 to 1, not 'name'"),
        ("seeds.2=1", "--set seeds.2=1: the list has elements 0 to 1, not '2'"),
    ],
)
def test_a_change_that_leads_nowhere_is_refused(change, expected):
    with pytest.raises(RecipeError) as caught:
        override(VALUES, [change])
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "change",
    ["training.epochs=" + "1" * 5000, "title=0x" + "f" * 5000, "title=" + "[" * 3000, "title=" + "[" * 30 + "]" * 30,
     ".".join("a" * 3000) + "=1"],
)  # fmt: skip
def test_a_change_that_is_too_large_or_too_deep_is_refused_in_a_short_sentence(change):
    with pytest.raises(RecipeError, match=r"beyond 64 bits|too deep") as caught:
        override(VALUES, [change])
    assert str(caught.value).startswith(f"--set {change[:80]}… is no recipe: ") or len(change) <= 80
    assert len(str(caught.value)) < 200


def test_changes_are_validated_as_the_file_is():
    assert Recipe.load("demo", ["training.epochs=1", "technique.0.fraction=0.3", "seeds=[7]"]).training.epochs == 1
    with pytest.raises(RecipeError, match=r"training\.epoch: there is no such key: .*; did you mean 'epochs'"):
        Recipe.load("demo", ["training.epoch=1"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["training.epochs=many"], ["--set training.epochs=many: training.epochs: must be a whole number, got 'many'"]),
        (["training.epochs=2", "training.epochs=x"], ["--set training.epochs=x: training.epochs: must be a whole"]),
        (["training={epochs = 'x'}"], ["--set training={epochs = 'x'}: training.epochs: must be a whole number"]),
        (["seeds=[0, 1]", "seeds.1=-1"], ["--set seeds.1=-1: seeds.1: must be at least 0"]),
        (["seeds.1=-1", "seeds=[-1]"], ["--set seeds=[-1]: seeds.0: must be at least 0"]),
        (["sparsities.0=0.99"], ["demo:3 with --set sparsities.0=0.99: sparsities: sparsities must rise"]),
        (["technique.0.fraction=2"], ['--set technique.0.fraction=2: technique.0.fraction in technique "magnitude, '
         'global, rewound" (number 1): must be below 1']),
        (["technique.3.name=x", "technique.3.fraction=2"], ["--set technique.3.fraction=2: technique.3.fraction in "
         'technique "x" (number 4): must be below 1']),
        (["training.epochs=0", "task.modle=x"], ["--set task.modle=x: task.modle: there is no such key",
         "--set training.epochs=0: training.epochs: epochs must be above 0"]),
        (["training.decay=cosine"], ["demo:31: technique.2.learning_rate in technique"]),
    ],
)  # fmt: skip
def test_a_mistake_that_a_change_made_names_the_change_and_no_line(changes, expected):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("demo", changes)
    found = str(caught.value).split("\n")
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


def test_no_change_leaves_the_shipped_recipe_as_it_is():
    from prunus.experiments.reading import shipped_recipes

    assert Recipe.load("demo") == Recipe.of(tomllib.loads(shipped_recipes()["demo"]))
