"""Runs the Python and TOML examples of Markdown files, each file as one program from top to bottom.

Usage: python tests/snippets.py FILE.md …

Python blocks of one file share their names, as a reader would type them one after another, in a folder of their
own. TOML blocks are checked as recipes. A block under a comment ``<!-- not run -->`` is left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path

BLOCK = re.compile(r"^(?P<skip><!-- not run -->\n+)?```(?P<language>python|toml)\n(?P<code>.*?)^```", re.M | re.S)


def run_file(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    count = 0
    for block in BLOCK.finditer(text):
        if block["skip"]:
            continue
        line = text.count("\n", 0, block.start("code")) + 1
        count += 1
        if block["language"] == "toml":
            check_recipe(block["code"])
        else:
            code = compile("\n" * (line - 1) + block["code"], str(path), "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, names)
    return count


def check_recipe(text: str) -> None:
    from prunus import Recipe

    Recipe.of(tomllib.loads(text))


def main(paths: list[Path]) -> None:
    for path in paths:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            os.environ["PRUNUS_HISTORY"] = str(Path(folder) / "history")
            sys.path.insert(0, folder)
            count = run_file(path)
        print(f"{path.name}: {count} snippets run")


if __name__ == "__main__":
    main([Path(argument).resolve() for argument in sys.argv[1:]])
