"""The runner: a port of its own, in this loop or in a thread, and an end at once."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from app.backends.scripted import Fault, Model, Scripted, serve, serve_in_thread
from app.backends.scripted.server import loopback, url_of
from tests.backends.scripted.asking import CHAT, chat


async def test_it_serves_where_it_was_told_to() -> None:
    """The address is known before anything listens there."""
    listening = loopback()
    async with serve(Scripted(Model(name="m")), listening) as url, httpx.AsyncClient(base_url=url) as client:
        assert url == url_of(listening)
        assert (await client.get("/v1/models")).status_code == 200


async def test_it_ends_though_somebody_waits() -> None:
    """A request that hangs sees its connection drop, and counts as aborted."""
    scripted = Scripted(Model(name="m"))
    scripted.fail(Fault.HANG)
    async with httpx.AsyncClient(timeout=5) as client:
        async with serve(scripted) as url:
            asked = asyncio.create_task(client.post(url + CHAT, json=chat()))
            while not scripted.seen.running:
                await asyncio.sleep(0.001)
        with pytest.raises(httpx.RemoteProtocolError):
            await asked
    assert (scripted.seen.aborted, scripted.seen.running) == (1, 0)


def test_it_serves_in_a_thread() -> None:
    """For callers without a loop, or with one of their own."""
    scripted = Scripted(Model(name="m"))
    with serve_in_thread(scripted) as url:
        assert httpx.post(url + CHAT, json=chat()).status_code == 200
    assert scripted.seen.completed == 1


@pytest.mark.parametrize("fault", [Fault.CLOSED_200, Fault.CUT_RESET])
async def test_dropped_connections_are_not_logged(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """What a fault does on purpose is no error of the server; and it leaves the process's logging alone."""
    scripted = Scripted(Model(name="m"))
    scripted.fail(fault)
    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error")]
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    async with serve(scripted) as url, httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.post(url + CHAT, json=chat(stream=True))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers] == before
