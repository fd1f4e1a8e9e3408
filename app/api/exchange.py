"""One HTTP exchange: notices at once when the client leaves, and keeps a silent stream alive.

Behaviour measured on uvicorn: a handler is not cancelled when its client disconnects, so somebody must wait
for that message beside it. The same waiter sends keep-alive comments, which commit status 200 but no data:
the gateway may still fall back to another backend.

The waiter is a task of its own, a tenth of what a short request costs, so for an answer that is not a stream it starts
only after `PATIENCE`: who left before that is noticed then, and short answers never need one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.api.errors import Headers

COMMENT = b": keep-alive\n\n"
PATIENCE = 0.2  # seconds; a client that left is noticed within a second


class Exchange:
    """`stream_headers` gives the headers of a stream that must start before its first event is there (None: not
    a stream). After `silence` seconds without a byte a stream gets a comment."""

    __slots__ = (
        "_last",
        "_loop",
        "_now",
        "_receive",
        "_silence",
        "_stream_headers",
        "_task",
        "_timer",
        "_waiter",
        "gone",
        "send",
        "started",
    )

    def __init__(
        self,
        receive: Any,
        send: Any,
        now: Callable[[], float],
        stream_headers: Callable[[], Headers] | None,
        silence: float,
    ) -> None:
        self._receive = receive
        self.send = send
        self._now = now
        self._stream_headers = stream_headers
        self._silence = silence
        self._last = now()
        self.started = False
        self.gone = False
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._waiter: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        if stream_headers is None:
            self._timer = self._loop.call_later(PATIENCE, self._watch)
        else:
            self._watch()

    def end(self) -> None:
        """Nobody waits any more. Letting go of both leaves no cycle for the collector to find."""
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None:
            self._waiter.cancel()
        self._timer = self._waiter = None

    def _watch(self) -> None:
        watch = self._leaving() if self._stream_headers is None else self._leaving_or_silent()
        self._waiter = self._loop.create_task(watch)

    def left(self) -> bool:
        """After a CancelledError: was it the client who left?"""
        return self.gone and self._task.uncancel() == 0

    async def start(self, status: int, headers: Headers) -> None:
        if not self.started:
            self.started = True
            await self.send({"type": "http.response.start", "status": status, "headers": headers})

    def sent(self) -> None:
        """Something was sent past `write`: the silence begins anew."""
        self._last = self._now()

    async def write(self, data: bytes, more: bool = True) -> None:
        self._last = self._now()
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def _leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()

    async def _leaving_or_silent(self) -> None:
        while True:
            quiet = self._last + self._silence - self._now()
            if quiet <= 0:
                await self._comment()
                continue
            try:
                async with asyncio.timeout(quiet):
                    return await self._leaving()
            except TimeoutError:
                continue

    async def _comment(self) -> None:
        assert self._stream_headers is not None
        await self.start(200, self._stream_headers())
        await self.write(COMMENT)
