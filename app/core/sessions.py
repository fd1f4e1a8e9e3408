"""Which sessions are local-only: what was once said locally is in every later turn's history.

A session counts per client key, so nobody reaches another client's by its name. It is a bounded memory: beyond
`limit` sessions the one that was longest out of use is forgotten, and is local again only when something says so
anew (its rule reads the whole history, so content that made it local does).
"""

from __future__ import annotations

from collections import OrderedDict

LIMIT = 100_000  # at some 250 bytes each, 25 MB


class LocalSessions:
    """`key` is the name of the client's key, None without keys; a request without a session belongs to none."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[str | None, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def mark(self, key: str | None, session: str | None) -> None:
        """From now on everything in this session is local-only."""
        if session is None:
            return
        self._seen[key, session] = None
        self._seen.move_to_end((key, session))
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    def is_local(self, key: str | None, session: str | None) -> bool:
        """Was it marked? Asking counts as use."""
        if session is None or (key, session) not in self._seen:
            return False
        self._seen.move_to_end((key, session))
        return True
