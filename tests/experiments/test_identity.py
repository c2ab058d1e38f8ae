from __future__ import annotations

import pytest

from prunus.experiments.identity import derive_seed
from prunus.experiments.recipe import Recipe
from prunus.files.canonical import digest

DIGITS = {"data": "digits", "model": "mlp"}
PLAIN = {"sparsities": [0.5], "task": DIGITS, "technique": [{}]}
# Every setting at its default, as this version knows it.
WRITTEN_OUT = {
    "title": "",
    "seeds": [0, 1, 2],
    "sparsities": [0.5],
    "task": {**DIGITS, "augment": False},
    "training": {
        "epochs": 10,
        "batch_size": 60,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0,
        "decay": "constant",
        "milestones": [0.5, 0.75],
        "factor": 0.1,
        "warmup_steps": 0,
    },
    "technique": [
        {
            "name": "",
            "criterion": "magnitude",
            "pattern": "weight",
            "scope": "global",
            "schedule": "one-shot",
            "when": "after",
            "retrain": "finetune",
            "rewind_step": 0,
            "fraction": 0.2,
            "begin": 0,
            "end": 0.75,
            "every": 10,
            "include": [],
            "exclude": [],
            "types": [],
            "protect": True,
            "calibration_examples": 1000,
        }
    ],
    "choose": {"by": "accuracy"},
}
TREES = {"sparsities": [0.5], "task": {"data": "wine", "model": "decision-tree"}, "technique": [{}]}
FOREST = {
    "title": "q?",
    "seeds": [3, {"init": 1, "order": 2, "pruning": 3}],
    "sparsities": [0.3, 0.9],
    "task": {"data": "wine", "model": "random-forest"},
    "training": {"pruning_fraction": 0.4, "parameters": {"n_estimators": 4}},
    "technique": [
        {"method": "margin-distance", "settings": {"goal": 0.1}},
        {"method": "reduced-error", "choice": "own"},
    ],
    "choose": {"by": "size_bytes", "accuracy_drop_at_most": 0.1},
}
RICH = {
    "title": "a question?",
    "seeds": [3, {"init": 1, "order": 2, "pruning": 3}],
    "sparsities": [0.5, 0.9],
    "task": "tinytask:task",
    "training": {"epochs": 2, "optimizer": "sgd", "momentum": 0.9, "decay": "steps", "milestones": [0.5]},
    "technique": [
        {"name": "a", "criterion": "random", "schedule": "iterative", "retrain": "rewind", "rewind_step": 5},
        {"scope": "layer", "schedule": "cubic", "every": 5, "include": ["fc*"]},
    ],
    "choose": {"by": "loss", "sparsity_at_least": 0.9},
}


def changed(values, path, value):
    key, *rest = path
    copied = list(values) if isinstance(values, list) else dict(values)
    copied[key] = changed(values[key], rest, value) if rest else value
    return copied


def test_the_digests_of_recipes_stay_as_they_are():
    # A new setting whose default changes nothing must not change these: recorded work would be done again.
    assert Recipe.of(PLAIN).id == "cd78b940178ca2cb"
    assert Recipe.of(RICH).id == "f16a16967fe572db"
    assert digest({"b": [1, 0.5, None], "a": "ü"}) == "31f8ed3cb570897d"
    assert derive_seed("init", {"data": "digits"}, 0) == 7243810603425198927


def test_the_digests_of_recipes_for_trees_and_of_their_runs_stay_as_they_are():
    assert Recipe.of(TREES).id == "a17f782508bb5fb7"
    assert [work.id for work in Recipe.of(TREES).works()] == [
        *("aff271338ea42447", "e2386c180b03edbc", "8a007ebf6f6311ed"),
        *("60ebc0d64dc40521", "c99e109e4da0a436", "3839ee4df3f86c59"),
    ]
    recipe = Recipe.of(FOREST)
    assert recipe.id == "9755abe45cb5b852"
    assert [(work.seeds.label, work.id) for work in recipe.works()] == [
        *((3, "aaa88c9aceb2a788"), (6310988, "5ebd234f8dad0689")),
        *((3, "1e8c38436662c5d4"), (6028852, "1e78756f064aa3b6")),
        *((3, "175cace67060538b"), (6028852, "a1cc4af5d12d83cf")),
    ]
    last = recipe.works()[-1]
    assert [last.growing_seed(), last.splitting_seed(), last.pruning_seed()] == [2103474891, 3250489815, 2849549078]
    assert last.state_id(0) == digest(["a1cc4af5d12d83cf", 0])


def test_a_setting_written_out_at_its_default_changes_no_digest():
    assert Recipe.of(WRITTEN_OUT).id == Recipe.of(PLAIN).id
    assert Recipe.of(WRITTEN_OUT) == Recipe.of(PLAIN)
    for key, value in WRITTEN_OUT.items():
        assert Recipe.of({**PLAIN, key: value}).id == Recipe.of(PLAIN).id


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("title",), "other"),
        (("seeds",), [0, 1]),
        (("seeds",), [0, 2, 1]),
        (("sparsities",), [0.6]),
        (("task", "data"), "mnist5k"),
        (("task", "model"), "lenet-5"),
        (("task", "augment"), True),
        (("training", "epochs"), 11),
        (("training", "batch_size"), 61),
        (("training", "optimizer"), "adamw"),
        (("training", "learning_rate"), 2e-3),
        (("training",), {"optimizer": "sgd", "momentum": 0.9}),
        (("training", "weight_decay"), 1e-4),
        (("training", "decay"), "steps"),
        (("training",), {"decay": "steps", "milestones": [0.5]}),
        (("training",), {"decay": "steps", "factor": 0.2}),
        (("training", "warmup_steps"), 1),
        (("technique", 0, "name"), "other"),
        (("technique", 0, "criterion"), "random"),
        (("technique", 0, "pattern"), "row"),
        (("technique", 0, "scope"), "layer"),
        (("technique", 0, "schedule"), "levels"),
        (("technique", 0, "when"), "before"),
        (("technique", 0, "retrain"), "none"),
        (("technique", 0, "epochs"), 10),
        (("technique", 0, "learning_rate"), 1e-3),
        (("technique",), [{"schedule": "iterative", "fraction": 0.3}]),
        (("technique",), [{"schedule": "cubic", "begin": 0.1}]),
        (("technique",), [{"schedule": "cubic", "end": 0.8}]),
        (("technique",), [{"schedule": "cubic", "every": 11}]),
        (("technique", 0, "include"), ["fc1"]),
        (("technique", 0, "exclude"), ["fc1"]),
        (("technique", 0, "types"), ["Linear"]),
        (("technique", 0, "protect"), False),
        (("technique",), [{}, {"criterion": "random"}]),
        (("choose", "by"), "loss"),
        (("choose", "sparsity_at_least"), 0.5),
    ],
)
def test_any_other_change_changes_the_digest(path, value):
    assert Recipe.of(changed(WRITTEN_OUT, path, value)).id != Recipe.of(PLAIN).id


def test_settings_that_only_some_techniques_look_at_change_the_digest_of_those():
    for looking, key, value in (
        ({"criterion": "snip"}, "calibration_examples", 9),
        ({"pattern": "channel"}, "aggregate", "sum"),
    ):
        usual = changed(PLAIN, ("technique",), [looking])
        assert Recipe.of(changed(usual, ("technique",), [{**looking, key: value}])).id != Recipe.of(usual).id


def test_the_order_of_keys_changes_no_digest():
    backwards = {key: WRITTEN_OUT[key] for key in reversed(WRITTEN_OUT)}
    assert Recipe.of(backwards).id == Recipe.of(WRITTEN_OUT).id
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_every_purpose_has_a_seed_of_its_own():
    purposes = [(name, number) for name in ("init", "order", "pruning") for number in range(50)]
    seeds = {derive_seed(*purpose) for purpose in purposes}
    assert len(seeds) == len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
