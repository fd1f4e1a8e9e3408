"""One HTTP exchange: notices at once when the client leaves, and keeps a silent stream alive.

Behaviour measured on uvicorn: a handler is not cancelled when its client disconnects, so somebody must wait
for that message beside it. The same waiter sends keep-alive comments, which commit status 200 but no data:
the gateway may still fall back to another backend.

The waiter is a task of its own, a tenth of what a short request costs, and it would start before the backend's first
token. So it starts only after a moment: who left before that is noticed then, and short answers never need one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.api.errors import Headers
from app.gateway import Patience

COMMENT = b": keep-alive\n\n"
MOMENT = 0.2  # seconds; a client that left is noticed within a second


class Exchange:
    """`stream_headers` gives the headers of a stream that must start before its first event is there (None: not
    a stream). After `silence` seconds without a byte a stream gets a comment."""

    __slots__ = (
        "_patience",
        "_receive",
        "_silence",
        "_stream_headers",
        "_task",
        "_waiter",
        "gone",
        "last",
        "now",
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
        patience: Patience,
    ) -> None:
        self._receive = receive
        self.send = send
        self.now = now
        self._stream_headers = stream_headers
        self._silence = silence
        self._patience = patience
        self.last = now()  # when something was sent; whoever sends past `write` sets it
        self.started = False
        self.gone = False
        task = asyncio.current_task(patience.loop)
        assert task is not None
        self._task = task
        self._waiter: asyncio.Task[None] | None = None
        if stream_headers is not None and silence < patience.seconds:
            self.late()
        else:
            patience.join(self)

    def end(self) -> None:
        """Nobody waits any more. Letting go of both leaves no cycle for the collector to find."""
        self._patience.leave(self)
        if self._waiter is not None:
            self._waiter.cancel()
            self._waiter = None

    def late(self) -> None:
        """The answer takes its time: from now on somebody waits for the client to leave."""
        watch = self._leaving() if self._stream_headers is None else self._leaving_or_silent()
        self._waiter = self._patience.loop.create_task(watch)

    def left(self) -> bool:
        """After a CancelledError: was it the client who left?"""
        return self.gone and self._task.uncancel() == 0

    async def start(self, status: int, headers: Headers) -> None:
        if not self.started:
            self.started = True
            await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def whole(self, headers: Headers, body: bytes) -> None:
        """An answer that is complete."""
        self.started = True
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def write(self, data: bytes, more: bool = True) -> None:
        self.last = self.now()
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def _leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()

    async def _leaving_or_silent(self) -> None:
        while True:
            quiet = self.last + self._silence - self.now()
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
