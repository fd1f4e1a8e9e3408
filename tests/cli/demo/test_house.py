"""The house is the real thing: ports, probes, prices; and nothing of it stays."""

from __future__ import annotations

import asyncio
import os

import pytest

from app.cli.demo.client import send_all
from app.cli.demo.house import house
from app.cli.demo.statement import Book
from tests.cli.demo.runs import some


async def test_requests_reach_the_fakes_through_the_gateway() -> None:
    """All are answered and booked; the small model did not think, because its config says so."""
    book = Book()
    async with house(book, paced=False) as place:
        assert all(await send_all(place.url, some(), lambda: None))
        seen = {name: fake.seen for name, fake in place.backends.items()}
    assert seen["small"].completed + seen["large"].completed == len(some())
    assert seen["small"].peak_running == 1
    assert 0 < seen["small"].completion_tokens / seen["small"].completed < 60


async def test_it_ends_with_its_context() -> None:
    """The port is closed, the task done, the environment as before."""
    before = dict(os.environ)
    async with house(Book(), paced=False) as place:
        assert not place.stopped.done()
    assert place.stopped.done()
    assert dict(os.environ) == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(place.url.rpartition(":")[2]))


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine behind a proxy the large model of the demo is still on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    hard = [request for request in some() if request.kind in ("maths", "code")]
    async with house(Book(), paced=False) as place:
        assert all(await send_all(place.url, hard, lambda: None))
        assert place.backends["large"].seen.completed
