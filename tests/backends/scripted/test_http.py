"""The little HTTP of the fake, against a hand-written far side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.backends.scripted.http import Leaving, framed, kept_alive, read_body
from app.backends.scripted.model import Fault

REQUEST = {"type": "http.request"}
BODIES: list[tuple[list[dict[str, Any]], bytes | None]] = [
    ([{**REQUEST, "body": b"a", "more_body": True}, {**REQUEST, "more_body": True}, {**REQUEST, "body": b"b"}], b"ab"),
    ([{**REQUEST, "body": b"a", "more_body": True}, {"type": "http.disconnect"}], None),
]


@pytest.mark.parametrize(("messages", "body"), BODIES)
async def test_a_body_is_read_to_its_end(messages: list[dict[str, Any]], body: bytes | None) -> None:
    """Pieces are joined until the last one; there is none from a client that left within it."""
    pieces = iter(messages)

    async def receive() -> Any:
        return next(pieces)

    assert await read_body(receive) == body


async def test_leaving_ends_the_block() -> None:
    """A client that goes away ends what is done for it, and nothing beyond."""
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    leaving, reached = Leaving(receive), False
    async with leaving:
        gone.set()
        await asyncio.sleep(5)
        reached = True
    assert leaving.gone
    assert not reached
    await asyncio.sleep(0)  # the task itself is not cancelled any more


async def test_cancelling_from_elsewhere_is_not_swallowed() -> None:
    """Only a client's leaving is taken for one."""

    async def block() -> None:
        async with Leaving(asyncio.Event().wait):
            await asyncio.sleep(5)

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


FRAMES = [
    (None, [b"data: x\n\n"]),
    (Fault.COMMENTS, [b": keep-alive\n\ndata: x\n\n"]),
    (Fault.CRLF, [b"data: x\r\n\r\n"]),
    (Fault.BYTEWISE, [bytes([one]) for one in b"data: x\n\n"]),
]


@pytest.mark.parametrize(("fault", "pieces"), FRAMES)
def test_events_are_framed(fault: Fault | None, pieces: list[bytes]) -> None:
    """In the usual form and in each odd one."""
    assert list(framed(b"x", fault)) == pieces


async def test_silence_is_broken_by_comments() -> None:
    """One comment for each interval of silence, on the clock that is given."""
    sent: list[bytes] = []
    over = asyncio.Event()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            over.set()
            await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message["body"])

    await kept_alive(over.wait(), 15.0, sleep, send)
    assert sent == [b":\n\n"] * 2
    assert slept == [15.0] * 3
