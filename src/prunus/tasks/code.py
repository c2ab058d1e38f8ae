"""The digest of a user's own code: of a module, and of what it imports from the same project."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from prunus.errors import ArgumentError
from prunus.files.canonical import digest

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_OURS = frozenset({"prunus"})  # what prunus computes is not the user's to change
_used: dict[str, dict[str, str]] = {}  # module → digest of it and of what it imports, when it was last looked at


def code_digest(target: str) -> str:
    """Digest of the code behind a user's ``"module:name"``: when it changes, work is done anew.

    It covers the module's file, those of the packages that it lies in, and of every module of the same project that one
    of them imports, wherever in the file, by ``import``, or by ``import_module`` and a name that stands there. The
    project is the folder in which the module, or its outermost package, lies, without what is installed there and
    without Python's own library; of an installed package it is that package alone. Nothing is executed to find this.
    Code that is not Python is covered by its bytes; what it imports is not.

    A module of the project that has changed since the last call is imported anew, with all others of this target, so
    that what runs is what the digest speaks of.

    Returns:
        sixteen hexadecimal digits; empty for a module without a file, which is Python's own.

    Raises:
        ArgumentError: there is no such module, it is the script that runs, or a file cannot be read.
        UserCodeError: the code has changed, and to import it anew raises an error.
    """
    module = target.partition(":")[0]
    if module == "__main__":
        raise ArgumentError(
            f"{target!r} lies in the script that runs, which other processes cannot import: move it to a module"
        )
    importlib.invalidate_caches()  # a folder's time does not tell of every file that came into it
    project = _Project.of(module)
    if project is None:
        raise ArgumentError(f"cannot find the module {module!r} of {target!r} on the import path")
    modules = project.modules_behind(module)
    if _used.setdefault(module, modules) != modules:
        _used[module] = modules
        _import_anew(target, modules)
    if list(modules) == [module]:
        return modules[module][:16]
    return digest(modules) if modules else ""


def code_digests(*names: str | None) -> dict[str, str]:
    """Digest of the code behind each of the names that is a user's own ``"module:name"``; see ``code_digest``."""
    return {f"source of {name}": code_digest(name) for name in names if name is not None and ":" in name}


def _import_anew(target: str, modules: dict[str, str]) -> None:
    """Import the target again, if this process has imported any of its modules."""
    from prunus.tasks.load import import_own  # needs torch, without which recipes can be checked

    loaded = [name for name in modules if name in sys.modules]
    for name in loaded:
        del sys.modules[name]
    if loaded:
        import_own(target)


@dataclass(frozen=True)
class _Project:
    """A user's code.

    Attributes:
        roots: folders that hold it, also by their names without links.
        package: the only top-level package that is part of it; empty where all in the folders are.
    """

    roots: tuple[Path, ...]
    package: str

    @classmethod
    def of(cls, module: str) -> _Project | None:
        """The project that a module lies in; None where there is no such module."""
        top = module.partition(".")[0]
        spec = _find(top)
        if spec is None or _find(module) is None:
            return None
        places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
        roots = tuple(root.parent for place in places for root in _paths(place))
        return cls(roots, top if any(_INSTALLED & {*root.parts} for root in roots) else "")

    def modules_behind(self, module: str) -> dict[str, str]:
        """Name → SHA-256 of the file of each module of the project that importing this one may run."""
        found: dict[str, str] = {}
        own: dict[str, bool] = {}  # top-level name → whether it belongs to the project
        waiting = [*_with_packages(module)]
        seen = {*waiting}
        while waiting:
            name = waiting.pop()
            top = name.partition(".")[0]
            if top not in own:
                own[top] = self._holds(_find(top))
            spec = _find(name) if own[top] else None
            source = _source(spec) if spec is not None and self._holds(spec) else None
            if spec is None or source is None:
                continue
            found[name] = hashlib.sha256(source).hexdigest()
            package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
            imported = _imports(source, package) if str(spec.origin).endswith(".py") else frozenset()
            new = {each for whole in imported for each in _with_packages(whole)} - seen
            seen |= new
            waiting += new
        return found

    def _holds(self, spec: ModuleSpec | None) -> bool:
        if spec is None or spec.name.partition(".")[0] in _OURS:
            return False
        if self.package:
            return spec.name.partition(".")[0] == self.package
        places = [spec.origin] if spec.has_location else spec.submodule_search_locations
        return any(self._is_inside(path) for place in places or () if place for path in _paths(place))

    def _is_inside(self, path: Path) -> bool:
        inside = [path.relative_to(root) for root in self.roots if path.is_relative_to(root)]
        installed = any(_INSTALLED & {*relative.parts} for relative in inside)
        return bool(inside) and not installed and not path.is_relative_to(sysconfig.get_path("stdlib"))


def _paths(place: str) -> tuple[Path, Path]:
    """The absolute path of a file or folder, as it is named and without links."""
    return Path(os.path.abspath(place)), Path(os.path.realpath(place))


def _find(name: str) -> ModuleSpec | None:
    """Where Python would find a module; unlike ``importlib.util.find_spec``, without running its packages."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    for whole in _with_packages(name):
        if spec is not None:
            if spec.submodule_search_locations is None:
                return None
            path = list(spec.submodule_search_locations)
        finders = (finder.find_spec(whole, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((found for found in finders if found is not None), None)
        if spec is None:
            return None
    return spec


def _with_packages(name: str) -> Iterator[str]:
    """``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _source(spec: ModuleSpec) -> bytes | None:
    """The bytes of the module's file, in a folder or an archive; None where it has none."""
    if not spec.has_location or not spec.origin:
        return None
    try:
        read = getattr(spec.loader, "get_data", None)
        data: bytes = read(spec.origin) if read else Path(spec.origin).read_bytes()
    except OSError as error:
        raise ArgumentError(
            f"cannot read {spec.origin}, the module {spec.name!r}: {error.strerror or error}"
        ) from error
    return data


@functools.lru_cache(maxsize=512)
def _imports(source: bytes, package: str) -> frozenset[str]:
    """Names that a source imports: of modules, and of what may be modules or attributes of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is written in it; importing it warns, too
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # importing it says so, to whom it concerns
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _imported(node, package) if name)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = _absolute(module or "", package, level)
            yield base
            yield from (f"{base}.{alias.name}" for alias in names if base)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            level = len(name) - len(name.lstrip("."))
            yield _absolute(name[level:], package, level)


def _absolute(module: str, package: str, level: int) -> str:
    """The whole name of what a module of the package imports with so many dots; empty beyond the outermost package."""
    if not level:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
