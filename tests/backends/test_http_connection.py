"""What the HTTP client makes of answers, whole, compressed and broken, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from app.errors import UpstreamFault, UpstreamMalformed
from tests.backends.raw_upstream import (
    CHUNKED,
    OK,
    Exchange,
    Upstream,
    always,
    ask,
    client,
    pieces,
)
from tests.fakes import Taker


async def test_sends_the_bytes_and_reads_the_answer() -> None:
    """Method, path, headers and body arrive as given, with identity asked for and nothing else added."""
    async with Upstream(always(OK)) as upstream, client() as http:
        reply = await ask(http, upstream.url, b'{"model": "m"}')
        assert (reply.status, await reply.read(), reply.header("CONTENT-length")) == (200, b"hi", "2")
        assert reply.header("x-none") is None
    request = upstream.requests[0]
    lines = request.head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    names = {line.partition(":")[0] for line in lines[1:] if line}
    assert names == {"host", "accept-encoding", "content-type", "authorization", "content-length"}
    assert "accept-encoding: identity" in lines
    assert request.body == b'{"model": "m"}'


async def test_a_body_of_megabytes_arrives_whole() -> None:
    """Long prompts are sent in one piece without a warning."""
    async with Upstream(always(OK)) as upstream, client() as http:
        prompt = b"x" * (2**20 + 2**19)
        assert await (await ask(http, upstream.url, prompt)).read() == b"hi"
        assert upstream.requests[0].body == prompt


async def test_connections_are_reused_after_whole_answers() -> None:
    """Reading to the end, by `read` or by `chunk`, returns the connection to the pool."""
    async with Upstream(always(OK)) as upstream, client() as http:
        await (await ask(http, upstream.url)).read()
        assert await pieces(await ask(http, upstream.url)) == [b"hi"]
        await (await ask(http, upstream.url)).read()
        assert upstream.connections == 1


async def test_closing_after_the_end_keeps_the_connection() -> None:
    """`close` is idempotent and does no harm to an answer that was read."""
    async with Upstream(always(OK)) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        await reply.read()
        reply.close()
        reply.close()
        assert await reply.chunk() == b""
        await (await ask(http, upstream.url)).read()
        assert upstream.connections == 1


async def test_chunks_come_as_they_arrive() -> None:
    """Each write is handed on without waiting for the next; events of one write come as one bytes object."""
    turn = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"b\r\ndata: one\n\n\r\n" * 3)
        for piece in (b"2\r\nab\r\n", b"2\r\ncd\r\n0\r\n\r\n"):
            await turn.wait()
            turn.clear()
            await exchange.send(piece)

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        got = []
        while piece := await asyncio.wait_for(reply.chunk(), 5):
            got.append(piece)
            turn.set()
        assert got == [b"data: one\n\n" * 3, b"ab", b"cd"]
        assert upstream.connections == 1


# ------------------------------------------------------------------ handed on by the socket itself
async def test_pieces_are_handed_on_by_the_socket() -> None:
    """In the moment they arrive: no task is woken for them."""
    taker, waited_for = Taker(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        await waited_for.wait()
        for piece in (b"2\r\nab\r\n", b"2\r\ncd\r\n1\r\ne\r\n", b"1\r\nf\r\n0\r\n\r\n"):
            before = len(taker.pieces)
            await exchange.send(piece)
            while len(taker.pieces) == before:
                await asyncio.sleep(0)

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        relaying = asyncio.create_task(reply.relay(taker.give))
        await asyncio.sleep(0)
        waited_for.set()
        assert await asyncio.wait_for(relaying, 5)
        assert taker.pieces == [b"ab", b"cde", b"f"]
        assert taker.tasks == {None}
        assert await (await ask(http, upstream.url)).chunk() == b"ab"
        assert upstream.connections == 1


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
async def test_who_has_no_room_gets_the_rest_later(at_once: int) -> None:
    """Whatever arrived meanwhile, in order; also when the whole body did."""
    taker = Taker(at_once)

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        for number in range(9):
            await exchange.send(b"1\r\n%d\r\n" % number)
            await asyncio.sleep(0)
        await exchange.send(b"0\r\n\r\n")

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        async with asyncio.timeout(5):
            while not await reply.relay(taker.give):
                await asyncio.sleep(0.002)
        assert b"".join(taker.pieces) == b"012345678"


@pytest.mark.parametrize("rest", [b"zz\r\n", b""], ids=["not HTTP", "cut"])
@pytest.mark.parametrize("together", [True, False])
async def test_what_was_good_is_handed_on_before_a_fault(rest: bytes, together: bool) -> None:
    """The fault is for who waits for the end."""
    taker = Taker()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        while not together and not taker.tasks:
            await exchange.send(b"1\r\na\r\n")
            await asyncio.sleep(0.002)
        await exchange.send(b"1\r\nb\r\n" + rest)
        exchange.writer.close()

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        with pytest.raises(UpstreamMalformed):
            await asyncio.wait_for(reply.relay(taker.give), 5)
        assert taker.pieces[-1][-1:] == b"b"


async def test_an_error_of_who_takes_is_raised_for_who_waits() -> None:
    """It does not end in the event loop, which would close the connection."""
    waited_for = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        await waited_for.wait()
        await exchange.send(b"1\r\na\r\n")
        await exchange.send(b"1\r\nb\r\n0\r\n\r\n")

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        relaying = asyncio.create_task(reply.relay(lambda piece: bool(1 // 0)))
        await asyncio.sleep(0)
        waited_for.set()
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(relaying, 5)
        await asyncio.wait_for(reply.read(), 5)  # the connection goes on
        await ask(http, upstream.url)
        assert upstream.connections == 1


async def test_nothing_is_handed_on_to_who_left() -> None:
    """What arrives after that waits for the next reader."""
    taker, go_on = Taker(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"1\r\na\r\n")
        await go_on.wait()
        await exchange.send(b"1\r\nb\r\n0\r\n\r\n")

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.relay(taker.give), 0.02)
        go_on.set()
        assert await asyncio.wait_for(reply.read(), 5) == b"b"
        assert taker.pieces == [b"a"]


async def test_compressed_pieces_are_handed_on_readable() -> None:
    """By a task, which is slower and seldom."""
    taker = Taker()
    async with Upstream(always(encoded(b"gzip", gzip.compress(b"hello")))) as upstream, client() as http:
        assert await (await ask(http, upstream.url)).relay(taker.give)
    assert b"".join(taker.pieces) == b"hello"


# ------------------------------------------------------------------ compression nobody asked for
def encoded(encoding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (encoding, len(body)) + body


def bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(b"hello")),
        (b"gzip", gzip.compress(b"hel") + gzip.compress(b"lo")),
        (b"deflate", zlib.compress(b"hello")),
        (b"deflate", bare_deflate(b"hello")),
    ],
)
async def test_compressed_answers_are_readable(encoding: bytes, body: bytes) -> None:
    """A backend that compresses all the same is understood."""
    async with Upstream(always(encoded(encoding, body))) as upstream, client() as http:
        assert await (await ask(http, upstream.url)).read() == b"hello"


async def test_compressed_streams_flow() -> None:
    """Compressed events come out one by one, bytes of the stream's head alone are no empty piece."""
    stream = zlib.compressobj(wbits=31)
    first = stream.compress(b"data: one\n\n") + stream.flush(zlib.Z_SYNC_FLUSH)
    last = stream.compress(b"data: two\n\n") + stream.flush()
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        await exchange.send(b"4\r\n" + first[:4] + b"\r\n")
        await exchange.send(b"%x\r\n" % (len(first) - 4) + first[4:] + b"\r\n")
        await go_on.wait()
        await exchange.send(b"%x\r\n" % len(last) + last + b"\r\n0\r\n\r\n")

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        assert await asyncio.wait_for(reply.chunk(), 5) == b"data: one\n\n"
        go_on.set()
        assert await pieces(reply) == [b"data: two\n\n"]


# ------------------------------------------------------------------ answers that cannot be used
BROKEN = {
    "short of its length": b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "cut in a chunk": CHUNKED + b"5\r\nhel",
    "bad chunk size": CHUNKED + b"5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n",
    "cut in the head": b"HTTP/1.1 200 OK\r\nconte",
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi",
    "endless header": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 300_000 + b"\r\ncontent-length: 2\r\n\r\nhi",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"x-a: a\r\n" * 2_000 + b"content-length: 2\r\n\r\nhi",
    "too many trailers": CHUNKED + b"2\r\nhi\r\n0\r\n" + b"x-a: a\r\n" * 2_000 + b"\r\n",
    "no status": b"HTTP/1.1 099 OK\r\ncontent-length: 2\r\n\r\nno" + OK,
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
    "length and chunks": CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n") + b"2\r\nhi\r\n0\r\n\r\n",
    "two answers": OK + OK.replace(b"hi", b"no"),
    "chunks and another answer": CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + OK,
    "an answer and a half": OK + OK[:-1],
    "an answer and the head of another": OK + b"HTTP/1.1 20",
    "no gzip": encoded(b"gzip", b"hello"),
    "gzip cut short": encoded(b"gzip", gzip.compress(b"hello")[:-9]),
    "unknown coding": encoded(b"br", b"\x0b\x02\x80hello\x03"),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_broken_answers_are_malformed(answer: bytes) -> None:
    """What is no whole HTTP answer raises UpstreamMalformed, at the head or by the end of the body."""
    async with Upstream(always(answer, then_close=True)) as upstream, client() as http:
        with pytest.raises(UpstreamMalformed) as caught:
            await asyncio.wait_for((await ask(http, upstream.url)).read(), 5)
        assert "localhost" not in str(caught.value)
        assert upstream.connections == 1


async def test_pieces_before_a_cut_are_delivered() -> None:
    """What arrived is handed on; the cut raises afterwards and the reply is then closed."""
    cut = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"5\r\nhello\r\n")
        await cut.wait()
        exchange.writer.close()

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        assert await reply.chunk() == b"hello"
        cut.set()
        with pytest.raises(UpstreamMalformed):
            await asyncio.wait_for(reply.chunk(), 5)
        with pytest.raises(UpstreamFault):
            await reply.chunk()


async def test_what_was_good_before_an_error_is_delivered() -> None:
    """Also if both came at once."""
    async with Upstream(always(CHUNKED + b"5\r\nhello\r\nzz\r\n")) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        assert await reply.chunk() == b"hello"
        with pytest.raises(UpstreamMalformed):
            await reply.chunk()


async def test_more_than_the_promised_length_never_reaches_the_next_answer() -> None:
    """Bytes beyond content-length make the answer unusable or are dropped with their connection; nothing hangs."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(OK + b"surplus" if exchange.connection == 1 else OK)

    async with Upstream(script) as upstream, client() as http:
        with pytest.raises(UpstreamMalformed):
            await (await ask(http, upstream.url)).read()
        assert await (await ask(http, upstream.url)).read() == b"hi"
        assert upstream.connections == 2


async def test_redirects_are_returned_and_not_followed() -> None:
    """A 307 is an answer like any other: the prompt goes nowhere else."""
    async with Upstream(always(OK)) as other, client() as http:
        redirect = b"HTTP/1.1 307 T\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % other.url.encode()
        async with Upstream(always(redirect)) as upstream:
            reply = await ask(http, upstream.url)
            assert (reply.status, reply.header("location"), await reply.read()) == (307, other.url, b"")
        assert other.requests == []


async def test_cookies_are_not_kept() -> None:
    """A cookie that a backend sets is never sent back."""
    async with (
        Upstream(always(OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=b; path=/\r\n\r\n"))) as upstream,
        client() as http,
    ):
        for _ in range(2):
            await (await ask(http, upstream.url)).read()
        assert b"cookie" not in upstream.requests[1].head.lower()


# ------------------------------------------------------------------ the ways to say where an answer ends
OLD = b"HTTP/1.0 200 OK\r\n\r\nall until the end"
ENDS = {
    "by closing": (OLD, True, b"all until the end", 2),
    "length, then closing": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", False, b"hi", 2),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", False, b"hi", 1),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", False, b"", 1),
    "a length, but no body": (b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", False, b"", 2),
    "a trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n", False, b"hi", 1),
    "extensions of chunks": (CHUNKED + b"2;a=b\r\nhi\r\n0;c\r\n\r\n", False, b"hi", 1),
    "hints before it": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK,
        False,
        b"hi",
        1,
    ),
}


@pytest.mark.parametrize(("answer", "close", "body", "connections"), ENDS.values(), ids=ENDS)
async def test_every_way_to_end_an_answer(answer: bytes, close: bool, body: bytes, connections: int) -> None:
    """The body is whole, and its connection serves again if the backend said that it would."""
    async with Upstream(always(answer, then_close=close)) as upstream, client() as http:
        for _ in range(2):
            reply = await ask(http, upstream.url)
            assert (reply.status // 100, await asyncio.wait_for(reply.read(), 5)) == (2, body)
            assert reply.header("link") is None
        assert upstream.connections == connections


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_an_answer_in_crumbs(size: int) -> None:
    """Heads, chunk frames and bodies may be cut anywhere."""
    whole = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"7\r\n\xe4\xbd\xa0\xe5\xa5\xbd!\r\n3\r\nabc\r\n0\r\n\r\n"

    async def script(exchange: Exchange) -> None:
        for start in range(0, len(whole), size):
            await exchange.send(whole[start : start + size])
            await asyncio.sleep(0)

    async with Upstream(script) as upstream, client() as http:
        for _ in range(2):
            reply = await ask(http, upstream.url)
            assert b"".join(await pieces(reply)) == "你好!abc".encode()
        assert upstream.connections == 1


async def test_a_switch_of_protocols_is_malformed() -> None:
    """Nobody asked for another protocol."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    async with Upstream(always(switch)) as upstream, client() as http:
        with pytest.raises(UpstreamMalformed):
            await ask(http, upstream.url)


async def test_a_fast_backend_waits_for_a_slow_reader() -> None:
    """What nobody reads is not heaped up: the backend is stopped, and nothing is lost."""
    mega, sent = b"x" * 2**20, 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(CHUNKED)
        for _ in range(64):
            await exchange.send(b"100000\r\n" + mega + b"\r\n")
            sent += 1
        await exchange.send(b"0\r\n\r\n")

    async with Upstream(script) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        before = -1
        while sent > before:  # until it stands still
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 64
        assert sum([len(piece) for piece in await pieces(reply)]) == 64 * 2**20
        await (await ask(http, upstream.url)).chunk()
        assert upstream.connections == 1
