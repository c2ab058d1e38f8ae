"""Names as they are shown: without what cannot be shown."""

from __future__ import annotations

import re

# Control characters, lone surrogates, ends of lines and what turns the direction of writing, which a terminal obeys
# and a page may; and the two characters that XML cannot hold.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with a replacement character for each that would be obeyed instead of shown, or cannot be written."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
