from __future__ import annotations

import importlib.metadata
import sys
import types

import pytest

from prunus.errors import ArgumentError, UnknownNameError
from prunus.lookup import Entry, Table, import_target, lazy_attributes, unknown_name


@pytest.fixture
def table():
    return Table("fruit", {"plum": Entry("math:pi", "Blue."), "apricot": Entry("math:e")})


def test_a_table_is_a_mapping_of_entries(table):
    assert list(table) == ["plum", "apricot"]
    assert len(table) == 2
    assert "plum" in table
    assert "pear" not in table
    assert table["plum"].summary == "Blue."
    assert table["plum"].load() == table.resolve("plum") == 3.141592653589793


def test_an_unknown_name_is_answered_with_what_there_is_and_the_nearest(table):
    with pytest.raises(
        UnknownNameError, match=r"^no fruit is named 'plumm': there are apricot, plum; did you mean 'plum'"
    ):
        table["plumm"]
    with pytest.raises(UnknownNameError, match=r"no fruit is named 'xyz': there are apricot, plum$"):
        table.resolve("xyz")
    assert unknown_name("fruit", 3, {"plum": None}) == "no fruit is named 3: there are plum"


def test_a_name_with_a_colon_is_a_place_unless_the_table_has_it(table):
    assert table.resolve("math:tau") == 6.283185307179586
    assert Table("fruit", {"a:b": Entry("math:pi")}).resolve("a:b") == 3.141592653589793


def test_entry_points_are_read_once_and_only_when_asked_for(monkeypatch):
    asked = []

    def entry_points(*, group):
        asked.append(group)
        return [importlib.metadata.EntryPoint("quince", "math:inf", group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    table = Table("fruit", {"plum": Entry("math:pi")}, group="prunus.fruit")
    assert asked == []
    assert list(table) == ["plum", "quince"]
    assert table["quince"].load() == float("inf")
    assert table["quince"].summary == "plug-in from math:inf"
    assert asked == ["prunus.fruit"]


@pytest.mark.parametrize("name", ["plum", "quince"])
def test_an_entry_point_takes_no_name_that_is_taken(monkeypatch, name):
    points = [importlib.metadata.EntryPoint(each, "math:inf", "prunus.fruit") for each in ("quince", name)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: points)
    table = Table("fruit", {"plum": Entry("math:pi")}, group="prunus.fruit")
    for _ in range(2):
        with pytest.raises(ArgumentError, match=f"the fruit '{name}' is declared twice"):
            list(table)


@pytest.mark.parametrize("target", ["", "math", ":pi", "math:", ".math:pi"])
def test_what_is_no_place_is_refused(target):
    with pytest.raises(ArgumentError, match=r"expected 'package.module:attribute', got"):
        import_target(target)


def test_a_missing_module_or_attribute_is_named():
    with pytest.raises(ArgumentError, match=r"cannot import 'no_such_module.inner' of 'no_such_module.inner:x'"):
        import_target("no_such_module.inner:x")
    with pytest.raises(ArgumentError, match=r"cannot import 'math.inner'"):
        import_target("math.inner:x")
    with pytest.raises(ArgumentError, match=r"no attribute of math is named 'taau': .*did you mean 'tau'"):
        import_target("math:taau")


def test_an_error_inside_the_module_passes_through(tmp_path, monkeypatch):
    (tmp_path / "needs_another.py").write_text("import no_such_dependency")
    (tmp_path / "divides.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"no_such_dependency"):
        import_target("needs_another:x")
    with pytest.raises(ZeroDivisionError):
        import_target("divides:x")


def test_lazy_attributes_are_imported_on_use_and_kept(monkeypatch):
    package, module = types.ModuleType("a_package"), types.ModuleType("a_package_module")
    module.value = object()
    monkeypatch.setitem(sys.modules, "a_package", package)
    monkeypatch.setitem(sys.modules, "a_package_module", module)
    package.__getattr__ = lazy_attributes("a_package", {"value": "a_package_module"})
    assert "value" not in vars(package)
    assert package.value is module.value
    assert vars(package)["value"] is module.value
    with pytest.raises(AttributeError, match=r"module 'a_package' has no attribute 'other'"):
        package.__getattr__("other")
