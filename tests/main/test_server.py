"""The server's side of a connection: what is bounded, what is declined, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from app.api.exchange import PUSH
from app.main.server import MAX_HEAD
from tests.serving import PATIENCE, Raw, connected, post, serving

BIG, PIECE = 600, 65_536
SHORT = 1  # seconds that a connection may idle in these tests
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
OFFERS = {
    "JDK's client": "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c",
    "a browser": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Gives the body back; of `/big` it gives more than fits into any buffer, of `/late` a moment later."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    if scope["path"] == "/pushed":
        return await pushed(scope, send)
    if scope["path"] == "/late":
        await asyncio.sleep(SHORT * 1.5)
    size = len(body) if scope["path"] != "/big" else 0
    headers = [(b"content-length", b"%d" % size)] if size else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(BIG if scope["path"] == "/big" else 0):
        await send({"type": "http.response.body", "body": b"x" * PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": body if size else b"", "more_body": False})


async def pushed(scope: Any, send: Any) -> None:
    """As much as `/big`, without waiting as long as there is room; at the end how often there was none."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    full = 0
    for _ in range(BIG):
        if not scope["extensions"][PUSH](b"x" * PIECE):
            full += 1
            await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b"full %d" % full, "more_body": False})


async def ended(client: Raw) -> bool:
    """Whether the server hangs up, in time."""
    try:
        await client.rest()
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "said", [b"", b"POST", HEAD, HEAD + b"content-length: 9\r\n\r\n", HEAD + b"content-length: 9\r\n\r\n{"]
)
async def test_who_says_nothing_more_is_cut_off(said: bytes) -> None:
    """Before, within and after the head."""
    async with serving(echo, keep_alive=SHORT) as port, connected(port) as client:
        if said:
            await client.send(said)
        assert await ended(client)


async def test_a_head_that_drips_is_cut_off() -> None:
    """Each byte comes in time, the head does not."""
    async with serving(echo, keep_alive=SHORT) as port, connected(port) as client:
        await client.send(HEAD + b"x-drip: ")
        drips = 0
        with contextlib.suppress(ConnectionError):
            while not client.reader.at_eof() and drips < 5 * PATIENCE:
                await client.send(b"a")
                await asyncio.sleep(SHORT / 5)
                drips += 1
        assert drips < 5 * PATIENCE


async def test_who_takes_nothing_is_cut_off() -> None:
    """Else it would hold a backend's slot for as long as it likes."""
    async with serving(echo, keep_alive=SHORT) as port, connected(port) as client:
        await client.send(post("/big", b"{}"))
        await client.head()
        await asyncio.sleep(SHORT * 3)
        taken = b""
        with contextlib.suppress(ConnectionError):
            taken = await client.rest()
        assert len(taken) < BIG * PIECE


async def test_what_is_pushed_waits_for_who_reads_slowly() -> None:
    """Not all at once into our memory, and nothing is lost."""
    async with serving(echo) as port, connected(port) as client:
        await client.send(post("/pushed", b""))
        await asyncio.sleep(0.1)
        answer = await client.rest()
    frame = b"%x\r\n" % PIECE + b"x" * PIECE + b"\r\n"
    assert answer.count(frame) == BIG
    full = answer.partition(b"full ")[2].partition(b"\r\n")[0]
    assert int(full) > 1


async def test_who_waits_for_us_is_not_cut_off() -> None:
    """An answer may take longer than a connection may idle, also with the half of a second request behind the first."""
    async with serving(echo, keep_alive=SHORT) as port, connected(port) as client:
        whole = post("/late", b"{}").replace(b"connection: close\r\n", b"")
        await client.send(whole + whole[:30])
        assert (await client.head()).startswith(b"HTTP/1.1 200")
        await client.until(b"{}")
        await client.send(whole[30:])
        assert (await client.head()).startswith(b"HTTP/1.1 200")


async def test_a_body_that_goes_on_is_read() -> None:
    """It is slow as a whole, but never for long."""
    async with serving(echo, keep_alive=SHORT) as port, connected(port) as client:
        await client.send(HEAD + b"content-length: 6\r\n\r\n")
        for _ in range(6):
            await client.send(b"x")
            await asyncio.sleep(SHORT / 3)
        assert (await client.until(b"xxxxxx")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("line", [b"x-long: %b\r\n" % (b"a" * 9 * MAX_HEAD), b"x-one: of many\r\n" * (MAX_HEAD // 2)])
async def test_a_head_has_its_limit(line: bytes) -> None:
    """One giant header, or many small ones; a body may be larger."""
    async with serving(echo) as port, connected(port) as client:
        await client.send(HEAD + line + b"\r\n")
        assert (await client.head()).startswith(b"HTTP/1.1 431 ")
    async with serving(echo) as port, connected(port) as client:
        await client.send(post("/", b"b" * 9 * MAX_HEAD))
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_trailer_has_the_same_limit() -> None:
    """It may come without end; chunks that are small, and their sizes apart from them, may not be taken for one."""
    start = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    async with serving(echo) as port, connected(port) as client:
        await client.send(start + b"1\r\nx\r\n0\r\nx-long: " + b"a" * 9 * MAX_HEAD + b"\r\n\r\n")
        assert (await client.head()).startswith(b"HTTP/1.1 431 ")
    async with serving(echo) as port, connected(port) as client:
        await client.send(start)
        for _ in range(100):
            for piece in (b"0" * 1000 + b"1\r\n", b"x", b"\r\n"):
                await client.send(piece)
                await asyncio.sleep(0)
        await client.send(b"0\r\n\r\n")
        assert (await client.until(b"x" * 100)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
@pytest.mark.parametrize("cut", [0, 40, -1], ids=["at once", "in the head", "in the body"])
async def test_an_offer_of_another_protocol_loses_nothing(offer: str, cut: int) -> None:
    """The request is answered, body and all, and so is the next on the connection."""
    request = post("/", b'{"a": 1}').replace(b"connection: close", offer.encode())
    chunked = request.replace(b"content-length: 8", b"transfer-encoding: chunked")
    chunked = chunked.replace(b'{"a": 1}', b'8\r\n{"a": 1}\r\n0\r\n\r\n')
    async with serving(echo) as port, connected(port) as client:
        for one in (request, chunked, request.replace(offer.encode(), b"x-plain: yes")):
            if cut:
                await client.send(one[:cut])
                await asyncio.sleep(0.01)
            await client.send(one[cut:] if cut else one)
            assert (await client.until(b'{"a": 1}')).startswith(b"HTTP/1.1 200")


async def test_what_is_no_http_is_refused_in_our_words() -> None:
    """As every other error, and then the connection ends."""
    async with serving(echo) as port, connected(port) as client:
        await client.send(b"\x16\x03\x01 hello\r\n\r\n")
        head, body = (await client.rest()).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"x-request-id: req-" in head
    assert json.loads(body)["error"] == {
        "message": "This is not valid HTTP.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request",
    }


@pytest.mark.parametrize("more", [0, 1, 3])
async def test_whoever_answers_hears_that_the_client_left(more: int) -> None:
    """Also if the client had asked for more on the same connection, which is then not done."""
    heard: list[str] = []

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        heard.append("asked")
        heard.append((await receive())["type"])

    async with serving(patient) as port:
        async with connected(port) as client:
            await client.send(post("/", b"{}").replace(b"connection: close\r\n", b"") * (1 + more))
            async with asyncio.timeout(PATIENCE):
                while not heard:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE):
            while len(heard) < 2:
                await asyncio.sleep(0.01)
    assert heard == ["asked", "http.disconnect"]
