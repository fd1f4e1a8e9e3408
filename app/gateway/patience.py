"""One timer for all who wait: it calls those who are still there after a moment.

Almost every request is over before any of its limits is near. A timer of the loop for each, made and dropped again,
was a measurable part of a short one; here they join and leave a dict.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Protocol


class Late(Protocol):
    """Who waits."""

    def late(self) -> None:
        """The moment has passed; whoever wants to be called again joins again."""
        ...


class Patience:
    """`seconds` is the moment, the same for all, so that the first to join is the first to be called.

    Bound to the event loop of its first use.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[Late, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Kept, as asking for it is a system call before Python 3.12."""
        return asyncio.get_running_loop()

    def join(self, who: Late) -> None:
        """Call it `seconds` from now, unless it leaves before. One that has joined already keeps its place."""
        if who in self._due:
            return
        loop = self.loop
        due = self._due[who] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)

    def leave(self, who: Late) -> None:
        """Whether it had joined or not."""
        self._due.pop(who, None)

    def _look(self) -> None:
        now, self._timer = self.loop.time(), None
        late = []
        for who, due in self._due.items():
            if due > now:
                break
            late.append(who)
        for who in late:
            if self._due.pop(who, None) is not None:  # one that was called before may have made it leave
                who.late()
        if self._timer is None and self._due:
            self._timer = self.loop.call_at(next(iter(self._due.values())), self._look)
