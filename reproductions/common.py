"""What the reproductions have in common: their options, and what they print."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

from prunus.experiments.environment import available_cores
from prunus.report.words import plural


class Options(NamedTuple):
    """What is asked for on the command line, when it began, and of which commit it is.

    Attributes:
        script: its file's name.
        quick: whether the short form is wanted.
        history: the folder that records it.
    """

    script: str
    quick: bool
    history: str
    at: datetime
    commit: str

    @classmethod
    def read(cls) -> Options:
        parser = argparse.ArgumentParser()
        parser.add_argument("--quick", action="store_true", help="a minute or two, with the data that are installed")
        parser.add_argument("--history", default="reproductions-history", help="folder that records it")
        given = parser.parse_args()
        asked = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
        return cls(Path(sys.argv[0]).name, given.quick, given.history, datetime.now(UTC), commit or "unknown")

    def head(self, title: str, seeds: int) -> str:
        """Title, command, commit, date, machine, minutes."""
        minutes = plural(max(1, round((datetime.now(UTC) - self.at).total_seconds() / 60)), "minute")
        return (
            f"# {title}\n\n"
            f"`python reproductions/{self.script}{' --quick' if self.quick else ''}`, commit {self.commit}, "
            f"{self.at:%Y-%m-%d},\n{platform.machine()} with {available_cores()} cores, {minutes}, "
            f"{seeds} seeds; ± half the 95 % interval.\n"
        )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def conclude(held: Mapping[str, bool]) -> NoReturn:
    """Print each claim and whether it holds, and end with status 1 where one does not."""
    print("\nClaims in kind:\n")
    print("\n".join(f"- {'holds' if holds else 'DOES NOT HOLD'}: {claim}" for claim, holds in held.items()))
    sys.exit(0 if all(held.values()) else 1)
