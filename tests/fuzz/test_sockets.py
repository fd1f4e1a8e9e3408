"""Clients without manners, on raw sockets: none of them hinders another, holds a slot, or gets more than a refusal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

import pytest

from app.backends.scripted import Fault
from tests.e2e.process import chat
from tests.fuzz.house import CLIENT_KEY, HOST, PATIENCE, Answer, House, Line, line, request

HELLO = chat("hello")
STREAM = chat("hello", stream=True)
GET = request(b"", "/health", method="GET")
PLAIN = re.sub(rb"content-length: \d+\r\n", b"", request(HELLO)).partition(b"\r\n\r\n")[0]  # a head without a length
LORISES = 150


def chunked(*pieces: bytes, more: bytes = b"") -> bytes:
    """HELLO's head, and these pieces as chunks; `more` are extra header lines."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return PLAIN + b"\r\ntransfer-encoding: chunked" + more + b"\r\n\r\n" + body + b"0\r\n\r\n"


def sized(length: str) -> bytes:
    return PLAIN + f"\r\ncontent-length: {length}\r\n\r\n".encode() + HELLO


async def asked(home: House, *says: bytes, head: bool = False) -> Answer:
    """The answer to what is said on a connection of its own."""
    async with line(home.port) as one:
        for piece in says:
            await one.say(piece)
        return await one.answer(head=head)


async def works(home: House) -> None:
    """Everybody else is served as ever."""
    assert (await asked(home, request(HELLO))).status == 200


# --- slow ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def lorises(home: House, start: bytes) -> AsyncIterator[list[Line]]:
    """Connections that have begun and then say a byte now and then."""
    async with contextlib.AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(home.port)) for _ in range(LORISES)]
        for one in lines:
            await one.say(start)
        dripping = asyncio.create_task(_drip(lines))
        try:
            yield lines
        finally:
            dripping.cancel()


async def _drip(lines: list[Line]) -> None:
    while True:
        for one in lines:
            await one.say(b" ")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "start",
    [b"", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ", PLAIN + b"\r\ncontent-length: 99999\r\n\r\n{"],
    ids=["silence", "head", "body"],
)
async def test_slow_lorises_hinder_nobody(home: House, start: bytes) -> None:
    """They hold neither slots nor much memory; that they are cut off in the end, tests/main/test_server.py shows."""
    before = home.gateway.rss_mb()
    async with lorises(home, start) if start else contextlib.AsyncExitStack() as held:
        if not start:
            assert isinstance(held, contextlib.AsyncExitStack)
            for _ in range(LORISES):
                await held.enter_async_context(line(home.port))
        await asyncio.gather(*(works(home) for _ in range(20)))
        assert await asyncio.to_thread(home.held) == 0
        assert home.gateway.rss_mb() < before + 30
    await home.quiet()


async def test_a_body_byte_by_byte_is_answered(home: House) -> None:
    """Slow, but complete."""
    whole = request(HELLO)
    answer = await asked(home, *(whole[at : at + 1] for at in range(len(whole))))
    assert answer.status == 200


async def test_who_does_not_read_hinders_nobody(home: House) -> None:
    """More such clients than there are slots; answers fit into buffers, so no backend waits for them."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(12):
            await (await stack.enter_async_context(line(home.port))).say(request(STREAM))
        await works(home)
        await home.quiet()


# --- gone ---------------------------------------------------------------------------------------------------

STAGES = {
    "at once": b"",
    "in the first line": b"POST /v1/ch",
    "in the head": PLAIN[:80],
    "before the body": request(HELLO)[: -len(HELLO)],
    "in the body": request(HELLO)[:-5],
    "in a chunk": chunked(HELLO)[:-20],
    "before the answer": request(HELLO),
    "before the stream": request(STREAM),
    "with another one behind": request(HELLO) * 3,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", [None, Fault.HANG, Fault.STALL_FIRST], ids=["prompt", "hangs", "stalls"])
async def test_early_closes_free_everything(home: House, stage: str, fault: Fault | None) -> None:
    """By a reset, twenty at a time, whatever the backend does just then: no slot and no socket is left."""
    if fault is not None:
        home.small.fail(fault, 20)
    open_before = home.descriptors()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            await (await stack.enter_async_context(line(home.port))).say(STAGES[stage])
    await home.quiet()
    home.small.heal()
    await works(home)
    async with asyncio.timeout(PATIENCE):
        while home.descriptors() > open_before + 16:  # connections to backends are kept
            await asyncio.sleep(0.05)


async def test_leaving_a_stream_stops_the_backend(home: House) -> None:
    """After the first words."""
    home.small.fail(Fault.STALL_MID)
    before = home.small.seen.aborted
    async with line(home.port) as one:
        await one.say(request(STREAM))
        while b"delta" not in await one.some():
            pass
    await home.quiet()
    async with asyncio.timeout(PATIENCE):
        while home.small.seen.aborted == before:
            await asyncio.sleep(0.02)


# --- pipelined ----------------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(home: House) -> None:
    """Twelve in one write, slow ones first: each answer carries the id of its request."""
    home.small.fail(Fault.SLOW, 3)
    ids = [f"in-order-{number}" for number in range(12)]
    bodies = [HELLO, STREAM, b"{", HELLO] * 3
    async with line(home.port) as one:
        await one.say(
            b"".join(
                request(body, "/v1/chat/completions", f"x-request-id: {name}")
                for body, name in zip(bodies, ids, strict=True)
            )
        )
        answers = [await one.answer() for _ in ids]
    assert [re.findall(rb"x-request-id: (\S+)", answer.head)[0].decode() for answer in answers] == ids
    assert [answer.status for answer in answers] == [200, 200, 400, 200] * 3


async def test_a_refused_body_is_skipped(home: House) -> None:
    """What was not read of it is not taken for the next request."""
    for refused, status in ((b"x" * 200_000, 415), (b"GET /metrics HTTP/1.1\r\n\r\n" * 2000, 415)):
        head = request(b"").replace(b"application/json", b"text/plain")
        async with line(home.port) as one:
            await one.say(head.replace(b"content-length: 0", b"content-length: %d" % len(refused)) + refused + GET)
            assert (await one.answer()).status == status
            assert (await one.answer()).body == b'{"status":"ok"}'


# --- odd heads ----------------------------------------------------------------------------------------------

REFUSED = {
    "CR in a value": b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: a\rb\r\n\r\n",
    "LF in a value": b"GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: a\nx-evil: 1\r\n\r\n",
    "NUL in a value": b"GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: a\x00b\r\n\r\n",
    "NUL in a name": b"GET /health HTTP/1.1\r\nhost: x\r\nx\x00y: a\r\n\r\n",
    "space before a colon": b"GET /health HTTP/1.1\r\nhost: x\r\nauthorization : Bearer x\r\n\r\n",
    "a folded value": b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: a\r\n b\r\n\r\n",
    "LF alone": b"GET /health HTTP/1.1\nhost: x\n\n",
    "no version we know": b"GET /health HTTP/3.7\r\nhost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "every byte": bytes(range(256)) * 10,
    "no method we know": b"BREW /health HTTP/1.1\r\nhost: x\r\n\r\n",
    "a path with a space": b"GET /hea lth HTTP/1.1\r\nhost: x\r\n\r\n",
    "a path of bytes": b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a target without a path": b"GET http://example.test HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tunnel": b"CONNECT example.test:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "length and chunks": chunked(HELLO, more=b"\r\ncontent-length: 5"),
    "two lengths": sized("5\r\ncontent-length: 6"),
    "a negative length": sized("-5"),
    "a signed length": sized("+5"),
    "a length in words": sized("five"),
    "a length beyond all": sized("9" * 40),
    "lengths in a list": sized("5, 5"),
    "a chunk without a size": chunked()[:-5] + b"zz\r\nabc\r\n0\r\n\r\n",
    "a chunk beyond all": chunked()[:-5] + b"f" * 30 + b"\r\nabc",
    "a chunk that is longer": chunked()[:-5] + b"2\r\nabcdef\r\n0\r\n\r\n",
    "chunked not last": PLAIN + b"\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
}


async def test_what_is_no_http_is_refused(home: House) -> None:
    """With a 400 in the shape of our errors, after which nothing on that connection is taken for a request."""
    wrong = dict(zip(REFUSED, await asyncio.gather(*(refused(home, said) for said in REFUSED.values())), strict=True))
    assert {name: answer for name, answer in wrong.items() if answer is not None} == {}
    await works(home)


async def refused(home: House, said: bytes) -> Answer | None:
    """None if all is as it should be."""
    async with line(home.port) as one:
        await one.say(said + GET)
        answer = await one.answer()
        with contextlib.suppress(ConnectionError):
            if await one.some():
                return answer
    good = answer.status == 400 and answer.error()["type"] == "invalid_request_error"
    return None if good and b"x-evil" not in answer.head and b"connection: close" in answer.head else answer


GIANTS = {
    "one header": b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "its name": b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"a" * 2_000_000 + b": a\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 100_000 + b"\r\n",
    "the path": b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "the key": b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + b"a" * 2_000_000 + b"\r\n\r\n",
    "a trailer": chunked(HELLO)[:-2] + b"x-t: " + b"a" * 2_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", GIANTS)
async def test_giants_are_refused(home: House, name: str) -> None:
    """Without being kept in memory until they end."""
    before = home.gateway.rss_mb()
    answer = await asked(home, GIANTS[name])
    assert answer.status in (400, 431)
    assert home.gateway.rss_mb() < before + 15
    await works(home)


# --- odd, but good ------------------------------------------------------------------------------------------

GOOD = {
    "chunks": chunked(HELLO),
    "a chunk a byte": chunked(*(HELLO[at : at + 1] for at in range(len(HELLO)))),
    "chunks with extensions and a trailer": chunked(HELLO).replace(b"\r\n0\r\n", b"\r\n0;a=b\r\nx-t: 1\r\n"),
    "expect": request(HELLO, "/v1/chat/completions", "expect: 100-continue"),
    "expect what nobody knows": request(HELLO, "/v1/chat/completions", "expect: 200-maybe"),
    "HTTP/1.0": request(HELLO).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an absolute target": request(HELLO, "http://example.test/v1/chat/completions"),
    "an absolute target with a query": request(HELLO, f"http://{HOST}:1/v1/chat/completions/?key=1#there"),
    "a path in escapes": request(HELLO, "/v1/%63hat/completions"),
    "an empty line before": b"\r\n\r\n" + request(HELLO),
    "bytes in a value": request(HELLO).replace(
        b"\r\nhost", b"\r\nx-session-id: \xe9\xff\r\nx-request-id: \xe9\r\nhost"
    ),
    "an offer of HTTP/2": request(HELLO, "/v1/chat/completions", "connection: upgrade", "upgrade: h2c"),
    "an empty session": request(HELLO, "/v1/chat/completions", "x-session-id: "),
    "everything twice": request(HELLO).replace(b"\r\nhost", f"\r\nauthorization: Bearer {CLIENT_KEY}\r\nhost".encode()),
}


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_odd_but_good_is_answered(home: House, name: str) -> None:
    """By whoever it was meant for: a target names no other host to us."""
    answer = await asked(home, GOOD[name])
    assert answer.status == 200
    assert json.loads(answer.body)["choices"]


async def test_the_go_ahead_comes_before_the_body(home: House) -> None:
    """Else such a client waits; and a body that is refused anyway gets none."""
    head = request(HELLO, "/v1/chat/completions", "expect: 100-continue")[: -len(HELLO)]
    async with line(home.port) as one:
        await one.say(head)
        assert (await one.some()).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        await one.say(HELLO)
        assert (await one.answer()).status == 200
    async with line(home.port) as one:
        await one.say(head.replace(CLIENT_KEY.encode(), b"nobody's"))
        assert (await one.some()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("length", [0, 1, len(HELLO) - 1])
async def test_a_length_that_is_too_short(home: House, length: int) -> None:
    """What is beyond it is no request, and no part of this one."""
    assert (await asked(home, sized(str(length)))).status == 400


async def test_a_length_that_is_too_long(home: House) -> None:
    """The rest never comes: the client gives up, and nothing was asked of a backend."""
    before = home.small.seen.requests
    async with line(home.port) as one:
        await one.say(sized(str(len(HELLO) + 1)))
        await works(home)
    await home.quiet()
    assert home.small.seen.requests == before + 1


async def test_a_body_beyond_the_limit(home: House) -> None:
    """Refused when it is declared, and in chunks as soon as it is seen; the client can read why."""
    assert (await asked(home, sized(str(9 * 2**20)))).status == 413
    assert (await asked(home, chunked(*[b"x" * 2**16] * 144))).status == 413


METHODS = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "LOCK"]
PATHS = ["/v1/chat/completions", "/v1/route", "/v1/models", "/nowhere", "//v1//models"]


@pytest.mark.parametrize(("method", "path"), [("OPTIONS", "*"), *((one, path) for one in METHODS for path in PATHS)])
async def test_methods_and_paths(home: House, method: str, path: str) -> None:
    """Whatever is asked, it is answered at once, and the connection can be used again."""
    async with line(home.port) as one:
        await one.say(request(b"", path, method=method))
        answer = await one.answer(head=method == "HEAD")
        assert answer.status == 200 if (method, path) == ("GET", "/v1/models") else answer.status in (404, 405)
        await one.say(GET)
        assert (await one.answer()).status == 200
