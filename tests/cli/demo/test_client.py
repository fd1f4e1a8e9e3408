"""What a person of the demo does: reads, leaves, comes back when told to."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.cli.demo.client import NOTICED, TRIES, ask, is_complete
from app.cli.demo.clock import SimClock
from app.cli.demo.day import Arrival
from app.cli.demo.requests import Request
from app.main.background import running

WHOLE = b'{"choices": [{"index": 0}]}'
STREAM = b'data: {"choices": []}\n\ndata: [DONE]\n\n'


@pytest.fixture
async def clock() -> AsyncIterator[SimClock]:
    one = SimClock(0.0, fast=10_000.0, slow=10_000.0)
    async with running(one.run()):
        yield one


def person(stream: bool = True, leaves: bool = False) -> Arrival:
    return Arrival(0.0, 7, Request("chat-en", {"messages": [], "stream": stream}), leaves)


def answering(*answers: httpx.Response) -> httpx.AsyncClient:
    """A gateway that gives these, then the last for ever."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        return left.pop(0) if len(left) > 1 else left[0]

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway")


@pytest.mark.parametrize(
    ("status", "body", "stream", "complete"),
    [
        (200, WHOLE, False, True),
        (200, b"{}", False, False),
        (503, b'{"error": {}}', False, False),
        (200, STREAM, True, True),
        (200, STREAM[:-14], True, False),
        (200, b'data: {"error": {}}\n\n', True, False),
        (429, STREAM, True, False),
    ],
)
def test_complete(status: int, body: bytes, stream: bool, complete: bool) -> None:
    """A status alone says nothing about a stream."""
    assert is_complete(status, body, stream) is complete


async def test_an_answer(clock: SimClock) -> None:
    """Its tier and the time of its first words are kept."""
    async with answering(httpx.Response(200, content=STREAM, headers={"x-smallfirst-tier": "slm"})) as client:
        outcome = await ask(client, person(), clock)
    assert (outcome.complete, outcome.failed, outcome.tier, outcome.shed) == (True, False, "slm", 0)
    assert outcome.first_token is not None


async def test_who_is_told_to_come_back_does(clock: SimClock) -> None:
    """Each time under another id, after the time that was named."""
    later = httpx.Response(503, headers={"retry-after": "30"})
    began = clock.utc()
    async with answering(later, later, httpx.Response(200, content=STREAM)) as client:
        outcome = await ask(client, person(), clock)
    assert (outcome.complete, outcome.shed) == (True, 2)
    assert len(set(outcome.ids)) == 3
    assert clock.utc() - began >= 60


async def test_nobody_comes_back_for_ever(clock: SimClock) -> None:
    """Who is never let in has failed."""
    async with answering(httpx.Response(429, headers={"retry-after": "1"})) as client:
        outcome = await ask(client, person(), clock)
    assert (outcome.failed, len(outcome.ids)) == (True, TRIES)


async def test_who_leaves_has_not_failed(clock: SimClock) -> None:
    """It saw some words, and went away."""
    async with answering(httpx.Response(200, content=STREAM)) as client:
        outcome = await ask(client, person(leaves=True), clock)
    assert (outcome.left, outcome.complete, outcome.failed) == (True, False, False)


async def test_time_hardly_passes_until_a_leaving_is_noticed(clock: SimClock) -> None:
    """At the day's pace the rest of an answer is written within milliseconds: nobody would have left in its middle."""
    async with answering(httpx.Response(200, content=STREAM)) as client:
        began, real = clock.utc(), time.monotonic()
        await ask(client, person(leaves=True), clock)
        assert clock.utc() - began < 500  # it would be 3000
        assert time.monotonic() - real >= NOTICED


async def test_nobody_there_is_a_failure(clock: SimClock) -> None:
    """And no traceback."""
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False) as client:
        assert (await ask(client, person(), clock)).failed
