"""One HTTP exchange: notices at once when the client leaves, and keeps a silent stream alive.

Behaviour measured on uvicorn: a handler is not cancelled when its client disconnects, so somebody must wait
for that message beside it. The same waiter sends keep-alive comments, which commit status 200 but no data:
the gateway may still fall back to another backend.

A stream is not awaited piece by piece: our own server takes each in the moment it comes (`PUSH`). Any other ASGI server
is asked with `send`, as the standard has it.

The waiter is a task of its own, a tenth of what a short request costs, and it would start before the backend's first
token. So it starts only after a moment: who left before that is noticed then, and short answers never need one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.api.errors import Headers
from app.gateway import Delivery, Give, Patience

COMMENT = b": keep-alive\n\n"
PUSH = "smallfirst.push"  # among a scope's extensions: sends a piece of a body now, and says whether there is room
MOMENT = 0.2  # seconds; a client that left is noticed within a second


class Exchange:
    """`stream_headers` gives the headers of a stream that must start before its first event is there (None: not
    a stream). After `silence` seconds without a byte a stream gets a comment.

    `push` takes a piece of a stream at once; False: there is room for another one after the next `write`.
    `delivery` is what is pushed, once there is something.
    """

    __slots__ = (
        "_held",
        "_last",
        "_patience",
        "_push",
        "_receive",
        "_send",
        "_silence",
        "_stream_headers",
        "_task",
        "_waiter",
        "delivery",
        "gone",
        "started",
    )

    def __init__(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        stream_headers: Callable[[], Headers] | None,
        silence: float,
        patience: Patience,
    ) -> None:
        self._receive = receive
        self._send = send
        self._stream_headers = stream_headers
        self._silence = silence
        self._patience = patience
        self._last = patience.loop.time()  # when something was written, in its time
        self._held = b""
        self._push: Give | None = scope.get("extensions", {}).get(PUSH)
        self.delivery: Delivery | None = None
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
        """Returns once the head is on its way, whoever began it: what is pushed must not overtake it."""
        if self.started:
            await self.write(b"")
            return
        self.started, self._last = True, self._patience.loop.time()
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def whole(self, headers: Headers, body: bytes) -> None:
        """An answer that is complete."""
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def write(self, data: bytes, more: bool = True) -> None:
        """Behind what was pushed; returns once the client has read so far that there is room for more."""
        self._last = self._patience.loop.time()
        held, self._held = self._held, b""
        await self._send({"type": "http.response.body", "body": held + data, "more_body": more})

    @property
    def push(self) -> Give:
        return self._push or self._hold

    def _hold(self, piece: bytes) -> bool:
        """For a server that can only be awaited."""
        self._held += piece
        return False

    async def _leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()

    async def _leaving_or_silent(self) -> None:
        while True:
            quiet = self._sent() + self._silence - self._patience.loop.time()
            if quiet <= 0:
                await self._comment()
                continue
            try:
                async with asyncio.timeout(quiet):
                    return await self._leaving()
            except TimeoutError:
                continue

    def _sent(self) -> float:
        return self._last if self.delivery is None else max(self._last, self.delivery.last)

    async def _comment(self) -> None:
        assert self._stream_headers is not None
        if not self.started:
            await self.start(200, self._stream_headers())
        await self.write(COMMENT)
