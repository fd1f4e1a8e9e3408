"""The little HTTP the fake needs on top of ASGI: read a body, answer, notice who leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson

from app.backends.scripted.model import Fault

JSON = [(b"content-type", b"application/json")]
GZIPPED = (b"content-encoding", b"gzip")
SSE = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Dropped(Exception):
    """The fake drops the connection on purpose; the runner does it, without a log line."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


async def read_body(receive: Any) -> bytes | None:
    """All of it; None if the client goes away within it."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def answer(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    named = JSON if headers is None else headers
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*named, *length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def piece(send: Any, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def start_stream(send: Any, headers: list[tuple[bytes, bytes]] = SSE) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def answer_json(send: Any, value: Any, status: int = 200) -> None:
    await answer(send, status, orjson.dumps(value))


def framed(payload: bytes, fault: Fault | None) -> Iterator[bytes]:
    """One event in the pieces it is sent in."""
    event = b"data: " + payload + b"\n\n"
    if fault is Fault.COMMENTS:
        event = b": keep-alive\n\n" + event
    if fault is Fault.CRLF:
        event = event.replace(b"\n", b"\r\n")
    if fault is Fault.BYTEWISE:
        yield from (event[index : index + 1] for index in range(len(event)))
    else:
        yield event


async def kept_alive(
    wait: Awaitable[Any], ping: float | None, sleep: Callable[[float], Awaitable[None]], send: Any
) -> None:
    """Wait, with a comment line after every `ping` seconds of silence."""
    if ping is None:
        await wait
        return
    waiting = asyncio.ensure_future(wait)
    try:
        while not waiting.done():
            silence = asyncio.ensure_future(sleep(ping))
            try:
                await asyncio.wait({waiting, silence}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                silence.cancel()
            if not waiting.done():
                await piece(send, b":\n\n")
    finally:
        waiting.cancel()


class Leaving:
    """Ends its block when the client goes away, by cancelling the task that entered it; `gone` then says so."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self.gone = False

    async def __aenter__(self) -> Leaving:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._waiter = asyncio.create_task(self._wait())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._waiter.cancel()
        return self.gone and kind is asyncio.CancelledError and self._task.uncancel() == 0

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()
