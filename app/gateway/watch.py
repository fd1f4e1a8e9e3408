"""The clock over one request: cancels its task when a backend keeps it waiting too long.

A stream has thousands of waits and almost none is too long, so nothing is armed for one: each piece only notes when it
came. While the limit is far away, a look now and then is enough (`Patience`); only what is due before the next look
gets a timer of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.errors import DeadlineExceeded, GatewayError, UpstreamTimeout
from app.gateway.patience import Patience
from app.ports import Reply

LOOK = 0.2  # seconds between two looks


class Watch:
    """Limits are seconds; times are the loop's own, coarse under uvloop.

    Within a stream each piece begins a new wait; the reply knows when the last one came.
    """

    __slots__ = (
        "_ask",
        "_asking",
        "_deadline",
        "_end",
        "_expired",
        "_handle",
        "_in_doubt",
        "_last",
        "_limit",
        "_loop",
        "_patience",
        "_reply",
        "_task",
        "_waits",
        "_what",
    )

    def __init__(self, patience: Patience, task: asyncio.Task[object]) -> None:
        self._loop = patience.loop
        self._task = task
        self._patience = patience
        self._handle: asyncio.TimerHandle | None = None
        self._waits = False  # somebody waits for a backend now
        self._last = self._limit = self._end = 0.0
        self._reply: Reply | None = None
        self._deadline = False
        self._expired: GatewayError | None = None
        self._ask: Callable[[], Awaitable[float]] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._in_doubt = False  # it was asked and has not answered
        self._what = ""

    def begin(
        self,
        what: str,
        limit: float,
        left: float,
        *,
        deadline: bool,
        ask: Callable[[], Awaitable[float]] | None = None,
    ) -> None:
        """A new phase: wait for `what` at most `limit` seconds; `left` seconds remain for everything.

        `deadline` says that it is the client who gave no more. When the limit is reached, `ask` may grant more
        seconds (a model is loading); 0 means no. It is asked once and must be bounded and not raise.
        """
        now = self._last = self._loop.time()
        self._what, self._end, self._deadline, self._ask = what, now + left, deadline, ask
        self._limit, self._waits, self._reply = limit, True, None
        self._arm(self._until(), now)

    def follow(self, what: str, limit: float, reply: Reply) -> None:
        """The next phase under the same end, nobody waiting yet."""
        now = self._last = self._loop.time()
        self._what, self._ask, self._limit, self._waits, self._reply = what, None, limit, False, reply
        self._arm(self._until(), now)

    def again(self) -> None:
        """The same phase waits anew."""
        self._last, self._waits = self._loop.time(), True

    def rest(self) -> None:
        """Nobody waits for a backend: a slow client is not a slow backend."""
        self._waits = False

    def stop(self) -> None:
        """The request is over. Letting go of everything leaves no cycle for the collector to find."""
        self._patience.leave(self)
        if self._handle is not None:
            self._handle.cancel()
        if self._asking is not None:
            self._asking.cancel()
        self._waits, self._handle, self._asking, self._ask, self._reply = False, None, None, None, None

    def verdict(self) -> GatewayError | None:
        """After a CancelledError: the timeout that caused it, or None if someone else cancelled."""
        expired, self._expired = self._expired, None
        if expired is not None and self._task.uncancel() == 0:
            return expired
        return None

    def _until(self) -> float:
        last = self._last if self._reply is None else max(self._last, self._reply.last)
        return min(last + self._limit, self._end)

    def _arm(self, when: float, now: float) -> None:
        """Look again at `when`, or before that."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when - now > self._patience.seconds:
            self._patience.join(self)
        else:
            self._patience.leave(self)
            self._handle = self._loop.call_at(when, self.late)

    def late(self) -> None:
        """A look: is it too late?"""
        now = self._loop.time()
        if not self._waits:
            self._arm(now + 1.0, now)
        elif now < self._until():
            self._arm(self._until(), now)
        elif self._ask is not None and now < self._end:
            ask, self._ask = self._ask, None
            self._in_doubt = True
            self._arm(self._end, now)
            self._asking = self._loop.create_task(self._extend(ask, self._last))
        elif self._in_doubt and now < self._end:  # the end does not wait for the answer
            self._arm(self._end, now)
        else:
            self._expire()

    async def _extend(self, ask: Callable[[], Awaitable[float]], asked_in: float) -> None:
        more = await ask()
        self._in_doubt = False
        now = self._loop.time()
        if not self._waits or self._last != asked_in:  # it moved on while we asked
            self._arm(self._until() if self._waits else now + 1.0, now)
        elif more > 0:
            self._limit = now + more - self._last
            self._arm(self._until(), now)
        else:
            self._expire()

    def _expire(self) -> None:
        if self._deadline and self._loop.time() >= self._end:
            self._expired = DeadlineExceeded("The deadline of the request passed before the answer was complete.")
        else:
            self._expired = UpstreamTimeout(f"The backend did not send {self._what} in time.")
        self._waits = False
        self._task.cancel()
