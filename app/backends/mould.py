"""The shape that most events of a stream share, so that those need not be read. Pure.

An event that fits, with one JSON string without a quote for its text, is the same JSON with other words: it goes
out as it came, or with our beginning for its own, where our id stands. Broken bytes never fit. A mould decides
nothing about rules: whoever casts one has read the event and knows that none applies to it.
"""

from __future__ import annotations

import re

import orjson

_CONTENT = re.compile(rb'("content": ?")[^"\\]+(?=")')


class Mould:
    """What two events of a stream have in common: all but the text between `prefix` and `suffix`, in bytes.

    The quotes around the text belong to them.
    `ours` stands in for the prefix of what goes out, None if nothing is changed.
    """

    __slots__ = ("ours", "prefix", "size", "suffix")

    def __init__(self, prefix: bytes, suffix: bytes, ours: bytes | None) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self.ours = ours
        self.size = len(prefix) + len(suffix)

    def fits(self, data: bytes) -> bool:
        """What does not may be good or not: it has to be read."""
        start, end = len(self.prefix), len(data) - len(self.suffix)
        if not (data.startswith(self.prefix) and data.endswith(self.suffix) and data.find(b'"', start) == end):
            return False
        try:
            orjson.loads(data[start - 1 : end + 1])
        except orjson.JSONDecodeError:
            return False
        return True

    @classmethod
    def cast(cls, theirs: bytes, ours: bytes) -> Mould | None:
        """From an event with one non-empty text, as it came and as it goes out; None if it is not that simple."""
        before, after = _CONTENT.split(theirs), _CONTENT.split(ours)
        if len(before) != 3 or len(after) != 3 or before[2] != after[2]:
            return None  # the text must stand once, without an escape, and what changed before it
        return cls(before[0] + before[1], before[2], after[0] + after[1] if ours != theirs else None)
