"""A user's own code is identified by its module and by all of the project that it imports."""

from __future__ import annotations

import importlib
import os
import random
import sys
import textwrap
import zipfile

import pytest

from prunus.errors import ArgumentError, UserCodeError
from prunus.tasks.code import code_digest

RAISES = "raise RuntimeError('code was run')"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes files into a folder on the import path; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = {*sys.modules}
    clock = iter(range(10**9, 2 * 10**9, 10))

    def write(**files):
        for name, text in files.items():
            path = folder.joinpath(*name.split("__")).with_suffix(".py")
            if name.endswith("__"):
                path = folder.joinpath(*name.split("__")[:-1], "__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
            os.utime(path, (0, next(clock)))  # Python's cache goes by second and size
        return folder

    yield write
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def follows(project):
    """Whether a change of a module changes the digest of "mine:thing"."""

    def check(name, text="changed = 1"):
        before = code_digest("mine:thing")
        assert code_digest("mine:thing") == before
        project(**{name: text})
        return code_digest("mine:thing") != before

    return check


def test_a_module_alone_is_identified_by_its_bytes(project):
    project(mine="x = 1")
    first = code_digest("mine:x")
    assert first == "8ff436def1451285"  # as before siblings were followed: work that is recorded stays done
    project(mine="x = 2")
    assert code_digest("mine:x") != first
    project(mine="x = 1")
    assert code_digest("mine:y") == first
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "import helper",
        "import os, helper as h",
        "from helper import f",
        "from helper import *",
        "def later():\n    import helper",
        "try:\n    import faster\nexcept ImportError:\n    from helper import f",
        "if False:\n    import helper",
        "import importlib\nimportlib.import_module('helper')",
        "from importlib import import_module\nh = import_module('helper', None)",
        "h = __import__('helper')",
        "# -*- coding: latin-1 -*-\nimport helper  # \xe9",
        "\ufeffimport helper",
        "pattern = '\\d'\nimport helper",
    ],
)
def test_a_sibling_that_is_imported_in_any_way_is_followed(project, follows, text):
    folder = project(helper=RAISES)
    encoding = "latin-1" if "latin" in text else "utf-8"
    (folder / "mine.py").write_bytes(text.encode(encoding))
    assert follows("helper")
    assert not {"mine", "helper"} & {*sys.modules}


@pytest.mark.parametrize(
    "text", ["", "helper = 1", "import other", "x = 'import helper'", "from .. import helper", "import helper2"]
)
def test_what_is_not_imported_is_not_followed(project, follows, text):
    project(mine=text, helper=RAISES)
    assert not follows("helper")


def test_imports_are_followed_from_module_to_module_and_in_circles(project, follows):
    project(mine="import a", a="import b", b="import c, a, mine", c="from b import x")
    assert follows("c", "from b import y")
    assert follows("b", "import c")
    assert follows("a", "import b, mine")


@pytest.mark.parametrize(
    ("text", "name", "followed"),
    [
        ("from . import near", "lib__near", True),
        ("from .near import thing", "lib__near", True),
        ("from .sub import deep", "lib__sub__deep", True),
        ("from .sub.deep import thing", "lib__sub__", True),
        ("import lib.sub.deep", "lib__sub__deep", True),
        ("import lib.sub", "lib__sub__deep", False),
        ("import lib.sub as s", "lib__sub__", True),
        ("from lib.sub import deep as d", "lib__sub__deep", True),
        ("from .. import near", "lib__near", False),  # beyond the outermost package
        ("import near", "lib__near", False),  # nothing is relative without a dot
        ("from ..helper import thing", "helper", False),
        ("from . import *", "lib__near", False),
        ("import importlib\nimportlib.import_module('.near', __package__)", "lib__near", True),
    ],
)
def test_packages_and_relative_imports(project, text, name, followed):
    project(lib__="", lib__near=RAISES, lib__sub__=RAISES, lib__sub__deep=RAISES, lib__mine=text, helper=RAISES)
    before = code_digest("lib.mine:thing")
    project(**{name: "changed = 1"})
    assert (code_digest("lib.mine:thing") != before) == followed


def test_a_module_two_levels_down_climbs_by_dots(project):
    project(lib__="", lib__near="x = 1", lib__sub__="", lib__sub__mine="from ..near import x\nfrom ...near import x")
    before = code_digest("lib.sub.mine:x")
    project(lib__near="x = 2")
    assert code_digest("lib.sub.mine:x") != before


def test_the_packages_that_a_module_lies_in_are_run_by_its_import_and_so_are_what_they_import(project):
    project(lib__="from lib import setup", lib__setup="x = 1", lib__mine="")
    digests = [code_digest("lib.mine:x")]
    project(lib__setup="x = 2")
    digests.append(code_digest("lib.mine:x"))
    project(lib__="")
    digests.append(code_digest("lib.mine:x"))
    assert len({*digests}) == 3


def test_a_package_itself_may_be_the_target(project):
    project(mine__="from .inner import x", mine__inner="x = 1")
    before = code_digest("mine:x")
    project(mine__inner="x = 2")
    assert code_digest("mine:x") != before


def test_a_package_without_an_init_file_is_followed(project, follows):
    project(mine="from space.inner import x", space__inner="x = 1")
    assert follows("space__inner")
    project(space__inner2="from space import inner")
    before = code_digest("space.inner2:x")
    project(space__inner="x = 3")
    assert code_digest("space.inner2:x") != before


def test_a_module_that_is_missing_is_followed_once_it_is_there(project, follows):
    project(mine="try:\n    import helper\nexcept ImportError:\n    pass")
    assert follows("helper")
    assert follows("helper", "changed = 2")


def test_a_module_that_came_within_the_same_moment_is_seen(project):
    folder = project(mine="import helper")
    before, digest = folder.stat(), code_digest("mine:x")
    (folder / "helper.py").write_text("x = 1")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert code_digest("mine:x") != digest


@pytest.mark.parametrize(
    "text", ["import helper\ndef (:", "import helper\n\0", "\xff = 1"], ids=["syntax", "null", "?"]
)
def test_what_cannot_be_parsed_is_identified_by_its_bytes_and_fails_when_it_is_imported(project, text):
    project(mine="import broken").joinpath("broken.py").write_bytes(text.encode("latin-1"))
    before = code_digest("mine:x")
    project(helper="x = 1")
    assert code_digest("mine:x") == before
    project(broken="x = 1")
    assert code_digest("mine:x") != before


@pytest.mark.parametrize("sign", ["(", "-"])
def test_code_too_deep_to_parse_is_identified_by_its_bytes(project, follows, sign):
    project(mine="import broken", broken=f"x = {sign * 100_000}1")
    assert follows("broken", f"x = {sign * 100_001}1")


def test_a_file_that_cannot_be_read_is_named(project, monkeypatch):
    folder = project(mine="import helper", helper="")

    def refuse(self, path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("importlib.machinery.SourceFileLoader.get_data", refuse)
    with pytest.raises(ArgumentError, match=rf"cannot read {folder}/mine.py, the module 'mine': Permission denied"):
        code_digest("mine:x")


def test_neither_what_is_installed_nor_pythons_own_library_is_followed(project, follows, monkeypatch):
    folder = project(mine="import json, numpy, lib, prunus", prunus2="")
    inside = folder / ".venv" / "lib" / "site-packages"
    inside.mkdir(parents=True)
    (inside / "lib.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(inside))
    digest = code_digest("mine:x")
    (inside / "lib.py").write_text("x = 22")
    project(prunus2="x = 1")
    assert code_digest("mine:x") == digest == code_digest("mine:y")
    project(lib="x = 1")
    assert code_digest("mine:x") == digest  # the installed one comes first on the path


def test_of_an_installed_package_that_package_alone_is_followed(project, monkeypatch):
    folder = project()
    installed = folder / "site-packages"
    for path, text in (("theirs/__init__.py", ""), ("theirs/task.py", "import theirs.more, other"), ("other.py", "")):
        (installed / path).parent.mkdir(parents=True, exist_ok=True)
        (installed / path).write_text(text)
    monkeypatch.syspath_prepend(str(installed))
    digests = [code_digest("theirs.task:x")]
    for path in ("other.py", "theirs/more.py"):
        (installed / path).write_text("x = 1")
        digests.append(code_digest("theirs.task:x"))
    assert digests[0] == digests[1] != digests[2]


def test_pythons_own_modules_have_no_digest():
    assert code_digest("sys:path") == code_digest("json.decoder:x") == code_digest("prunus.criteria.magnitude:x") == ""


def test_code_in_an_archive_and_code_that_is_compiled_are_identified_too(project, tmp_path, monkeypatch):
    archive = tmp_path / "code.zip"
    digests = []
    for text in ("x = 1", "x = 2", "x = 1"):
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("zipped.py", "import inner")
            opened.writestr("inner.py", text)
        sys.path_importer_cache.pop(str(archive), None)
        monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
        importlib.invalidate_caches()
        digests.append(code_digest("zipped:x"))
    assert digests[0] == digests[2] != digests[1]
    folder = project(mine="import fast")
    (folder / f"fast{importlib.machinery.EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF 1")
    before = code_digest("mine:x")
    (folder / f"fast{importlib.machinery.EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF 2")
    assert code_digest("mine:x") != before


def test_a_link_into_the_project_and_a_project_behind_a_link_are_followed(project, tmp_path, monkeypatch):
    folder = project(mine="import linked, helper", helper="x = 1")
    (tmp_path / "elsewhere.py").write_text("x = 1")
    (folder / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    digests = [code_digest("mine:x")]
    (tmp_path / "elsewhere.py").write_text("x = 2")
    digests.append(code_digest("mine:x"))
    (tmp_path / "way").symlink_to(folder)
    monkeypatch.syspath_prepend(str(tmp_path / "way"))
    project(helper="x = 2")
    digests.append(code_digest("mine:x"))
    (folder / "sub").mkdir()
    (folder / "sub" / "far.py").write_text("x = 1")
    monkeypatch.setattr(sys, "path", [str(folder), str(tmp_path / "way" / "sub")])
    project(mine="import far")
    for text in ("x = 1", "x = 2"):
        (folder / "sub" / "far.py").write_text(text)
        digests.append(code_digest("mine:x"))
    assert len({*digests}) == 5


def test_neither_the_place_nor_the_order_of_the_files_changes_the_digest(project, tmp_path, monkeypatch):
    names = [f"m{number}" for number in range(8)]
    files = {name: f"import {', '.join(names)}\nx = '{name}'" for name in names}
    project(mine="import m3", **files)
    digest = code_digest("mine:x")
    for number in range(3):
        folder = tmp_path / f"copy{number}"
        folder.mkdir()
        for name in random.Random(number).sample([*names, "mine"], 9):
            (folder / f"{name}.py").write_text({"mine": "import m3", **files}[name])
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
        assert code_digest("mine:x") == digest


def test_contents_that_change_places_change_the_digest(project):
    project(mine="import a, b", a="x = 1", b="x = 2")
    before = code_digest("mine:x")
    project(a="x = 2", b="x = 1")
    assert code_digest("mine:x") != before


# --- what is not there, and what fails ---


@pytest.mark.parametrize("target", ["no_such_module:x", "no.such.module:x", "mine.no:x", "sys.path:x"])
def test_a_module_that_is_not_there_is_said(project, target):
    project(mine=RAISES)
    with pytest.raises(ArgumentError, match=f"cannot find the module '{target[:-2]}' of '{target}'"):
        code_digest(target)


def test_what_only_this_process_has_cannot_be_found(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_here", type(sys)("made_here"))
    with pytest.raises(ArgumentError, match="cannot find the module 'made_here'"):
        code_digest("made_here:x")
    with pytest.raises(ArgumentError, match=r"lies in the script that runs, .*: move it to a module"):
        code_digest("__main__:task")


def test_a_package_that_raises_is_not_run(project):
    project(lib__=RAISES, lib__mine=RAISES)
    assert code_digest("lib.mine:x")
    assert "lib" not in sys.modules


# --- what runs is what the digest speaks of ---


def test_a_changed_sibling_is_what_runs_from_then_on(project):
    project(mine="from helper import x", helper="x = 1")
    code_digest("mine:x")
    assert importlib.import_module("mine").x == 1
    project(helper="x = 2")
    code_digest("mine:x")
    assert importlib.import_module("mine").x == importlib.import_module("helper").x == 2


def test_modules_in_a_circle_and_in_packages_are_all_imported_anew(project):
    project(lib__="", lib__mine="import lib.a\ndef x(): return lib.a.y()", lib__a="import lib.mine\ndef y(): return 1")
    code_digest("lib.mine:x")
    assert importlib.import_module("lib.mine").x() == 1
    project(lib__a="import lib.mine\ndef y(): return 2")
    code_digest("lib.mine:x")
    assert importlib.import_module("lib.mine").x() == 2
    assert importlib.import_module("lib").mine.x() == 2


def test_two_targets_that_share_a_helper_both_run_it_as_changed(project):
    project(one="from helper import x", two="from helper import x", helper="x = 1")
    for name in ("one", "two"):
        code_digest(f"{name}:x")
        importlib.import_module(name)
    project(helper="x = 2")
    for name in ("one", "two"):
        code_digest(f"{name}:x")
    assert [importlib.import_module(name).x for name in ("one", "two")] == [2, 2]


def test_unchanged_code_is_not_imported_again(project):
    project(mine="import helper\nx = 1", helper="")
    code_digest("mine:x")
    module = importlib.import_module("mine")
    code_digest("mine:x")
    assert importlib.import_module("mine") is module


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def (:", r"'mine:x' raised SyntaxError: .*helper.py:1"),
        ("raise KeyError('mine')", r"'mine:x' raised KeyError: 'mine' .*helper.py:1"),
        ("import no_such", r"'mine:x' raised ModuleNotFoundError: No module named 'no_such' .*helper.py:1"),
        ("raise SystemExit(3)", r"'mine:x' raised SystemExit: 3 .*helper.py:1"),
    ],
)
def test_a_change_that_does_not_import_is_told_as_the_users_own_error(project, text, said):
    project(mine="import helper\nx = 1", helper="")
    code_digest("mine:x")
    importlib.import_module("mine")
    project(helper=text)
    with pytest.raises(UserCodeError, match=said):
        code_digest("mine:x")
    project(helper="")
    assert code_digest("mine:x")
    assert importlib.import_module("mine").x == 1
