"""What counts as a complete answer."""

from __future__ import annotations

import httpx
import pytest

from app.cli.demo.client import is_complete, send_all
from app.cli.demo.requests import Request

WHOLE = b'{"choices": [{"index": 0}]}'
STREAM = b'data: {"choices": []}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("status", "body", "stream", "complete"),
    [
        (200, WHOLE, False, True),
        (200, b'{"choices": []}', False, False),
        (503, b'{"error": {}}', False, False),
        (200, STREAM, True, True),
        (200, STREAM[:-14], True, False),
        (200, b'data: {"error": {}}\n\n', True, False),
        (429, STREAM, True, False),
    ],
)
def test_complete(status: int, body: bytes, stream: bool, complete: bool) -> None:
    """A status alone says nothing about a stream."""
    assert is_complete(httpx.Response(status, content=body), stream) is complete


async def test_nobody_there_is_a_failure() -> None:
    """Each request is told to be done, and none of them raises."""
    told: list[None] = []
    requests = [Request("chat-en", {"messages": []})] * 3
    assert await send_all("http://127.0.0.1:9", requests, lambda: told.append(None)) == [False] * 3
    assert len(told) == 3
