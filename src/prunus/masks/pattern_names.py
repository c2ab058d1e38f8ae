"""How patterns are written. Free of torch."""

from __future__ import annotations

import re
from typing import NamedTuple

from prunus.errors import ArgumentError

_FORMS = (
    ("block", re.compile(r"block:([1-9]\d*)x([1-9]\d*)")),
    ("keep-of", re.compile(r"([1-9]\d*):([1-9]\d*)")),
)


class PatternName(NamedTuple):
    """A pattern as it was written.

    Attributes:
        kind: ``"weight"``, ``"row"``, ``"block"`` or ``"keep-of"``.
        first, second: the two numbers of a block (rows, columns) or of N:M; 1 and 1 for the others.
    """

    kind: str
    first: int = 1
    second: int = 1

    @property
    def fixed_sparsity(self) -> float | None:
        """The only sparsity that the pattern can have; None where it can have any."""
        return 1 - self.first / self.second if self.kind == "keep-of" else None


def read_pattern(text: str) -> PatternName:
    """``"weight"``, ``"row"``, ``"block:4x1"`` or ``"2:4"``.

    Raises:
        ArgumentError: the text is none of these; it says which there are.
    """
    if text in ("weight", "row"):
        return PatternName(text)
    for kind, form in _FORMS:
        match = form.fullmatch(text)
        if match and (kind == "block" or int(match[1]) < int(match[2])):
            return PatternName(kind, int(match[1]), int(match[2]))
    raise ArgumentError(
        f"no pattern is written {text!r}: there are 'weight', 'row', 'block:ROWSxCOLUMNS' such as 'block:4x1', "
        "and 'N:M' with N < M such as '2:4'"
    )
