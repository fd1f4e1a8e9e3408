"""Clients that leave, and streams that stay silent: over real sockets, served as in production."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.api.app import SmallfirstApp
from app.api.exchange import COMMENT, Exchange
from app.api.hot import HotEndpoint
from app.core.types import Capacity, Timeouts
from app.errors import UpstreamMalformed, UpstreamUnavailable
from app.gateway import Delivery, Patience, Story
from app.gateway.watch import Watch
from app.main.server import Listener
from tests.fakes import ANSWER, EVENTS, HANG, FakeBackend, FakeReply, Play, Rig, two_tiers
from tests.serving import PATIENCE, Raw, calling, connected, post, serving

CHAT = "/v1/chat/completions"
LEFT_WITHIN = 1.0  # seconds: the promise to backends
SILENCE = 0.02


def body(**fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode()


@contextlib.asynccontextmanager
async def asked(rig: Rig, *, stream: bool) -> AsyncIterator[Raw]:
    """A client that has sent its request to a whole app."""
    async with serving(SmallfirstApp(rig.site(), rig.on_bug)) as port, connected(port) as client:
        await client.send(post(CHAT, body(stream=stream)))
        yield client


@contextlib.asynccontextmanager
async def impatient(rig: Rig) -> AsyncIterator[Raw]:
    """A client that has asked for a stream where silence is broken soon."""
    endpoint = HotEndpoint(rig.site(), "chat", rig.on_bug, SILENCE)
    async with serving(endpoint) as port, connected(port) as client:
        await client.send(post(CHAT, body(stream=True)))
        yield client


async def settled(rig: Rig, records: int = 1) -> None:
    """Until that many requests have ended and no slot is held."""
    async with asyncio.timeout(LEFT_WITHIN):
        while len(rig.records) < records or rig.inflight():
            await asyncio.sleep(0.002)


def events(stream: bytes) -> list[bytes]:
    """The `data` payloads of a chunked response body."""
    return [line[6:] for line in stream.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]


# --- leaving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("play", [Play(head=HANG), Play((HANG,))], ids=["head", "first read"])
async def test_leaves_before_the_first_token(play: Play, stream: bool) -> None:
    """A client that gives up on a thinking backend frees it, and nobody else is bothered."""
    rig = two_tiers(FakeBackend("small", play))
    async with asked(rig, stream=stream) as client:
        await asyncio.wait_for(rig.backends[0].reached.wait(), PATIENCE)
        client.hang_up()
        await asyncio.wait_for(rig.backends[0].left.wait(), LEFT_WITHIN)
        await settled(rig)
    assert rig.backends[1].sent == []
    assert (rig.record.outcome, rig.record.status) == ("cancelled", 499)
    assert rig.bugs == []


async def test_leaves_mid_stream() -> None:
    """A client that leaves in the middle frees its backend."""
    rig = two_tiers(FakeBackend("small", Play((*EVENTS[:2], HANG))))
    async with asked(rig, stream=True) as client:
        await client.until(EVENTS[1])
        client.hang_up()
        await asyncio.wait_for(rig.backends[0].left.wait(), LEFT_WITHIN)
        await settled(rig)
    assert rig.record.outcome == "cancelled"
    assert rig.record.receipts[0].outcome == "cancelled"
    assert rig.bugs == []


async def test_leaves_the_queue() -> None:
    """A client that leaves while it waits for a slot gives up its place."""
    rig = Rig([("slm", FakeBackend("small", Play((EVENTS[0], HANG)), capacity=Capacity(1, 4, 5.0)))])
    app = SmallfirstApp(rig.site(), rig.on_bug)
    async with serving(app) as port, connected(port) as first, connected(port) as second:
        await first.send(post(CHAT, body(stream=True)))
        await first.until(EVENTS[0])
        await second.send(post(CHAT, body()))
        lane = rig.gateway.posts["small"].lane
        async with asyncio.timeout(PATIENCE):
            while not lane.waiting:
                await asyncio.sleep(0.002)
        second.hang_up()
        async with asyncio.timeout(LEFT_WITHIN):
            while not rig.records:
                await asyncio.sleep(0.002)
        assert not lane.waiting
        assert lane.inflight == 1
        first.hang_up()
        await settled(rig, 2)
    assert len(rig.backends[0].sent) == 1


async def test_leaves_while_sending_its_body() -> None:
    """A client that never finished its request leaves nothing behind."""
    rig = two_tiers()
    async with serving(SmallfirstApp(rig.site(), rig.on_bug)) as port, connected(port) as client:
        await client.send(post(CHAT, body())[:-5])
        await asyncio.sleep(0.01)
        client.hang_up()
        await asyncio.sleep(0.01)
    assert (rig.records, rig.bugs, rig.backends[0].sent) == ([], [], [])


@pytest.mark.parametrize(("stopped", "left"), [(False, True), (True, False)], ids=["left", "left and stopped"])
async def test_who_cancelled(stopped: bool, left: bool) -> None:
    """A client that leaves is told from a server that stops, even in the same moment."""

    async def receive() -> dict[str, str]:
        if stopped:
            task.cancel()
        return {"type": "http.disconnect"}

    async def handler() -> bool:
        exchange = Exchange({}, receive, None, None, SILENCE, Patience(0.0))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return exchange.left()
        raise AssertionError("nobody left")

    task = asyncio.create_task(handler())
    assert await asyncio.wait_for(task, PATIENCE) is left


async def test_stays_connected() -> None:
    """One connection serves one request after the other."""
    rig = two_tiers(FakeBackend("small", Play(), Play(EVENTS), Play()))
    app = SmallfirstApp(rig.site(), rig.on_bug)
    async with serving(app) as port, connected(port) as client:
        for stream in (False, True, False):
            await client.send(post(CHAT, body(stream=stream)).replace(b"connection: close\r\n", b""))
            await client.until(b"0\r\n\r\n" if stream else ANSWER)
    assert [record.outcome for record in rig.records] == ["ok"] * 3


# --- streams ------------------------------------------------------------------------------------------------


async def test_stream() -> None:
    """Events arrive as the backend sent them, under headers that keep proxies from buffering."""
    rig = two_tiers(FakeBackend("small", Play(EVENTS)))
    async with asked(rig, stream=True) as client:
        head = (await client.head()).decode().lower()
        rest = await client.rest()
    assert head.startswith("http/1.1 200")
    for header in (
        "content-type: text/event-stream; charset=utf-8",
        "cache-control: no-cache, no-transform",
        "x-accel-buffering: no",
        "x-smallfirst-tier: slm",
        "x-smallfirst-backend: small",
        "x-smallfirst-attempts: 1",
        "x-request-id: req-0",
    ):
        assert header in head
    assert b"data: " + b"\n\ndata: ".join(events(rest)) + b"\n\n" == b"".join(EVENTS)


async def test_breaks_mid_stream() -> None:
    """A stream that breaks ends in one error event, without the [DONE] that clients read as success."""
    rig = two_tiers(FakeBackend("small", Play((EVENTS[0], UpstreamMalformed("The backend's stream broke off.")))))
    async with asked(rig, stream=True) as client:
        rest = await client.rest()
    *_, last = events(rest)
    assert json.loads(last)["error"]["code"] == "upstream_malformed"
    assert rest.endswith(b"0\r\n\r\n")
    assert (rig.record.outcome, rig.record.status) == ("aborted", 502)
    assert rig.inflight() == 0


async def test_bug_mid_stream() -> None:
    """An error nobody foresaw ends a stream like any other, is reported, and frees the slot."""
    rig = two_tiers(FakeBackend("small", Play((EVENTS[0], ZeroDivisionError("secret")))))
    async with asked(rig, stream=True) as client:
        rest = await client.rest()
    assert json.loads(events(rest)[-1])["error"]["code"] == "internal_error"
    assert b"secret" not in rest
    assert b"Traceback" not in rest
    assert [request_id for request_id, _ in rig.bugs] == ["req-0"]
    assert rig.record.outcome == "aborted"
    assert rig.inflight() == rig.backends[0].running == 0


async def test_slow_mid_stream() -> None:
    """A backend that falls silent in the middle ends as an error, too."""
    small = FakeBackend("small", Play((EVENTS[0], HANG)), timeouts=Timeouts(inter_token=0.02))
    rig = two_tiers(small)
    async with asked(rig, stream=True) as client:
        rest = await client.rest()
    assert json.loads(events(rest)[-1])["error"]["code"] == "upstream_timeout"
    assert rig.inflight() == small.running == 0


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_leaves_no_garbage(stream: bool) -> None:
    """What a request was made of goes with its end: the collector would be a second cost, and memory until then."""

    def alive() -> int:
        kinds = (Exchange, Delivery, Story, Watch, FakeReply, Listener, RequestResponseCycle)
        return sum([type(one) in kinds for one in gc.get_objects()])

    rig = two_tiers(FakeBackend("small", Play(EVENTS if stream else (ANSWER,))))
    app = SmallfirstApp(rig.site(), rig.on_bug)
    gc.collect()
    before = alive()  # other tests may hold theirs
    gc.disable()
    try:
        async with serving(app) as port, connected(port) as client:
            for close in (b"connection: close\r\n", b"connection: close\r\n", b""):
                await client.send(post(CHAT, body(stream=stream)).replace(close, b""))
                await client.until(b"0\r\n\r\n" if stream else ANSWER)
            assert await client.rest() == b""
            await settled(rig, 3)
            await asyncio.sleep(0)
            assert alive() == before
    finally:
        gc.enable()


async def test_other_servers() -> None:
    """One that can only be awaited gets the same stream."""
    rig = two_tiers(FakeBackend("small", Play(EVENTS)))
    async with calling(SmallfirstApp(rig.site(), rig.on_bug)) as client:
        answer = await client.post(CHAT, content=body(stream=True), headers={"content-type": "application/json"})
    assert answer.content == b"".join(EVENTS)
    assert rig.record.outcome == "ok"


async def test_slow_client() -> None:
    """A client that does not read stops its backend's pieces, and gets all of them in the end."""
    piece = b'data: {"choices":[{"delta":{"content":"' + b"x" * 2**20 + b'"}}]}\n\n'
    rig = two_tiers(FakeBackend("small", Play((*[piece] * 40, EVENTS[-1]))))
    async with asked(rig, stream=True) as client:
        await rig.backends[0].reached.wait()
        await asyncio.sleep(0.1)
        assert rig.inflight() == 1  # not everything is on its way
        rest = await client.rest()
    assert rest.count(b"x" * 2**20) == 40
    assert events(rest)[-1] == b"[DONE]"
    assert rig.record.outcome == "ok"


# --- keep-alives --------------------------------------------------------------------------------------------


async def test_comments_while_silent() -> None:
    """A silent stream gets comments, and then its answer."""
    wake = asyncio.Event()
    rig = two_tiers(FakeBackend("small", Play((wake, *EVENTS))))
    async with impatient(rig) as client:
        assert (await client.head()).startswith(b"HTTP/1.1 200")
        for _ in range(3):
            await client.until(COMMENT)
        wake.set()
        assert len(events(await client.rest())) == 3
    assert rig.record.outcome == "ok"


async def test_comments_within_a_stream() -> None:
    """Silence between two events is broken by comments that stand between them."""
    wake = asyncio.Event()
    rig = two_tiers(FakeBackend("small", Play((EVENTS[0], wake, *EVENTS[1:]))))
    async with impatient(rig) as client:
        await client.until(EVENTS[0])
        await client.until(COMMENT)
        wake.set()
        rest = await client.rest()
    assert events(rest)[-1] == b"[DONE]"


async def test_a_head_that_waits_is_not_overtaken() -> None:
    """An answer that nobody has read yet holds up the head of the next one, and its comments; then the first event."""
    wake, large = asyncio.Event(), b"x" * (16 * 2**20)
    rig = two_tiers(FakeBackend("small", Play((large,)), Play((wake, *EVENTS))))
    endpoint = HotEndpoint(rig.site(), "chat", rig.on_bug, SILENCE)
    async with serving(endpoint) as port, connected(port) as client:
        kept = post(CHAT, body()).replace(b"connection: close\r\n", b"")
        await client.send(kept + post(CHAT, body(stream=True)))
        async with asyncio.timeout(PATIENCE):
            while len(rig.backends[0].sent) < 2:
                await asyncio.sleep(0.002)
        await asyncio.sleep(3 * SILENCE)
        wake.set()
        await asyncio.sleep(3 * SILENCE)
        await client.head()
        assert await client.reader.readexactly(len(large)) == large
        assert (await client.head()).startswith(b"HTTP/1.1 200")
        assert len(events(await client.rest())) == 3


async def test_silence_begins_with_the_last_byte() -> None:
    """Also with the first piece, which came late."""
    wake, again = asyncio.Event(), asyncio.Event()
    rig = two_tiers(FakeBackend("small", Play((wake, EVENTS[0], again, *EVENTS[1:]))))
    async with serving(HotEndpoint(rig.site(), "chat", rig.on_bug, 0.6)) as port, connected(port) as client:
        await client.send(post(CHAT, body(stream=True)))
        await asyncio.sleep(0.45)
        wake.set()
        await asyncio.sleep(0.3)
        again.set()
        assert COMMENT not in await client.rest()


async def test_falls_back_after_a_comment() -> None:
    """Comments commit the status, but another backend may still answer."""
    fail = asyncio.Event()
    rig = two_tiers(
        FakeBackend("small", Play((fail, UpstreamUnavailable("no")))),
        FakeBackend("large", Play(EVENTS), zone="remote"),
    )
    async with impatient(rig) as client:
        await client.until(COMMENT)
        fail.set()
        assert events(await client.rest())[-1] == b"[DONE]"
    assert (rig.record.backend, rig.record.final_reason) == ("large", "fallback:unavailable")


@pytest.mark.parametrize("error", [UpstreamUnavailable("no"), ZeroDivisionError("secret")], ids=["fault", "bug"])
async def test_fails_after_a_comment(error: Exception) -> None:
    """With the status committed, a failure is an error event without [DONE]."""
    fail = asyncio.Event()
    rig = Rig([("slm", FakeBackend("small", Play((fail, error))))])
    async with impatient(rig) as client:
        await client.until(COMMENT)
        fail.set()
        rest = await client.rest()
    (only,) = events(rest)
    assert json.loads(only)["error"].keys() == {"message", "type", "param", "code"}
    assert b"secret" not in rest
    assert rig.record.outcome == ("upstream-error" if isinstance(error, UpstreamUnavailable) else "internal-error")
    assert rig.inflight() == 0


async def test_leaves_after_a_comment() -> None:
    """A client that leaves a stream of comments frees the backend."""
    rig = two_tiers(FakeBackend("small", Play(head=HANG)))
    async with impatient(rig) as client:
        await client.until(COMMENT)
        client.hang_up()
        await asyncio.wait_for(rig.backends[0].left.wait(), LEFT_WITHIN)
        await settled(rig)
    assert rig.record.outcome == "cancelled"


async def test_no_comments_without_a_stream() -> None:
    """An answer that is no stream has its real status to the end."""
    fail = asyncio.Event()
    rig = Rig([("slm", FakeBackend("small", Play((fail, UpstreamUnavailable("no")))))])
    endpoint = HotEndpoint(rig.site(), "chat", rig.on_bug, SILENCE)
    async with serving(endpoint) as port, connected(port) as client:
        await client.send(post(CHAT, body()))
        await asyncio.sleep(3 * SILENCE)
        fail.set()
        assert (await client.head()).startswith(b"HTTP/1.1 502")
