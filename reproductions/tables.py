"""What the reproductions print."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from prunus.experiments.environment import available_cores
from prunus.selection.statistics import Interval


class Start(NamedTuple):
    """When a reproduction began, and of which commit it is."""

    at: datetime
    commit: str

    @classmethod
    def now(cls) -> Start:
        asked = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
        return cls(datetime.now(UTC), commit or "unknown")


def head(title: str, script: str, quick: bool, seeds: int, start: Start) -> str:
    """Title, command, commit, date, machine, minutes."""
    minutes = (datetime.now(UTC) - start.at).total_seconds() / 60
    return (
        f"# {title}\n\n"
        f"`python reproductions/{script}{' --quick' if quick else ''}`, commit {start.commit}, "
        f"{start.at:%Y-%m-%d},\n{platform.machine()} with {available_cores()} cores, {minutes:.0f} minutes, "
        f"{seeds} seeds; ± half the 95 % interval.\n"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def claims(held: Mapping[str, bool]) -> str:
    """Each claim, and whether it holds."""
    return "\nClaims in kind:\n\n" + "\n".join(
        f"- {'holds' if holds else 'DOES NOT HOLD'}: {claim}" for claim, holds in held.items()
    )


def shown(interval: Interval | None, factor: float, digits: int, *, sign: bool = False) -> str:
    """``mean ± half``, times the factor."""
    if interval is None or interval.low is None:
        return "–"
    half = factor * (interval.mean - interval.low)
    return f"{factor * interval.mean:{'+' if sign else ''}.{digits}f} ± {half:.{digits}f}".replace("-", "−")
