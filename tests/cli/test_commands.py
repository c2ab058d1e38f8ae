from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tomllib

import jsonschema
import pytest
import torch

import prunus
from prunus.experiments.workshop import Workshop
from prunus.tasks import load_task
from prunus.training.plan import Plan


def test_history_lists_the_runs_newest_first(command, as_json, history):
    listed = as_json("history")
    assert [each["run"]["id"] for each in listed] == [run.id for run in history.runs()]
    assert {(each["run"]["technique"], each["run"]["seed"]) for each in listed} == {
        (technique, seed) for technique in ("dense", "chained", "branched") for seed in (0, 1)
    }
    assert all(each["complete"] and each["states"] == 2 and each["last"]["position"] == 1 for each in listed)
    done = command("history")
    assert [line[:10] for line in done.out.splitlines()[2:]] == [run.id[:10] for run in history.runs()]


def test_history_lists_as_many_as_asked_for(command, as_json, history):
    assert [len(as_json("history", "--most", most)) for most in (0, 1, 4, 100)] == [6, 1, 4, 6]
    assert "2 older runs: --most 0 lists all" in command("history", "--most", 4).out


def test_history_names_what_cannot_be_read(command, history, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(history.folder, copy)
    victim = next(copy.glob("runs/*/states/*.json"))
    victim.write_bytes(victim.read_bytes()[:-9])
    done = command("history", "--history", copy)
    assert done.status == 0
    assert "1/2" in done.out
    assert victim.name in done.err
    assert done.err.startswith("warning: ")


def test_show_draws_the_tree(command, as_json, history, run_of):
    shown = as_json("show", run_of("branched"))
    assert shown["run"]["technique"] == "branched"
    assert [state["pruning"]["requested_sparsity"] for state in shown["states"]] == [0.5, 0.8]
    initial, trained = (state.id[:10] for state in history.states(run_of("dense")))
    one, other = (state.id[:10] for state in history.states(run_of("branched")))
    drawn = [
        line.split()[0] for line in command("show", run_of("branched")[:8]).out.splitlines() if re.search(" %", line)
    ]
    assert drawn == [initial, trained, f"├─{one}", f"└─{other}"]
    one, other = (state.id[:10] for state in history.states(run_of("chained")))
    drawn = [line.split()[0] for line in command("show", run_of("chained")).out.splitlines() if re.search(" %", line)]
    assert drawn == [initial, trained, one, other]


def test_show_draws_a_checkpoint_beside_the_network_that_it_is_part_of(command, tmp_path):
    technique = {"schedule": "levels", "retrain": "rewind", "rewind_step": 2, "criterion": "tinytask:first_layer_only"}
    recipe = {"seeds": [0], "sparsities": [0.5, 0.9], "task": "tinytask:task", "technique": [technique],
              "training": {"epochs": 1, "batch_size": 20}}  # fmt: skip
    history = prunus.run(recipe, history=tmp_path / "prunus-history", jobs=1)
    initial, trained = (state.id[:10] for state in history.states(history.experiment().runs[0]))
    checkpoint, one, other = (state.id[:10] for state in history.states(history.experiment().runs[1]))
    done = command("show", history.experiment().runs[1])
    drawn = [line for line in done.out.splitlines() if re.search(r"\d %", line)]
    assert [re.search(r"[0-9a-f]{10}", line)[0] for line in drawn] in (
        [initial, checkpoint, trained, one, other],
        [initial, trained, one, other, checkpoint],
    )
    places = {re.search(r"[0-9a-f]{10}", line)[0]: line for line in drawn}
    assert {places[checkpoint][:2], places[trained][:2]} == {"├─", "└─"}
    assert re.search(rf"{checkpoint} +trained to step 2 ", places[checkpoint])
    assert re.search(rf"{trained} +trained  ", places[trained])
    assert all(re.match(rf"[│ ] {state}", places[state]) for state in (one, other))
    assert f"{other}: kept from being emptied: 3.weight" in done.out


def test_show_says_with_which_penalty_a_network_was_trained(command, tmp_path):
    recipe = (tmp_path / "my.toml").read_text(encoding="utf-8")
    penalised = 'penalty = "l1"\nstrength = 1e-3\nschedule = "levels"\nretrain = "none"\n'
    text = recipe.replace('schedule = "levels"\nretrain = "rewind"\n', penalised)
    assert text != recipe
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    command("run", "my.toml", "--jobs", "1", "--set", "training.epochs=1", "--set", "seeds=[0]")
    history = prunus.History(tmp_path / "prunus-history", create=False)
    done = command("show", history.experiment().runs[1])
    trained, first, second = history.states(history.experiment().runs[1])
    assert re.search(rf"{trained.id[:8]}\w* +trained with l1 ", done.out)
    assert [trained.parent().record.kind, first.parent(), second.parent()] == ["initial", trained, first]


def test_show_of_a_state_draws_its_run(command, history, run_of):
    for state in history.states(run_of("branched")):
        assert command("show", state.id[:12]).out == command("show", run_of("branched")).out
    done = command("show", "xyz")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: no run, state or experiment has an id that begins with 'xyz': `prunus history`")


def test_history_marks_what_is_unfinished(command, as_json, history, run_of, tmp_path):
    assert "unfinished" not in command("history").out + command("history", "--experiments").out
    copy = tmp_path / "copy"
    shutil.copytree(history.folder, copy)
    sorted(copy.glob(f"runs/{run_of('chained')}/states/*.json"))[1].unlink()
    listed = command("history", "--history", copy).out
    assert re.search(rf"^{run_of('chained')[:10]} .* 1/2 so far ", listed, re.MULTILINE)
    assert listed.count("1/2 so far") == listed.count("so far") - 1 == 1
    assert listed.endswith("\nso far: unfinished; run the recipe again to go on\n")
    assert re.search(" 5/6 unfinished", command("history", "--experiments", "--history", copy).out)
    [found] = as_json("history", "--experiments", "--history", copy)
    assert (found["runs"], found["runs_complete"], found["complete"]) == (6, 5, False)


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_the_metrics_in_the_help_of_best_break_at_no_odd_place(command, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = command("best", "--help").out.splitlines()
    first = next(index for index, line in enumerate(lines) if line.strip().startswith("Metrics:"))
    assert all(len(line.strip()) > 55 for line in lines[first : first + 3])
    assert lines[first + 2].strip().endswith("compression.")


def two_experiments(history, folder):
    """A copy of the history with an older experiment of another training, which has not begun."""
    shutil.copytree(history.folder, folder)
    both, first = prunus.History(folder), history.experiment()
    old = dataclasses.replace(first, id="0" * 16, title="Old?", runs=("1" * 16,), created="2020-01-01T00:00:00+00:00")
    both.record(old)
    return first.id, old.id


def test_history_lists_the_experiments(command, as_json, history, tmp_path):
    new, old = two_experiments(history, tmp_path / "copy")
    arguments = ("history", "--experiments", "--history", tmp_path / "copy")
    listed = as_json(*arguments)
    assert [(each["experiment"]["id"], each["runs"], each["complete"]) for each in listed] == [
        (new, 6, True), (old, 1, False),
    ]  # fmt: skip
    lines = command(*arguments).out.splitlines()
    assert re.match(rf"{new[:10]} +20\d\d-.* Which is best\? +6/6 *$", lines[2])
    assert re.match(rf"{old[:10]} +2020-01-01 00:00 +Old\? +0/1 unfinished *$", lines[3])
    assert "1 older experiment: --most 0 lists all" in command(*arguments, "--most", 1).out


def test_best_says_among_which_models_and_that_there_are_others(command, as_json, history, tmp_path):
    out = command("best").out
    assert "\nlooked at: 10 models of tinytask:task, epochs 6, batch size 20, learning rate 0.01\n" in out
    assert "other experiment" not in out
    _, old = two_experiments(history, tmp_path / "copy")
    arguments = ("best", "--history", tmp_path / "copy")
    hint = "1 other experiment with another task or training: --experiment ID, `prunus history --experiments` lists"
    assert hint in command(*arguments).out
    assert hint in command(*arguments, "--sparsity-at-least", "0.95").err
    assert hint not in command(*arguments, "--experiment", history.experiment().id).out
    chosen = as_json(*arguments)
    assert chosen["other_experiments"] == [old]
    assert chosen["task"]["target"] == "tinytask:task"


def test_show_says_how_far_an_unfinished_run_has_come(command, history, run_of, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(history.folder, copy)
    sorted(copy.glob(f"runs/{run_of('chained')}/states/*.json"))[1].unlink()
    assert (
        "1 of 2 states so far: run the recipe again to go on"
        in command("show", run_of("chained"), "--history", copy).out
    )


@pytest.mark.parametrize("width", [80, 100])
def test_every_id_and_accuracy_is_whole_in_a_narrow_terminal(command, history, run_of, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    listed = command("history").out
    states = [state for technique in ("chained", "branched") for state in history.states(run_of(technique))]
    shown = command("show", run_of("chained")).out + command("show", run_of("branched")).out
    for run in history.runs():
        last = history.states(run.id)[-1].record
        assert re.search(rf"^{run.id[:10]} .* {100 * last.test.accuracy:.1f} %$", listed, re.MULTILINE)
    for state in states:
        accuracy, worst = state.record.test.accuracy, state.record.test.worst_class_accuracy
        assert re.search(rf"{state.id[:10]} .*{100 * accuracy:.1f} % +{100 * worst:.1f} % .*\.\d$", shown, re.MULTILINE)


def test_best_chooses_under_constraints_in_both_spellings(command, as_json, history):
    expected = history.best(sparsity_at_least=0.8, accuracy_drop_at_most=0.9)
    for constraints in (
        ("--sparsity-at-least", "0.8", "--accuracy-drop-at-most", "0.9"),
        ("--sparsity-at-least=0.8", "--accuracy-drop-at-most=0.9"),
        ("--sparsity_at_least=0.8", "--accuracy_drop_at_most", "0.9"),
        ("--accuracy-drop-at-most", "0.9", "--by", "accuracy", "--sparsity-at-least", "0.8"),
    ):
        chosen = as_json("best", *constraints)
        assert chosen["replicate"]["state"] == expected.replicate.state
        assert chosen["candidate"]["requested_sparsity"] == 0.8
        assert {limit["metric"] for limit in chosen["constraints"]} == {"sparsity", "accuracy_drop"}
    done = command("best", "--sparsity-at-least", "0.8")
    assert f"run {expected.replicate.run}, state {expected.replicate.state}" in done.out
    accuracy = expected.replicate.reporting["accuracy"]
    assert f"predicts {100 * accuracy:.1f} % of the test examples right" in done.out


def test_best_by_another_metric_and_of_one_experiment(as_json, history):
    assert as_json("best", "--by", "size-bytes")["metric"] == "size_bytes"
    assert as_json("best", "--by", "size_bytes")["candidate"]["requested_sparsity"] == 0.8
    experiment = history.experiment().id
    assert as_json("best", "--experiment", experiment[:6])["metric"] == "accuracy"


def test_a_negative_limit_is_read_as_a_number(as_json, history):
    assert as_json("best", "--accuracy-drop-at-least", "-0.5")["constraints"][0]["limit"] == -0.5


def test_best_that_nothing_satisfies_names_the_nearest(command, history):
    done = command("best", "--sparsity-at-least", "0.95")
    assert (done.status, done.out) == (1, "")
    assert re.match(r"error: no candidate satisfies sparsity ≥ 0.95; the nearest is (chained|branched) at sparsity 0.8",
                    done.err)  # fmt: skip
    assert "it passes with --sparsity-at-least 0.8" in done.err
    assert "\nchosen among" not in done.err
    assert "\nlooked at: 10 models of tinytask:task, epochs 6, batch size 20, learning rate 0.01\n" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "acuracy"], "no metric is named 'acuracy': there are .*; did you mean 'accuracy'?"),
        (["--acuracy-at-least", "0.9"], "no metric is named 'acuracy': there are .*; did you mean 'accuracy'?"),
        (["--accuracy-at-lest", "0.9"], "a constraint is named '<metric>_at_least' or '<metric>_at_most', got"),
        (["--accuracy-at-least"], "--accuracy-at-least needs a number, got ''"),
        (["--accuracy-at-least", "high"], "--accuracy-at-least needs a number, got 'high'"),
        (["--accuracy-at-least", "--sparsity-at-least", "0.5"], "--accuracy-at-least needs a number, got '--spars"),
        (["accuracy", "0.9"], "expected --METRIC-at-least or --METRIC-at-most, got 'accuracy'"),
        (["--sparsity-at-least", "90"], "sparsity_at_least must lie in [0, 1), got 90: it is a fraction removed"),
        (["--sparsity-at-least", "nan"], "sparsity_at_least must be a finite number, got nan"),
        (["--experiment", "xyz"], "no experiment has an id that begins with 'xyz'"),
    ],
)
def test_best_that_is_asked_for_wrongly_ends_with_status_2(command, history, arguments, message):
    done = command("best", *arguments)
    assert (done.status, done.out) == (2, "")
    assert re.match("error: " + re.escape(message).replace(r"\.\*", ".*"), done.err)


@pytest.mark.parametrize("by", ["run", "state", "sparsity", "best"])
def test_an_exported_model_has_the_recorded_accuracy(command, as_json, history, run_of, tmp_path, by):
    run = history.states(run_of("chained", 1))
    arguments, state = {
        "run": ([run[0].run_id], run[1]),
        "state": ([run[0].id[:12]], run[0]),
        "sparsity": ([run[0].run_id[:12], "--sparsity", "0.5"], run[0]),
        "best": ([as_json("best", "--sparsity-at-least", "0.5")["replicate"]["state"]], None),
    }[by]
    state = state or history.state(arguments[0])
    to = tmp_path / "new folder" / "model.safetensors"
    written = as_json("export", *arguments, "--to", to)
    assert written == {
        "state": state.id, "run": state.run_id, "path": str(to), "size_bytes": to.stat().st_size,
    }  # fmt: skip
    shop = Workshop(load_task({"target": "tinytask:task"}), Plan())
    model = shop.task.build()
    masks = prunus.load(model, to)
    assert shop.outcomes(model)[1] == state.record.test
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        name: count.kept for name, count in state.record.pruning.tensors.items()
    }
    assert command("export", *arguments, "--to", to).out == (
        f"{to}: {to.stat().st_size / 1024:.1f} KB, sparsity {100 * state.record.sparsity:.2f} %, state {state.id}\n"
    )


def test_export_of_the_dense_run_is_the_trained_network(as_json, history, run_of, tmp_path):
    trained = history.states(run_of("dense"))[1].id
    for arguments in ([], ["--sparsity", "0"]):
        assert as_json("export", run_of("dense"), "--to", tmp_path / "m", *arguments)["state"] == trained


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["xyz"], 2, "no run or state has an id that begins with 'xyz'"),
        (["RUN", "--sparsity", "0.6"], 1, "has no state of requested sparsity 0.6: there are 0.5, 0.8"),
        (["STATE", "--sparsity", "0.5"], 2, "--sparsity chooses among the states of a run, but "),
    ],
)
def test_export_of_what_is_not_there_is_refused(command, history, run_of, tmp_path, arguments, status, message):
    names = {"RUN": run_of("chained"), "STATE": history.states(run_of("chained"))[0].id}
    done = command("export", *[names.get(each, each) for each in arguments], "--to", tmp_path / "model")
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert not (tmp_path / "model").exists()


def test_export_to_where_nothing_can_be_written_is_refused(command, history, run_of, tmp_path):
    (tmp_path / "file").write_text("")
    for to in (tmp_path / "file" / "model", tmp_path):
        done = command("export", run_of("chained"), "--to", to)
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith(f"error: cannot write {to}: ")


def test_inspect_says_what_a_file_holds(command, as_json, history, run_of, tmp_path):
    to = tmp_path / "model.safetensors"
    command("export", run_of("chained"), "--to", to)
    found = as_json("inspect", to)
    record = history.states(run_of("chained"))[1].record
    sparsities = {tensor["name"]: tensor["sparsity"] for tensor in found["tensors"]}
    for name, count in record.pruning.tensors.items():
        assert sparsities[name] == pytest.approx(count.sparsity)
    assert found["size_bytes"] == to.stat().st_size
    done = command("inspect", to)
    assert re.search(r"^0\.weight +20×6 +F32 +bitmask +\d+\.\d % +\d+$", done.out, re.MULTILINE)


@pytest.fixture
def forest_file(tmp_path):
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    from prunus import trees

    forest = RandomForestClassifier(3, random_state=0).fit(*load_wine(return_X_y=True))
    trees.save(forest, tmp_path / "forest.safetensors")
    return forest, tmp_path / "forest.safetensors"


def test_inspect_says_what_a_file_of_trees_holds(command, as_json, forest_file):
    forest, file = forest_file
    found = as_json("inspect", file)
    grown = [tree.tree_ for tree in forest.estimators_]
    assert found["trees"] == [
        {"nodes": tree.node_count, "leaves": tree.n_leaves, "depth": tree.max_depth} for tree in grown
    ]
    assert (found["estimator"], found["features"], found["classes"]) == ("RandomForestClassifier", 13, [[0, 1, 2]])
    lines = command("inspect", file).out.splitlines()
    for index, tree in enumerate(grown):
        row = rf"^ +{index} +{tree.node_count} +{tree.n_leaves} +{tree.max_depth}$"
        assert re.match(row, lines[index + 2])
    nodes, leaves = sum(tree.node_count for tree in grown), sum(tree.n_leaves for tree in grown)
    assert lines[-1] == (
        f"{file}: RandomForestClassifier, {file.stat().st_size / 1024:.1f} KB, 3 trees, {nodes} nodes, "
        f"{leaves} leaves, depth {max(tree.max_depth for tree in grown)}, 13 features, 3 classes"
    )


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_inspect_of_damaged_trees_ends_with_an_error(command, forest_file, damage):
    data = forest_file[1].read_bytes()
    forest_file[1].write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage == "flipped" else data[:-9])
    done = command("inspect", forest_file[1])
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ")


def hostile(tmp_path, history, run_of, kind):
    data = history.states(run_of("chained"))[1].weights()
    return {
        "flipped": data[:-1] + bytes([data[-1] ^ 1]),
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "pickle": b"\x80\x04cos\nsystem\n(S'touch broken-in'\ntR.",
        "zip": b"PK\x03\x04" + bytes(100),
        "endless": (2**62).to_bytes(8, "little") + b"{}",
    }[kind]


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty", "pickle", "zip", "endless"])
def test_inspect_of_a_hostile_file_ends_with_an_error(command, history, run_of, tmp_path, kind):
    file = tmp_path / "model.safetensors"
    file.write_bytes(hostile(tmp_path, history, run_of, kind))
    done = command("inspect", file)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert not (tmp_path / "broken-in").exists()


def test_inspect_of_no_file_ends_with_an_error(command, tmp_path):
    done = command("inspect", tmp_path / "none")
    assert (done.status, done.out) == (1, "")
    assert str(tmp_path / "none") in done.err


def test_names_in_a_file_cannot_steer_the_terminal(command, as_json, tmp_path):
    name = "a\x1b[2J\x07\nforged  1x1\x9b\u202e"
    header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    out = command("inspect", file).out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert not re.search("^forged", out, re.MULTILINE)
    assert "\N{REPLACEMENT CHARACTER}[2J" in out
    assert as_json("inspect", file)["tensors"][0]["name"] == name
    assert not re.search("[\x7f-\x9f\u202e]", command("inspect", file, "--json").out)


def test_names_in_a_recipe_cannot_steer_the_terminal(command):
    done = command("check", "my.toml", "--set", 'technique.0.name="a\\u001b[2J\\nb"', "--set", 'title="\\u0007"')
    assert done.status == 0
    assert "  a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b\n" in done.out
    assert not re.search("[\x00-\x09\x0b-\x1f]", done.out + command("check", "\x1b[2J").err)


def test_criteria_lists_every_technique_in_the_table_of_its_kind(command, as_json):
    from prunus.allocation.budgets.table import BUDGETS
    from prunus.criteria.table import CRITERIA
    from prunus.training.tables import EDGE_POPUPS, MOVEMENTS, PENALTIES, REWIRINGS
    from prunus.trees.table import METHODS

    tables = {
        "criteria": CRITERIA,
        "rewire": REWIRINGS,
        "movement": MOVEMENTS,
        "edge_popup": EDGE_POPUPS,
        "penalties": PENALTIES,
        "budgets": BUDGETS,
        "tree_methods": METHODS,
    }
    listed = as_json("criteria")
    assert listed == {
        name: {each: {**dataclasses.asdict(entry), "needs": [*entry.needs]} for each, entry in table.items()}
        for name, table in tables.items()
    }
    lines = command("criteria").out.splitlines()
    parts = re.split(r"\n(?=\S)", "\n".join(lines))
    names = [re.findall(r"^  (\S.*)$", part, re.M) for part in parts]
    assert names == [[*table] for table in tables.values()]
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("    needs held-out examples and a forest; costs one pass") for line in lines)
    assert any(line.startswith("    takes strength, pattern, include, exclude, types; costs") for line in lines)


@pytest.mark.parametrize("key", ["rewire", "movement", "edge_popup"])
def test_what_a_recipe_may_say_of_training_is_what_is_listed(as_json, key):
    from typing import get_args

    from prunus.experiments.technique_settings import TechniqueSettings

    allowed = get_args(get_args(TechniqueSettings.model_fields[key].annotation)[0])
    assert {*allowed} == as_json("criteria")[key].keys()


def test_a_shipped_recipe_goes_through_check(command, as_json, tmp_path):
    names = as_json("recipes")
    assert names.keys() >= {"demo"}
    assert "demo" in command("recipes").out
    for name in names:
        printed = command("recipes", name).out
        assert tomllib.loads(printed) == as_json("recipes", name)[name] == names[name]
        (tmp_path / "own.toml").write_text(printed, encoding="utf-8")
        checked = as_json("check", "own.toml")
        assert checked == as_json("check", name)
        assert checked["id"] == prunus.Recipe.load(name).id


def test_a_recipe_that_does_not_ship_is_refused(command):
    done = command("recipes", "dem")
    assert (done.status, done.out) == (2, "")
    assert re.match("error: no shipped recipe is named 'dem': there are .*; did you mean 'demo'?", done.err)


def test_the_schema_of_recipes_is_json_and_holds_for_all_that_ship(command, as_json):
    schema = json.loads(command("recipes", "--schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for recipe in as_json("recipes").values():
        jsonschema.validate(recipe, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**as_json("recipes")["demo"], "sedes": [0]}, schema)


def test_check_says_how_much_work_there_is(command, as_json):
    checked = as_json("check", "my.toml", "--set", "seeds=[0]")
    assert (checked["runs"], checked["states"]) == (3, 6)
    assert prunus.Recipe.of(checked["recipe"]).id == checked["id"]
    out = command("check", "my.toml").out
    assert "my.toml is a valid recipe" in out
    assert "2 techniques over 2 seeds at 2 sparsities: 6 runs, 12 models to train" in out
    assert out.splitlines()[-2:] == ["  chained", "  branched"]


def test_check_names_every_mistake_with_its_line(command, tmp_path):
    text = (tmp_path / "my.toml").read_text()
    (tmp_path / "my.toml").write_text(text.replace("epochs = 6", "epoch = 6").replace("0.8", "80"))
    done = command("check", "my.toml", "--set", "choose.by=acuracy")
    assert (done.status, done.out) == (2, "")
    lines = done.err.splitlines()
    assert [line.removeprefix("error: ").partition(": ")[0] for line in lines] == [
        "my.toml:3", "my.toml:7", "--set choose.by=acuracy",
    ]  # fmt: skip
    assert "did you mean 'epochs'?" in lines[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task=tinytask:tsk", "task.target: no attribute of tinytask is named 'tsk': there are "),
        ("task={data = 'digits', model = 'tinytask:mdl'}", "task.model: no attribute of tinytask is named 'mdl'"),
        ("task={data = 'nowhere:data', model = 'mlp'}", "task.data: cannot import 'nowhere' of 'nowhere:data': "
         "there is no such module on the import path, nor in the current folder FOLDER"),
        ("technique.1.criterion=tinytask:none", 'technique.1.criterion in technique "branched" (number 2): no '
         "attribute of tinytask is named"),
        ("technique.1={penalty = 'tinytask:none', strength = 1}", "technique.1.penalty in technique number 2: no "
         "attribute of tinytask is named 'none'"),
        ("technique.1.criterion=tinytask:__doc__",
         "technique.1.criterion in technique \"branched\" (number 2): 'tinytask:__doc__' must be a function, got str"),
        ("task=wrong_code:task", "task.target: 'wrong_code:task' raised NameError: name 'x' is not defined "
         "(wrong_code.py:2)\nPRUNUS_TRACEBACK=1 shows where, call by call\n"),
    ],
)  # fmt: skip
def test_check_imports_what_is_the_users_own(command, tmp_path, change, message):
    (tmp_path / "wrong_code.py").write_text("\nx\n")
    done = command("check", "my.toml", "--set", change)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: --set {change}: {message.replace('FOLDER', str(tmp_path))}")


def test_check_names_the_line_of_what_is_the_users_own(command, tmp_path):
    text = (tmp_path / "my.toml").read_text()
    (tmp_path / "my.toml").write_text(text.replace('"random"', '"tinytask:none"'))
    done = command("check", "my.toml")
    assert done.err.startswith('error: my.toml:18: technique.1.criterion in technique "branched" (number 2): no attr')


@pytest.mark.parametrize(
    "arguments", [["check", "none.toml"], ["check", "my.toml", "--set", "x"], ["run", "none.toml"], ["show", "xyz"]]
)
def test_what_is_asked_for_wrongly_ends_with_status_2_and_one_error(command, history, arguments):
    done = command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [["history"], ["best"], ["show", "x"], ["report"], ["export", "x", "--to", "y"]])
def test_without_a_history_it_is_said_where_one_was_looked_for(command, tmp_path, arguments):
    done = command(*arguments)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"error: there is no history at {tmp_path / 'prunus-history'}: run a recipe first, or")
    assert not (tmp_path / "prunus-history").exists()


def test_report_writes_the_page(command, as_json, history, tmp_path):
    to = tmp_path / "page.html"
    written = as_json("report", "--to", to)
    assert written == {"experiment": history.experiment().id, "path": str(to)}
    assert "<html" in to.read_text(encoding="utf-8")
    assert command("report", "--to", to).out == f"report: {to}\n"


def test_the_version_is_that_of_the_package(command):
    from importlib.metadata import version

    assert command("--version").out == f"prunus {version('prunus')}\n"


def test_the_package_can_be_run_by_its_name(command):
    done = subprocess.run([sys.executable, "-m", "prunus", "--version"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (command("--version").out, "")


def test_every_command_explains_itself(command):
    listed = command("--help").out
    for name in ("run", "check", "recipes", "history", "show", "best", "report", "export", "inspect", "criteria"):
        assert name in listed
        assert "--json" in command(name, "--help").out


def test_exported_weights_are_not_changed_by_loading(history, run_of, tmp_path, command):
    command("export", run_of("chained"), "--to", tmp_path / "model")
    first, second = (load_task({"target": "tinytask:task"}).build() for _ in range(2))
    prunus.load(first, tmp_path / "model")
    history.states(run_of("chained"))[1].restore(second)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
