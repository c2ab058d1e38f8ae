from __future__ import annotations

import errno
import json
import os
import re

import pytest

import prunus
from prunus.report.words import sparsity_percent

QUICK = ("--jobs", "1", "--set", "training.epochs=1")


def whole_table(history, sparsities):
    """The accuracy of every technique at every sparsity, as the table must show it."""
    found = {}
    for candidate in history.candidates():
        values = candidate.reporting("accuracy")
        found[candidate.technique, candidate.requested_sparsity] = f"{100 * sum(values) / len(values):.1f}"
    return found


def test_run_ends_with_the_table_the_choice_the_model_and_the_page(command, tmp_path):
    done = command("run", "my.toml", "--jobs", "1")
    assert (done.status, done.err) == (0, "")
    history = prunus.History(tmp_path / "prunus-history", create=False)
    assert all(history.complete(run.id) for run in history.runs())
    for (technique, sparsity), accuracy in whole_table(history, (0.5, 0.8)).items():
        row = re.search(rf"^{technique} .*", done.out, re.MULTILINE)[0]
        assert re.findall(r"(\d+\.\d) ±", row)[[0.5, 0.8, 0.0].index(sparsity) % 2] == accuracy
    assert "mean of 2 seeds ± half the 95 % interval" in done.out
    model, report = (re.search(rf"^{name}: +(.*)$", done.out, re.MULTILINE)[1] for name in ("model", "report"))
    assert os.path.isfile(report)
    choice = history.best(sparsity_at_least=0.5)
    import tinytask

    prunus.load(tinytask.build(), model)
    with open(model, "rb") as file:
        assert file.read() == history.state(choice.replicate.state).weights()
    assert f"{choice.candidate.technique} at" in done.out


def test_what_makes_its_own_choice_has_a_column_that_says_where_it_came_to(command, tmp_path):
    recipe = (tmp_path / "my.toml").read_text(encoding="utf-8")
    gates = '[[technique]]\nname = "gates"\npenalty = "l0"\nstrength = 1e-2\n'
    (tmp_path / "my.toml").write_text(recipe.replace("[choose]", f"{gates}\n[choose]"), encoding="utf-8")
    done = command("run", "my.toml", *QUICK)
    assert (done.status, done.err) == (0, "")
    history = prunus.History(tmp_path / "prunus-history", create=False)
    [own] = [each for each in history.candidates() if each.technique == "gates"]
    accuracy, sparsity = sum(own.reporting("accuracy")) / 2, sparsity_percent(own.requested_sparsity)
    table, _, _ = done.out.partition("\n\n")
    rows = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "own choice" in rows["technique"]
    assert re.search(rf"^gates +– +– +{100 * accuracy:.1f} ±\d+\.\d at {sparsity}", rows["gates"])
    assert rows["chained"].rstrip().endswith("–")


def test_run_as_json_says_the_same(as_json, tmp_path):
    done = as_json("run", "my.toml", *QUICK)
    history = prunus.History(tmp_path / "prunus-history", create=False)
    assert done["experiment"] == history.experiment().id
    assert done["choice"]["replicate"]["state"] == history.best(sparsity_at_least=0.5).replicate.state
    assert os.path.isfile(done["model"])
    assert os.path.isfile(done["report"])
    assert "has the highest validation accuracy with a sparsity of at least 50" in done["verdict"]
    assert as_json("run", "my.toml", *QUICK) == done


def test_run_with_one_seed_gives_no_interval(command):
    done = command("run", "my.toml", *QUICK, "--set", "seeds=[3]")
    assert done.status == 0
    assert "one seed" in done.out
    assert "±" not in done.out


def test_a_run_of_which_nothing_qualifies_is_done_and_says_so(command, as_json):
    done = command("run", "my.toml", *QUICK, "--set", "choose.sparsity_at_least=0.9")
    assert done.status == 0
    assert "no candidate satisfies sparsity ≥ 0.9; the nearest is" in done.out
    assert "model:  none qualifies" in done.out
    again = as_json("run", "my.toml", *QUICK, "--set", "choose.sparsity_at_least=0.9")
    assert (again["model"], again["choice"]) == (None, None)


@pytest.mark.parametrize("sparsities", [[0.5], [round(0.1 + index / 20, 2) for index in range(13)]])
def test_every_accuracy_is_whole_in_a_narrow_terminal(command, monkeypatch, tmp_path, sparsities):
    monkeypatch.setenv("COLUMNS", "80")
    done = command(
        "run", "my.toml", *QUICK, "--set", f"sparsities={sparsities}", "--set", "technique.0.schedule=one-shot"
    )
    assert done.status == 0
    history = prunus.History(tmp_path / "prunus-history", create=False)
    table = re.split(r"\n[^\n]* sparsity has the ", done.out)[0]
    assert all(len(line) <= 80 for line in table.splitlines())
    cells = re.findall(r"\d+\.\d ±\d+\.\d", table)
    for (technique, sparsity), accuracy in whole_table(history, sparsities).items():
        assert any(cell.startswith(f"{accuracy} ±") for cell in cells)
        assert technique == "dense" or f"{100 * sparsity:.0f} %" in table
    assert len(cells) == 3 * len(sparsities)


def test_run_in_another_folder(command, tmp_path, monkeypatch):
    for arguments, variable in ((("--history", tmp_path / "here"), None), ((), "there")):
        if variable:
            monkeypatch.setenv("PRUNUS_HISTORY", variable)
        assert command("run", "my.toml", *QUICK, "--set", "seeds=[0]", *arguments).status == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"here", "there"}


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        (["task=tinytask:a_class_is_missing"], 1, "class 'c' is missing from the test split of 'tiny'"),
        (["task=tinytask:nothing_to_prune"], 1, "nothing to prune: of the 2 parameters of Sequential none is in scope"),
        (["technique.0.include=['nowhere']"], 1, "no module or parameter is named 'nowhere'"),
        (["technique.0.rewind_step=100"], 2, "rewind_step must be below the 6 steps that the training takes, got 100"),
        (["task={data = 'mnist', model = 'mlp'}"], 1, "'mnist' was not found (PRUNUS_DATA is not set). Either set"),
        (["task=no_such_module:task"], 2, "--set task=no_such_module:task: task.target: cannot import 'no_such_"),
        (["task=tinytask:tsk"], 2, "did you mean 'task'?"),
        (["sparsities=[0.995]"], 1, "sparsity 0.995 leaves 1 for 2 tensors"),
        (["training.learning_rate=1e30", "training.optimizer=sgd", "training.momentum=0.9"], 1, "lower learning_rate"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_error(command, monkeypatch, changes, status, message):
    monkeypatch.setattr("prunus.tasks.datasets.sources.hub_package", lambda: None)
    done = command("run", "my.toml", *QUICK, *(f"--set={change}" for change in changes))
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("error: ")
    assert message in done.err
    assert "Traceback" not in done.err


OWN_CODE = """\
from tinytask import task

def in_the_task():
    raise ValueError('boom')

def criterion(subject):
    return {name: undefined for name in subject.parameters}
"""


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task=own_code:in_the_task", "'dense' with seeds 0–1: 'own_code:in_the_task' raised ValueError: boom "
         "(own_code.py:4) (0 of 6 runs are done; what is recorded stays)"),
        ("technique.1.criterion=own_code:criterion", "'branched' with seeds 0–1: 'own_code:criterion' raised "
         "NameError: name 'undefined' is not defined (own_code.py:7) (4 of 6 runs are done; what is recorded stays)"),
    ],
)  # fmt: skip
def test_an_error_in_the_users_own_code_is_one_sentence(command, tmp_path, change, message, jobs):
    (tmp_path / "own_code.py").write_text(OWN_CODE)
    done = command("run", "my.toml", "--jobs", jobs, "--set", "training.epochs=1", "--set", change)
    assert (done.status, done.out) == (1, "")
    assert done.err == f"error: {message}\nPRUNUS_TRACEBACK=1 shows where, call by call\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_whole_traceback_is_shown_where_it_is_asked_for(command, monkeypatch, tmp_path, jobs):
    monkeypatch.setenv("PRUNUS_TRACEBACK", "1")
    (tmp_path / "own_code.py").write_text(OWN_CODE)
    done = command("run", "my.toml", "--jobs", jobs, "--set", "task=own_code:in_the_task")
    assert (done.status, done.out) == (1, "")
    assert "    raise ValueError('boom')\nValueError: boom\n" in done.err
    assert "The above exception was the direct cause of the following exception" in done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("error: 'dense' with seeds 0–1: 'own_code:in_the_task' raised ValueError: boom")
    assert command("run", "none.toml").err.startswith("Traceback")
    for off in ("", "0"):
        monkeypatch.setenv("PRUNUS_TRACEBACK", off)
        assert "Traceback" not in command("run", "none.toml").err


def test_the_switch_for_tracebacks_is_documented(command):
    assert "PRUNUS_TRACEBACK=1" in command("--help").out


def test_what_cannot_be_imported_is_told_before_anything_is_run(command, tmp_path):
    (tmp_path / "own_code.py").write_text("1 / 0\n")
    text = (tmp_path / "my.toml").read_text().replace('criterion = "random"', 'criterion = "own_code:criterion"')
    (tmp_path / "my.toml").write_text(text)
    done = command("run", "my.toml", "--set", "task=tinytask:tsk")
    task, criterion, hint = done.err.splitlines()
    assert (done.status, done.out) == (2, "")
    assert task.startswith("error: --set task=tinytask:tsk: task.target: no attribute of tinytask is named 'tsk'")
    assert criterion == ('my.toml:18: technique.1.criterion in technique "branched" (number 2): '
                         "'own_code:criterion' raised ZeroDivisionError: division by zero (own_code.py:1)")  # fmt: skip
    assert hint.startswith("PRUNUS_TRACEBACK=1")
    assert not (tmp_path / "prunus-history").exists()


def test_a_missing_data_set_names_both_ways_to_get_it(command, monkeypatch):
    monkeypatch.setattr("prunus.tasks.datasets.sources.hub_package", lambda: None)
    done = command("run", "my.toml", *QUICK, "--set", "task={data = 'mnist', model = 'mlp'}")
    assert "set PRUNUS_DATA to a folder" in done.err
    assert "pip install 'prunus[hf]'" in done.err


def test_interrupted_it_says_how_to_go_on(command, monkeypatch, tmp_path):
    add, added = prunus.History.add, []

    def adding(self, state):
        if len(added) == 3:
            raise KeyboardInterrupt
        added.append(state.id)
        add(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(prunus.History, "add", adding)
        done = command("run", "my.toml", *QUICK)
    assert (done.status, done.out) == (130, "")
    folder = tmp_path / "prunus-history"
    assert f"interrupted; what is done is recorded in {folder}: the same command goes on from there" in done.err
    history = prunus.History(folder)
    assert {state.id for state in history.states()} == set(added)
    assert command("run", "my.toml", *QUICK).status == 0
    assert len(history.states()) == 12


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "no permission for")])
def test_where_nothing_can_be_written_it_says_why_and_what_was_recorded_stays(
    command, monkeypatch, tmp_path, code, message
):
    assert command("run", "my.toml", *QUICK, "--set", "seeds=[0]").status == 0
    history = prunus.History(tmp_path / "prunus-history")
    before = {path: path.read_bytes() for path in history.folder.rglob("*.json")}

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        done = command("run", "my.toml", *QUICK)
        assert command("history").status == 0
        assert command("best").status == 0
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"error: {message}")
    assert "nothing recorded before is lost" in done.err
    assert {path: path.read_bytes() for path in history.folder.rglob("*.json")} == before
    assert command("run", "my.toml", *QUICK).status == 0
    assert len(history.states()) == 12


def test_a_read_only_history_can_be_looked_at(command, history, run_of, monkeypatch, tmp_path):
    opened = os.open

    def refuse(path, flags, *arguments, **others):
        if str(path).startswith(str(history.folder)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *arguments, **others)

    before = command("history").out
    monkeypatch.setattr(os, "open", refuse)
    assert command("history").out == before
    assert command("show", run_of("chained")).status == 0
    assert command("best").status == 0
    assert command("export", run_of("chained"), "--to", tmp_path / "model").status == 0
    done = command("run", "my.toml", "--jobs", "1", "--set", "title=other")
    assert (done.status, done.out) == (1, "")
    assert re.match("error: no permission for .*make the history writable, or set PRUNUS_HISTORY to a folder", done.err)


def test_progress_and_errors_never_mix_with_json(command):
    done = command("run", "my.toml", *QUICK, "--json", "--set", "seeds=[0]")
    assert done.err == ""
    assert json.loads(done.out)["report"]
