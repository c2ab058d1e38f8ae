"""Names as they are shown: without what cannot be shown, and without what nearly all of them share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SHARED = 2 / 3  # of many names: a part that so many have is what is usual
_FEW = 8  # names, of which a part is usual only where all have it
_BETWEEN = ", "
# Control characters, lone surrogates, ends of lines and what turns the direction of writing, which a terminal obeys
# and a page may; and the two characters that XML cannot hold.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with a replacement character for each that would be obeyed instead of shown, or cannot be written."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class ShortNames:
    """Names without what is usual.

    Attributes:
        of: name → the short one; no two are equal.
        usual: the parts that were left out, as they stand in a name: ``"global, one-shot, finetune"``; empty where
            nothing was.
        all_have_it: whether every name had all of these parts.
    """

    of: Mapping[str, str]
    usual: str
    all_have_it: bool

    def __getitem__(self, name: str) -> str:
        return self.of.get(name, name)


def shortened(names: Sequence[str]) -> ShortNames:
    """Leave out the parts, between commas, that nearly all names share.

    The first part always stays. Of many names a part goes that most have, but only where each name without it says
    something else, so that a short name of one part stands for all that is usual.

    Args:
        names: different ones.
    """
    parts = {name: name.split(_BETWEEN) for name in names}
    counted = Counter(part for found in parts.values() for part in dict.fromkeys(found[1:]))
    enough = len(names) if len(names) <= _FEW else _SHARED * len(names)
    usual = {part for part, count in counted.items() if len(names) > 1 and count >= enough}
    while True:
        short = {name: _without(found, usual) for name, found in parts.items()}
        # A name without a usual part must not read like one that has it.
        unclear = {part for name in names if _BETWEEN not in short[name] for part in usual - set(parts[name][1:])}
        if not unclear:
            break
        usual -= unclear
    if not usual or len(set(short.values())) < len(short):
        return ShortNames({name: name for name in names}, "", True)
    longest = max(parts.values(), key=lambda found: len(usual.intersection(found[1:])))
    left_out = _BETWEEN.join(part for part in dict.fromkeys(longest[1:]) if part in usual)
    return ShortNames(short, left_out, all(usual.issubset(found[1:]) for found in parts.values()))


def _without(parts: Sequence[str], usual: set[str]) -> str:
    return _BETWEEN.join([parts[0], *(part for part in parts[1:] if part not in usual)])
