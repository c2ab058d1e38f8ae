from __future__ import annotations

import re
import tomllib

import pytest

from prunus.errors import RecipeError
from prunus.experiments.reading import shipped_recipes
from prunus.experiments.recipe import Recipe

RECIPE = """\
title = "?"
seeds = [0, 1]
sparsities = [0.5, 0.9]

[task]
data = "digits"
model = "mlp"

[training]
epochs = 2
optimizer = "sgd"

[[technique]]
criterion = "magnitude"

[[technique]]
name = "second"
criterion = "random"
schedule = "levels"

[choose]
by = "accuracy"
sparsity_at_least = 0.9
"""
IN_TECHNIQUE = re.compile(r' in technique (".*?" \(number \d+\)|number \d+)(?=: )')


def complaint(tmp_path, *changes, text=RECIPE):
    """What is wrong with the recipe once lines of it are replaced; which technique it is in is left out."""
    return [IN_TECHNIQUE.sub("", line) for line in whole_complaint(tmp_path, *changes, text=text)]


def whole_complaint(tmp_path, *changes, text=RECIPE):
    """What is wrong with the recipe once lines of it are replaced, or others put behind them."""
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        Recipe.load(file)
    return str(caught.value).replace(str(file), "my.toml").split("\n")


def behind(line, *new):
    return line, "\n".join([line, *new])


@pytest.mark.parametrize(
    ("line", "new", "expected"),
    [
        ('title = "?"', "sparsity = 1", "my.toml:2: sparsity: there is no such key: allowed are choose, seeds, "
         "sparsities, task, technique, title, training; did you mean 'sparsities'?"),
        ('data = "digits"', "modle = 1", "my.toml:7: task.modle: there is no such key: allowed are augment, "
         "classes, data, model, target; did you mean 'model'?"),
        ("epochs = 2", "lerning_rate = 1", "my.toml:11: training.lerning_rate: there is no such key: allowed are "
         "batch_size, clip_norm, decay, epochs, evaluate_every, factor, learning_rate, milestones, momentum, nesterov, "
         "optimizer, warmup_steps, weight_decay; did you mean 'learning_rate'?"),
        ('name = "second"', "fractoin = 1", "my.toml:18: technique.1.fractoin: there is no such key: allowed are "
         "aggregate, begin, budget, budget_settings, calibration_examples, carry, control, criterion, distill, "
         "drop_rate, each, edge_popup, end, epochs, every, exclude, fraction, include, learning_rate, "
         "mask_learning_rate, movement, name, pattern, penalty, protect, recalibrate, retrain, rewind_step, rewire, "
         "rounds, sanity_checks, schedule, scope, searches, settings, source, strength, tasks, threshold, ticket, "
         "types, vote, when; did you mean 'fraction'?"),
        ('name = "second"', "xyz = 1", "my.toml:18: technique.1.xyz: there is no such key: allowed are "
         "aggregate, begin, budget, budget_settings, calibration_examples, carry, control, criterion, distill, "
         "drop_rate, each, edge_popup, end, epochs, every, exclude, fraction, include, learning_rate, "
         "mask_learning_rate, movement, name, pattern, penalty, protect, recalibrate, retrain, rewind_step, rewire, "
         "rounds, sanity_checks, schedule, scope, searches, settings, source, strength, tasks, threshold, ticket, "
         "types, vote, when"),
        ('by = "accuracy"', "sparsity_at_lest = 0.9", "my.toml:23: choose.sparsity_at_lest: a constraint is named "
         "'<metric>_at_least' or '<metric>_at_most', got 'sparsity_at_lest': such as sparsity_at_least; the metrics "
         "are accuracy, accuracy_drop, compression, effective_flops, effective_parameters, flops, loss, "
         "nonzero_parameters, parameters, size_bytes, sparsity, worst_class_accuracy, worst_class_drop; did you mean "
         "'sparsity_at_least'?"),
        ('by = "accuracy"', "int = 1", "my.toml:23: choose.int: a constraint is named"),
        ("epochs = 2", "int = 1", "my.toml:11: training.int: there is no such key: allowed are batch_size"),
        ('name = "second"', "number = 1", "my.toml:18: technique.1.number: there is no such key"),
        ('data = "digits"', "[task.more]", "my.toml:7: task.more: there is no such key"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_its_line_the_allowed_and_the_nearest(tmp_path, line, new, expected):
    found = complaint(tmp_path, behind(line, new)) if "[" not in new else complaint(
        tmp_path, ('model = "mlp"', ""), behind(line, 'model = "mlp"', new)
    )  # fmt: skip
    assert found[0].startswith(expected) if "[" not in new else expected.split(":", 2)[2] in found[0]


def test_unknown_keys_of_a_seed_are_named(tmp_path):
    new = "seeds = [0, {init = 1, order = 1, pruning = 1, prunning = 2}]"
    assert complaint(tmp_path, ("seeds = [0, 1]", new)) == [
        "my.toml:2: seeds.1.prunning: there is no such key: allowed are init, order, pruning; did you mean 'pruning'?"
    ]


@pytest.mark.parametrize(
    ("line", "new", "expected"),
    [
        ('title = "?"', "title = 5", "1: title: must be a text, got 5"),
        ("seeds = [0, 1]", "seeds = 5",
         "2: seeds: must be a list: write [0, 1, 2] for three seeds, [5] for the seed 5, got 5"),
        ("seeds = [0, 1]", "seeds = []", "2: seeds: must hold at least 1, got []"),
        ("seeds = [0, 1]", "seeds = ['a', 1]", "2: seeds.0: must be a whole number, got 'a'"),
        ("seeds = [0, 1]", "seeds = [0, 0.5]", "2: seeds.1: must be a whole number, got 0.5"),
        ("seeds = [0, 1]", "seeds = [true]", "2: seeds.0: must be a whole number, got True"),
        ("seeds = [0, 1]", "seeds = [-1]", "2: seeds.0: must be at least 0, got -1"),
        ("seeds = [0, 1]", "seeds = [1, 0, 1]", "2: seeds: seeds must differ, got 1, 0, 1"),
        ("seeds = [0, 1]", "seeds = [{init = 1}]", "2: seeds.0.order: is missing"),
        ("seeds = [0, 1]", "seeds = [{init = 1, order = -2, pruning = 3}]", "2: seeds.0.order: must be at least 0"),
        ("seeds = [0, 1]", "seeds = [1, {init = 1, order = 1, pruning = 1}]",
         "2: seeds: seeds must differ, got 1, {init=1 order=1 pruning=1}"),
        ("sparsities = [0.5, 0.9]", "sparsities = 0.9", "3: sparsities: must be a list: write [0.9], got 0.9"),
        ("sparsities = [0.5, 0.9]", "sparsities = []", "3: sparsities: must hold at least 1, got []"),
        ("sparsities = [0.5, 0.9]", "sparsities = [0.5, 'x']", "3: sparsities.1: must be a number, got 'x'"),
        ("sparsities = [0.5, 0.9]", "sparsities = [0.5, true]", "3: sparsities.1: must be a number, got True"),
        ("seeds = [0, 1]", "seeds = [{init = true, order = 1, pruning = 1}]",
         "2: seeds.0.init: must be a whole number, got True"),
        ("sparsities = [0.5, 0.9]", "sparsities = [50, 90]",
         "3: sparsities: sparsity must lie in [0, 1), got 50.0: it is a fraction removed, not a percentage"),
        ("sparsities = [0.5, 0.9]", "sparsities = [90]",
         "3: sparsities: sparsity must lie in [0, 1), got 90.0: it is a fraction removed, not a percentage"),
        ("sparsities = [0.5, 0.9]", "sparsities = [-0.1]", "3: sparsities: sparsity must lie in [0, 1), got -0.1"),
        ("sparsities = [0.5, 0.9]", "sparsities = [nan]", "3: sparsities: sparsity must lie in [0, 1), got nan"),
        ("sparsities = [0.5, 0.9]", "sparsities = [1.0]", "3: sparsities: sparsity must lie in [0, 1), got 1.0"),
        ("sparsities = [0.5, 0.9]", "sparsities = [0.9, 0.5]",
         "3: sparsities: sparsities must rise and be above 0, got [0.9, 0.5]"),
        ("sparsities = [0.5, 0.9]", "sparsities = [0.5, 0.5]",
         "3: sparsities: sparsities must rise and be above 0, got [0.5, 0.5]"),
        ("sparsities = [0.5, 0.9]", "sparsities = [0.0]",
         "3: sparsities: sparsities must rise and be above 0, got [0.0]"),
        ('data = "digits"', 'data = "digit"', "6: task.data: no data set is named 'digit': there are "
         "breast-cancer, cifar10, digits, fashion, mnist, mnist5k, wine; did you mean 'digits'?"),
        ('data = "digits"', 'data = 3', "6: task.data: must be a text, got 3"),
        ('data = "digits"', 'data = "x:"', "6: task.data: a thing of your own is written 'package.module:name', "
         "got 'x:'"),
        ('model = "mlp"', 'model = "resnet-21"', "7: task.model: no model is named 'resnet-21': there are "),
        ('model = "mlp"', 'target = "a:b"', "7: task.target: target stands for the whole task: leave out data, model"),
        ('model = "mlp"', "augment = false", "5: task: a task needs data and model, or target = 'module:function'"),
        ("epochs = 2", 'epochs = "two"', "10: training.epochs: must be a whole number, got 'two'"),
        ("epochs = 2", "epochs = 2.5", "10: training.epochs: must be a whole number, got 2.5"),
        ("epochs = 2", "epochs = true", "10: training.epochs: must be a whole number, got True"),
        ("epochs = 2", "learning_rate = true", "10: training.learning_rate: must be a number, got True"),
        ("epochs = 2", "clip_norm = true", "10: training.clip_norm: must be a number, got True"),
        ('optimizer = "sgd"', "momentum = 0.9", "11: training.momentum: momentum goes with optimizer = 'sgd' or "
         "'rmsprop': 'adam' takes none, got 0.9"),
        ("epochs = 2", "epochs = 0", "10: training.epochs: epochs must be above 0, got 0"),
        ("epochs = 2", "learning_rate = nan", "10: training.learning_rate: learning_rate must be above 0, got nan"),
        ("epochs = 2", "weight_decay = inf", "10: training.weight_decay: must be finite, got inf"),
        ("epochs = 2", "milestones = [0.5, nan]", "10: training.milestones: "),
        ("epochs = 2", "milestones = [0.5]", "10: training.milestones: milestones goes with decay = 'steps': "
         "'constant' has none, got (0.5,)"),
        ("epochs = 2", "decay = 'cosine'\nfactor = 0.5", "11: training.factor: factor goes with decay = 'steps': "
         "'cosine' has none, got 0.5"),
        ("epochs = 2", "nesterov = true", "10: training.nesterov: nesterov needs optimizer = 'sgd' and momentum"),
        ("epochs = 2", "nesterov = 'maybe'", "10: training.nesterov: must be true or false, got 'maybe'"),
        ('optimizer = "sgd"', 'optimizer = "adan"', "11: training.optimizer: must be 'adam', 'adamw', 'sgd' or "
         "'rmsprop', got 'adan'; did you mean 'adam'?"),
        ('criterion = "random"', 'criterion = "magnitud"', "18: technique.1.criterion: no criterion is named "
         "'magnitud': there are "),
        ('name = "second"', 'name = "dense"', "17: technique.1.name: 'dense' is the name of what is not pruned"),
        ('schedule = "levels"', 'schedule = "level"', "19: technique.1.schedule: no schedule is named 'level': there "
         "are cubic, iterative, levels, linear, one-shot; did you mean 'levels'?"),
        ('schedule = "levels"', 'scope = "globl"', "19: technique.1.scope: no scope is named 'globl': there are "
         "global, layer, row; did you mean 'global'?"),
        ('schedule = "levels"', 'pattern = "4:2"', "19: technique.1.pattern: no pattern is written '4:2': there are "
         "'weight', 'row', 'column', 'kernel', 'channel', 'head', 'layer', 'module:NAMES', 'block:ROWSxCOLUMNS', 'N:M' "
         "with N below M"),
        ('schedule = "levels"', 'pattern = "2:4"', "19: technique.1.pattern: 2:4 fixes the sparsity: sparsities must "
         "be [0.5]"),
        ('schedule = "levels"', 'retrain = "rewnd"', "19: technique.1.retrain: must be 'finetune', 'rewind', "
         "'rewind-lr', 'reinit' or 'none', got 'rewnd'; did you mean 'rewind'?"),
        ('schedule = "levels"', "rewind_step = 5", "19: technique.1.rewind_step: rewind_step goes with retrain = "
         "'rewind' or 'rewind-lr', not 'finetune'"),
        ('schedule = "levels"', "rewind_step = 5\nretrain = 'none'", "19: technique.1.rewind_step: rewind_step goes "
         "with retrain = 'rewind' or 'rewind-lr', not 'none'"),
        ('schedule = "levels"', "rewind_step = -5", "19: technique.1.rewind_step: must be at least 0, got -5"),
        ('schedule = "levels"', "schedule = 'levels'\nwhen = 'during'", "19: technique.1.schedule: schedule = "
         "'levels' prunes before or after training, not during it"),
        ('schedule = "levels"', "schedule = 'cubic'\nwhen = 'after'", "19: technique.1.schedule: schedule = 'cubic' "
         "prunes during training, not after it: 'linear' and 'cubic' go with when = 'during', the others do not"),
        ('schedule = "levels"', "schedule = 'linear'\nwhen = 'before'", "19: technique.1.schedule: schedule = "
         "'linear' prunes during training, not before it"),
        ('schedule = "levels"', "schedule = 'linear'\nbegin = 0.8", "16: technique.1.end: end must lie after begin, "
         "got 0.75 and 0.8"),
        ('schedule = "levels"', "schedule = 'linear'\nend = 1.5", "20: technique.1.end: must be at most 1, got 1.5"),
        ('schedule = "levels"', "when = 'before'\nretrain = 'rewind'", "20: technique.1.retrain: retrain is about "
         "pruning after training; here the pruning is before it"),
        ('schedule = "levels"', "schedule = 'cubic'\nretrain = 'none'", "20: technique.1.retrain: retrain is about "
         "pruning after training; here the pruning is during it"),
        ('schedule = "levels"', "retrain = 'rewind'\nepochs = 3", "20: technique.1.epochs: epochs goes with "
         "fine-tuning after pruning: nothing here looks at it, so leave it out"),
        ('schedule = "levels"', "learning_rate = inf", "19: technique.1.learning_rate: must be a number and not "
         "infinite, got inf"),
        ('schedule = "levels"', "rewind_step = true", "19: technique.1.rewind_step: must be a whole number, got True"),
        ('schedule = "levels"', "fraction = true", "19: technique.1.fraction: must be a number, got True"),
        ('schedule = "levels"', "epochs = false", "19: technique.1.epochs: must be a whole number, got False"),
        ('schedule = "levels"', "learning_rate = true", "19: technique.1.learning_rate: must be a number, got True"),
        ('schedule = "levels"', "fraction = 1.0", "19: technique.1.fraction: must be below 1, got 1.0"),
        ('schedule = "levels"', "fraction = nan", "19: technique.1.fraction: must be below 1, got nan"),
        ('schedule = "levels"', "include = 'fc1'", "19: technique.1.include: must be a list: write ['fc1'], got 'fc1'"),
        ('by = "accuracy"', 'by = "acuracy"', "22: choose.by: no metric is named 'acuracy': there are accuracy, "),
        ("sparsity_at_least = 0.9", "sparsity_at_least = 90", "23: choose.sparsity_at_least: sparsity_at_least must "
         "lie in [0, 1), got 90: it is a fraction removed, not a percentage"),
        ("sparsity_at_least = 0.9", "sparsty_at_least = 0.9", "23: choose.sparsty_at_least: no metric is named "
         "'sparsty': there are "),
        ("sparsity_at_least = 0.9", "sparsity_at_least = '0.9'", "23: choose.sparsity_at_least: sparsity_at_least "
         "must be a finite number, got '0.9'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_key_line_and_what_is_allowed(tmp_path, line, new, expected):
    assert complaint(tmp_path, (line, new))[0].startswith(f"my.toml:{expected}")


def test_two_techniques_need_two_names(tmp_path):
    assert complaint(tmp_path, ('criterion = "magnitude"', 'name = "second"')) == [
        "my.toml:17: technique.1.name: two techniques are called 'second': give each a name of its own"
    ]
    same = ('name = "second"\ncriterion = "random"\nschedule = "levels"', 'criterion = "magnitude"')
    assert complaint(tmp_path, same)[0].startswith("my.toml:16: technique.1.name: two techniques are called 'mag")


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_fine_tuning_needs_a_learning_rate_where_that_of_the_training_ends_at_0(tmp_path, decay):
    decays = behind("epochs = 2", f"decay = '{decay}'")
    assert complaint(tmp_path, decays) == [
        f"my.toml:{line}: technique.{index}.learning_rate: is missing: training.decay = '{decay}' ends at a learning "
        f"rate of 0, so that fine-tuning of '{name}' needs one of its own"
        for line, index, name in ((14, 0, "magnitude, global, one-shot, finetune"), (17, 1, "second"))
    ]
    own = ('criterion = "magnitude"', "retrain = 'rewind'"), behind('criterion = "random"', "learning_rate = 1e-4")
    text = RECIPE
    for old, new in (decays, *own):
        text = text.replace(old, new)
    assert Recipe.of(tomllib.loads(text)).training.decay == decay


def test_a_mistake_in_a_technique_names_it_beside_key_and_line(tmp_path):
    found = whole_complaint(
        tmp_path, behind('criterion = "magnitude"', "fraction = 2"), behind('name = "second"', "fraction = 2")
    )
    assert found == [
        "my.toml:15: technique.0.fraction in technique number 1: must be below 1, got 2",
        'my.toml:19: technique.1.fraction in technique "second" (number 2): must be below 1, got 2',
    ]
    both = whole_complaint(tmp_path, ('criterion = "magnitude"', 'name = "second"'))
    assert both[0].startswith('my.toml:17: technique.1.name in technique "second" (number 2): two techniques are ')


@pytest.mark.parametrize("technique", [{"name": "a", "fraction": 2}, {"name": 3}, {"name": ["a"]}, 3, None])
def test_whatever_stands_for_a_technique_its_mistakes_are_told(values, technique):
    with pytest.raises(RecipeError, match=r"^recipe: technique\.0.* in technique .*number 1\)?: must be"):
        Recipe.of(values(technique))


@pytest.mark.parametrize("schedule", ["iterative", "linear", "cubic"])
def test_a_pattern_of_fixed_sparsity_goes_with_no_schedule_through_others(values, schedule):
    with pytest.raises(RecipeError, match=rf"technique\.0\.schedule .*: '{schedule}' goes through sparsities"):
        Recipe.of(values({"pattern": "2:4", "schedule": schedule}, sparsities=[0.5]))


@pytest.mark.parametrize("sparsity", [2 / 3, 0.666667])
def test_the_sparsity_of_a_pattern_may_be_rounded(values, sparsity):
    assert Recipe.of(values({"pattern": "1:3"}, sparsities=[sparsity])).sparsities == (sparsity,)


def test_all_mistakes_are_told_at_once_and_each_once(tmp_path):
    found = complaint(
        tmp_path,
        ("seeds = [0, 1]", "sedes = [0, 1]"),
        ("sparsities = [0.5, 0.9]", "sparsities = [90]"),
        ('model = "mlp"', "modle = 1"),
        ("epochs = 2", "epochs = 'x'"),
        ('criterion = "magnitude"', 'criterion = "x"'),
        ('criterion = "random"', 'retrain = "x"'),
        ('by = "accuracy"', 'by = "x"'),
        ("sparsity_at_least = 0.9", "x_at_least = 0.9\nsparsity_at_most = 90"),
    )
    places = [line.split(": ")[:2] for line in found]
    assert sorted(places) == sorted(
        [f"my.toml:{line}", key]
        for line, key in [
            (2, "sedes"),
            (3, "sparsities"),
            (7, "task.modle"),
            (10, "training.epochs"),
            (14, "technique.0.criterion"),
            (18, "technique.1.retrain"),
            (22, "choose.by"),
        ]
    )


def test_all_wrong_constraints_are_told_at_once(tmp_path):
    found = complaint(tmp_path, ("sparsity_at_least = 0.9", "x_at_least = 0.9\nsparsity_at_most = 90"))
    assert [line[:30] for line in found] == ["my.toml:23: choose.x_at_least:", "my.toml:24: choose.sparsity_at"]


def test_what_is_missing_is_named():
    with pytest.raises(RecipeError) as caught:
        Recipe.of({"technique": [{}]})
    assert str(caught.value).split("\n") == ["recipe: sparsities: is missing", "recipe: task: is missing"]


def test_a_text_that_is_no_toml_is_named_with_its_line(tmp_path):
    assert complaint(tmp_path, text="title = 'a'\nseeds = [0,, 1]") == [
        "my.toml is not TOML: Invalid value (at line 2, column 12)"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs = " + "1" * 5000, "holds a whole number beyond 64 bits"),
        ("epochs = 0x" + "f" * 5000, "holds a whole number beyond 64 bits"),
        ("seeds = [-9223372036854775809]", "holds a whole number beyond 64 bits"),
        ("title = " + "[" * 3000, "lie too deep inside one another"),
        ("title = " + "[" * 30 + "]" * 30, "lie too deep inside one another"),
        (".".join("a" * 3000) + " = 1", "lie too deep inside one another"),
    ],
)
def test_what_no_recipe_holds_is_refused(tmp_path, text, expected):
    [found] = complaint(tmp_path, text=text)
    assert found.startswith("my.toml is no recipe: ")
    assert expected in found


def test_one_technique_in_one_pair_of_brackets_is_told_how_to_write_it(tmp_path):
    hint = "every technique begins with [[technique]], in two pairs of brackets"
    both = RECIPE.replace("[[technique]]", "[technique]")
    for text in (both, RECIPE.replace("[[technique]]", "[technique]", 1)):
        assert complaint(tmp_path, text=text)[0].endswith(hint)
    assert hint not in complaint(tmp_path, behind("epochs = 2", "epochs = 3"))[0]
    one = RECIPE.replace("[[technique]]\ncriterion", "[technique]\ncriterion").split("[[technique]]")[0]
    assert complaint(tmp_path, text=one)[0].startswith(
        "my.toml:13: technique: must be a list: write [[technique]], got"
    )


def test_a_byte_order_mark_changes_nothing(tmp_path):
    for name, mark in (("with", b"\xef\xbb\xbf"), ("without", b"")):
        (tmp_path / name).write_bytes(mark + RECIPE.encode())
    assert Recipe.load(tmp_path / "with") == Recipe.load(tmp_path / "without")


@pytest.mark.parametrize("name", ["x" * 400, "a\0b", "a/" * 3000])
def test_a_name_that_no_file_has_is_refused(name):
    with pytest.raises(RecipeError, match=r"cannot read|there is no file"):
        Recipe.load(name)


def test_a_missing_file_names_the_shipped_recipes():
    with pytest.raises(RecipeError, match=r"there is no file dem, and no shipped recipe is named 'dem': there are .*"
                                          r"demo.*; did you mean 'demo'\?"):  # fmt: skip
        Recipe.load("dem")


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"title = '\xe9'")
    for path in (tmp_path, tmp_path / "latin.toml"):
        with pytest.raises(RecipeError, match=f"cannot read {path}: "):
            Recipe.load(path)


def test_a_file_goes_before_a_shipped_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Recipe.load("demo").title != "?"
    (tmp_path / "demo").write_text(RECIPE, encoding="utf-8")
    assert Recipe.load("demo").title == "?"


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_is_valid_and_has_a_question(name):
    assert Recipe.load(name).title.endswith("?")


def test_a_recipe_is_frozen_and_equal_to_its_like(values):
    recipe = Recipe.of(values())
    with pytest.raises(ValueError, match="frozen"):
        recipe.title = "other"
    assert recipe == Recipe.of(values())


def test_a_task_may_be_a_text(values):
    recipe = Recipe.of(values(task="tinytask:task"))
    assert recipe == Recipe.of(values(task={"target": "tinytask:task"}))
    assert recipe.task.target == "tinytask:task"
