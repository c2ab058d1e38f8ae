from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import prunus
from prunus.lookup import Table

SOURCE = Path(prunus.__file__).parent
ROOT = SOURCE.parent.parent
MODULES = sorted(module.name for module in pkgutil.walk_packages([str(SOURCE)], "prunus."))
FILES = sorted(SOURCE.rglob("*.py"))
FREE_OF_TORCH = (
    "prunus",
    "prunus.errors",
    "prunus.lookup",
    "prunus.files",
    "prunus.files.atomic",
    "prunus.files.sealed",
    "prunus.schedules",
    "prunus.selection",
    "prunus.selection.choose",
    "prunus.masks.storage",
    "prunus.history",
    "prunus.history.store",
    "prunus.report",
    "prunus.report.page",
    "prunus.criteria.table",
    "prunus.tasks.tables",
    "prunus.training.plan",
    "prunus.packing.inspection",
    "prunus.trees.inspection",
    "prunus.tickets.verdict",
    "prunus.tickets.comparison",
    "prunus.experiments.recipe",
    "prunus.experiments.network_recipe",
    "prunus.experiments.tree_recipe",
    "prunus.experiments.own_names",
    "prunus.experiments.work",
    "prunus.cli.app",
)
# Importing the module in the first place of the list, and of each of the others whether it came with it.
FRESH = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    found[name] = [heavy for heavy in json.loads(sys.argv[2]) if heavy in sys.modules]
print(json.dumps(found))
"""


def in_a_fresh_interpreter(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(json.dumps, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_reads_records_never_imports_torch():
    loaded = in_a_fresh_interpreter(FRESH, FREE_OF_TORCH, ["torch"])
    assert loaded == {name: [] for name in FREE_OF_TORCH}


def test_the_program_starts_without_what_is_heavy():
    heavy = ["torch", "numpy", "scipy", "sklearn", "pandas", "altair", "jinja2", "pydantic", "sqlite3", "loky"]
    assert in_a_fresh_interpreter(FRESH, ["prunus", "prunus.cli.app"], heavy) == {"prunus": [], "prunus.cli.app": []}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["best", "--help"],
        ["recipes"],
        ["recipes", "--schema"],
        ["criteria"],
        ["check", "demo"],
    ],
)
def test_what_is_asked_quickly_is_answered_without_torch(arguments):
    code = (
        "import json, sys; sys.argv = ['prunus', *json.loads(sys.argv[1])]\n"
        "from prunus.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(); print(json.dumps([heavy for heavy in ('torch', 'scipy', 'pandas') if heavy in sys.modules]))"
    )
    assert in_a_fresh_interpreter(code, arguments) == []


def test_the_public_names_are_sorted_and_are_what_can_be_imported():
    assert prunus.__all__ == sorted(set(prunus.__all__))
    namespace: dict[str, object] = {}
    exec("from prunus import *", namespace)
    assert set(prunus.__all__) == namespace.keys() - {"__builtins__"}
    assert dir(prunus) == prunus.__all__
    for name in prunus.__all__:
        assert getattr(prunus, name) is namespace[name] is not None
    with pytest.raises(AttributeError, match="module 'prunus' has no attribute 'prun'"):
        _ = prunus.prun
    # what type checkers see is what there is
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.If)
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert imported >= set(prunus.__all__) - {"errors"}


@pytest.mark.parametrize("package", [name for name in MODULES if hasattr(importlib.import_module(name), "__path__")])
def test_every_package_exports_what_it_says(package):
    module = importlib.import_module(package)
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    assert all(getattr(module, name) is not None for name in exported)
    assert module.__doc__


def test_imports_go_downwards_only():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_every_entry_of_every_table_can_be_imported():
    tables = {
        f"{name}.{key}": value
        for name in MODULES
        for key, value in vars(importlib.import_module(name)).items()
        if isinstance(value, Table)
    }
    assert {name.rpartition(".")[2] for name in tables} >= {
        "CRITERIA",
        "SCHEDULES",
        "DATASETS",
        "MODELS",
        "AUGMENTATIONS",
    }
    for table in tables.values():
        for name, entry in table.items():
            assert callable(entry.load()), name
            assert entry.summary, name
            assert not entry.summary.startswith("plug-in"), name


def public_definitions(tree, prefix=""):
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_public_thing_is_explained(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    without = [name for name, node in public_definitions(tree) if not ast.get_docstring(node)]
    assert without == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_stay_small_and_name_no_place_of_a_machine(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|work|mnt|usr|opt|Users|var)\b", text)
    assert text.startswith('"""')
    long = [
        name
        for name, node in public_definitions(ast.parse(text))
        if not isinstance(node, ast.ClassDef)
        for body in [node.body[1:] if ast.get_docstring(node) else node.body]
        if body and body[-1].end_lineno - body[0].lineno >= 50
    ]
    assert long == []


def test_no_file_but_those_of_the_package_is_shipped_with_it():
    shipped = {path.suffix for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert shipped <= {".py", ".toml", ".html", ".css", ".js", ".json", ".svg", ".typed", ""}
    assert not [path for path in SOURCE.rglob("*") if path.is_symlink()]
