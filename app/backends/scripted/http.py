"""The little HTTP the fake needs on top of ASGI: read a body, answer, notice who leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Dropped(Exception):
    """The fake drops the connection on purpose; the runner makes it so without a log line."""


async def read_body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def answer(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    named = JSON if headers is None else headers
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*named, *length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def answer_json(send: Any, value: Any, status: int = 200) -> None:
    await answer(send, status, orjson.dumps(value))


class Leaving:
    """Cancels the task that entered it when its client goes away."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self.gone = False

    async def __aenter__(self) -> Leaving:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._waiter = asyncio.create_task(self._wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._waiter.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()
