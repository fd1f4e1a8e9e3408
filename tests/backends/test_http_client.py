"""The HTTP client against real sockets: raw servers that answer byte for byte what a test says, TLS and a proxy."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import ssl
import warnings
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import aiohttp.http_exceptions
import pytest
import trustme

from app.backends.http_client import HttpClient, HttpReply, translate
from app.errors import UpstreamFault, UpstreamMalformed, UpstreamTimeout, UpstreamUnavailable

BOUND = 1.0  # seconds within which the far side must notice
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-secret"}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Exchange:
    """One request as a raw server sees it: `number` on connection `connection`, both from 1."""

    def __init__(self, writer: asyncio.StreamWriter, head: bytes, body: bytes, connection: int, number: int) -> None:
        self.writer, self.head, self.body = writer, head, body
        self.connection, self.number = connection, number

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Script = Callable[[Exchange], Awaitable[None]]


class Upstream:
    """A raw HTTP/1.1 server: reads whole requests, lets `script` answer, notices when the client leaves."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.requests: list[Exchange] = []
        self.connections = 0
        self.asked, self.left = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://localhost:{self.port}/v1/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection, number = self.connections, 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(content_length(head))
                number += 1
                exchange = Exchange(writer, head, body, connection, number)
                self.requests.append(exchange)
                self.asked.set()
                await self.script(exchange)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.transport.abort()


def content_length(head: bytes) -> int:
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lengths[0].partition(b":")[2]) if lengths else 0


def always(answer: bytes, then_close: bool = False) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        if then_close:
            exchange.writer.close()

    return script


async def silent(_: Exchange) -> None:
    """Answers nothing and goes on reading, so that the client's leaving is seen."""


@asynccontextmanager
async def client(
    proxies: bool = False, connect_timeout: float = 5.0, max_connections: int = 100
) -> AsyncIterator[HttpClient]:
    made = HttpClient(proxies=proxies, connect_timeout=connect_timeout, max_connections=max_connections)
    try:
        yield made
    finally:
        await made.aclose()


async def ask(http: HttpClient, url: str, body: bytes = b"{}") -> HttpReply:
    return await asyncio.wait_for(http.post(url, HEADERS, body), 5)


async def pieces(reply: HttpReply) -> list[bytes]:
    got = []
    while piece := await asyncio.wait_for(reply.chunk(), 5):
        got.append(piece)
    return got


# ------------------------------------------------------------------ the plain way
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


# ------------------------------------------------------------------ compression nobody asked for
def encoded(encoding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (encoding, len(body)) + body


def bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [(b"gzip", gzip.compress(b"hello")), (b"deflate", zlib.compress(b"hello")), (b"deflate", bare_deflate(b"hello"))],
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


# ------------------------------------------------------------------ connections that fail
async def test_refused_connections_are_unavailable() -> None:
    """Nobody listens: UpstreamUnavailable, and the message holds neither address nor credentials."""
    async with Upstream(always(OK)) as upstream:
        url = upstream.url.replace("localhost", "user:pass@localhost")
    async with client() as http:
        with pytest.raises(UpstreamUnavailable) as caught:
            await asyncio.wait_for(http.post(url, {}, b"{}"), 5)
        assert not {"user", "pass", "localhost"} & set(str(caught.value).replace("@", " ").split())


@pytest.mark.parametrize("url", ["http://[x/", "ftp://localhost/", "http:///v1", f"http://{'a' * 64}.example/"])
async def test_unusable_addresses_are_unavailable(url: str) -> None:
    """A mistyped base URL or an impossible host is a fault of that backend, never a crash."""
    async with client() as http:
        with pytest.raises(UpstreamUnavailable):
            await ask(http, url)


async def test_a_key_with_a_line_break_is_refused() -> None:
    """A header that could smuggle a second one is never sent."""
    async with Upstream(always(OK)) as upstream, client() as http:
        with pytest.raises(UpstreamUnavailable) as caught:
            await http.post(upstream.url, {"authorization": "Bearer sk-secret\r\nx-a: b"}, b"{}")
        assert "sk-secret" not in str(caught.value)
        assert upstream.requests == []


async def test_a_handshake_without_end_is_a_connect_timeout() -> None:
    """TCP opens, TLS never answers: the connect timeout covers it."""
    async with Upstream(silent) as upstream, client(connect_timeout=0.05) as http:
        with pytest.raises(UpstreamTimeout):
            await ask(http, upstream.url.replace("http:", "https:"))


async def test_a_silent_answer_outlives_the_connect_timeout() -> None:
    """Once connected there is no clock: the driver keeps its own."""

    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.6)
        await exchange.send(OK)

    async with Upstream(script) as upstream, client(connect_timeout=0.5) as http:
        assert await (await ask(http, upstream.url)).read() == b"hi"


async def test_an_idle_connection_that_was_closed_is_replaced_once() -> None:
    """A kept connection that takes the request and closes without a byte: sent again on a new one."""

    async def script(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.send(OK)
        else:
            exchange.writer.close()

    async with Upstream(script) as upstream, client() as http:
        for _ in range(3):
            assert await (await ask(http, upstream.url)).read() == b"hi"
        assert [(r.connection, r.number) for r in upstream.requests] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]


async def test_the_repetition_takes_a_new_connection() -> None:
    """Other kept connections may be dead as well: the repetition never gambles on one of them."""
    both = asyncio.Barrier(2)

    async def script(exchange: Exchange) -> None:
        if exchange.number == 1:
            if exchange.connection <= 2:
                await both.wait()
            await exchange.send(OK)
        else:
            exchange.writer.close()

    async with Upstream(script) as upstream, client() as http:
        replies = await asyncio.gather(ask(http, upstream.url), ask(http, upstream.url))
        for reply in replies:
            await reply.read()
        assert await (await ask(http, upstream.url)).read() == b"hi"
        assert upstream.requests[-1].connection == 3
        assert len(upstream.requests) == 4


async def test_a_new_connection_that_dies_is_not_tried_again() -> None:
    """A backend that crashes on a request is not sent it twice."""

    async def script(exchange: Exchange) -> None:
        exchange.writer.close()

    async with Upstream(script) as upstream, client() as http:
        with pytest.raises(UpstreamUnavailable):
            await ask(http, upstream.url)
        assert len(upstream.requests) == 1


async def test_a_half_answer_on_a_kept_connection_is_not_tried_again() -> None:
    """As soon as anything of the answer was received, the request counts as answered."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(OK if exchange.number == 1 else b"HTTP/1.1 200 O")
        if exchange.number == 2:
            exchange.writer.close()

    async with Upstream(script) as upstream, client() as http:
        await (await ask(http, upstream.url)).read()
        with pytest.raises(UpstreamFault):
            await ask(http, upstream.url)
        assert len(upstream.requests) == 2


# ------------------------------------------------------------------ leaving
async def test_cancelling_before_the_head_frees_the_backend() -> None:
    """The connection is dropped within a second and its place is free again."""
    async with Upstream(silent) as upstream, client(max_connections=1) as http:
        for _ in range(3):
            upstream.asked.clear()
            upstream.left.clear()
            task = asyncio.create_task(http.post(upstream.url, HEADERS, b"{}"))
            await asyncio.wait_for(upstream.asked.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(upstream.left.wait(), BOUND)


async def test_cancelling_while_connecting_frees_the_place() -> None:
    """A task cancelled before it has a connection leaves nothing behind."""
    async with Upstream(silent) as upstream, client(max_connections=1) as http:
        for _ in range(3):
            task = asyncio.create_task(http.post(upstream.url, HEADERS, b"{}"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_leaving_mid_body_frees_the_backend() -> None:
    """Cancelled while it waits for a piece, then closed: the backend sees the end within a second."""
    async with Upstream(always(CHUNKED + b"5\r\nhello\r\n")) as upstream, client(max_connections=1) as http:
        for _ in range(3):
            upstream.left.clear()
            reply = await ask(http, upstream.url)
            assert await reply.chunk() == b"hello"
            waiting = asyncio.create_task(reply.chunk())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            reply.close()
            await asyncio.wait_for(upstream.left.wait(), BOUND)


async def test_leaving_after_the_last_byte_spares_the_next_request() -> None:
    """A reply closed before its end was read may have passed its connection on: that one must not be cut."""
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if exchange.number == 2:
            await go_on.wait()
        await exchange.send(OK)

    async with Upstream(script) as upstream, client() as http:
        first = await ask(http, upstream.url)
        assert await first.chunk() == b"hi"
        upstream.asked.clear()
        second = asyncio.create_task(ask(http, upstream.url))
        await asyncio.wait_for(upstream.asked.wait(), 5)
        first.close()
        go_on.set()
        assert await (await second).read() == b"hi"
        assert (upstream.connections, len(upstream.requests)) == (1, 2)


async def test_a_full_pool_refuses() -> None:
    """There is no second queue behind the admission's: one connection too many is refused at once."""
    async with Upstream(always(CHUNKED)) as upstream, client(max_connections=2) as http:
        replies = [await ask(http, upstream.url) for _ in range(2)]
        with pytest.raises(UpstreamUnavailable):
            await ask(http, upstream.url)
        replies[0].close()
        replies.append(await ask(http, upstream.url))
        for reply in replies:
            reply.close()


async def test_a_closed_client_refuses_and_breaks_off() -> None:
    """After `aclose` an answer being read fails, a new request is refused, closing again is fine."""
    async with Upstream(always(CHUNKED)) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        waiting = asyncio.create_task(reply.chunk())
        await asyncio.sleep(0)
        await http.aclose()
        for broken_off in (waiting, reply.chunk()):
            with pytest.raises(UpstreamUnavailable):
                await asyncio.wait_for(broken_off, 5)
        with pytest.raises(UpstreamUnavailable):
            await ask(http, upstream.url)
        assert len(upstream.requests) == 1


# ------------------------------------------------------------------ TLS
@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[trustme.CA]:
    """A certificate authority that SSL_CERT_FILE names."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def served_by(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_tls_with_the_environments_authority(authority: trustme.CA) -> None:
    """A private authority is trusted by SSL_CERT_FILE alone, and TLS connections are kept."""
    async with Upstream(always(OK), served_by(authority, "localhost")) as upstream, client() as http:
        for _ in range(2):
            assert await (await ask(http, upstream.url)).read() == b"hi"
        assert upstream.connections == 1


async def test_certificates_of_others_are_refused(authority: trustme.CA) -> None:
    """An unknown authority and a wrong name are both UpstreamUnavailable, before a byte of the prompt is sent."""
    for context in (served_by(trustme.CA(), "localhost"), served_by(authority, "other.example")):
        async with Upstream(always(OK), context) as upstream, client() as http:
            with pytest.raises(UpstreamUnavailable, match="certificate"):
                await ask(http, upstream.url)
            assert upstream.requests == []


async def test_plain_text_on_a_tls_port_is_unavailable(authority: trustme.CA) -> None:
    """A backend that speaks HTTP where HTTPS was configured fails the handshake."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server, client() as http:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamUnavailable):
            await ask(http, f"https://localhost:{port}/")


async def test_leaving_frees_a_tls_backend(authority: trustme.CA) -> None:
    """TLS connections too are dropped within a second, before the head and mid-body."""
    context = served_by(authority, "localhost")
    async with Upstream(silent, context) as upstream, client() as http:
        task = asyncio.create_task(http.post(upstream.url, HEADERS, b"{}"))
        await asyncio.wait_for(upstream.asked.wait(), 5)
        task.cancel()
        await asyncio.wait_for(upstream.left.wait(), BOUND)
        with pytest.raises(asyncio.CancelledError):
            await task
    async with Upstream(always(CHUNKED + b"5\r\nhello\r\n"), context) as upstream, client() as http:
        reply = await ask(http, upstream.url)
        assert await reply.chunk() == b"hello"
        reply.close()
        await asyncio.wait_for(upstream.left.wait(), BOUND)


# ------------------------------------------------------------------ proxies
@asynccontextmanager
async def tunnel() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy on a port: answers CONNECT by joining both sides, anything else with "hi"; and what it was asked."""
    heads: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if not heads[-1].startswith(b"CONNECT"):
            await reader.readexactly(content_length(heads[-1]))
            writer.write(OK)
            await reader.read()
            return writer.transport.abort()
        port = int(heads[-1].split()[1].rpartition(b":")[2])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


async def test_http_goes_through_the_environments_proxy(environment: pytest.MonkeyPatch) -> None:
    """With `proxies` the request is sent to HTTP_PROXY with the whole address and the proxy's credentials."""
    async with tunnel() as (port, heads), client(proxies=True) as http:
        environment.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{port}")
        assert await (await ask(http, "http://backend.example/v1/chat/completions")).read() == b"hi"
        assert heads[0].startswith(b"POST http://backend.example/v1/chat/completions HTTP/1.1\r\n")
        assert b"proxy-authorization: basic dxnlcjpwyxnz" in heads[0].lower()


async def test_https_goes_through_a_tunnel(environment: pytest.MonkeyPatch, authority: trustme.CA) -> None:
    """TLS is end to end: the proxy sees the CONNECT and neither key nor prompt; the tunnel is kept."""
    async with Upstream(always(OK), served_by(authority, "localhost")) as upstream, tunnel() as (port, heads):
        environment.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        async with client(proxies=True) as http:
            for _ in range(2):
                assert await (await ask(http, upstream.url)).read() == b"hi"
        assert [head.split(b" ")[0] for head in heads] == [b"CONNECT"]
        assert b"sk-secret" not in heads[0]


async def test_proxies_are_never_used_when_switched_off(environment: pytest.MonkeyPatch) -> None:
    """A backend of the local zone is reached directly, whatever the environment says."""
    async with Upstream(always(OK)) as upstream, tunnel() as (port, heads), client(proxies=False) as http:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            environment.setenv(name, f"http://127.0.0.1:{port}")
        assert await (await ask(http, upstream.url)).read() == b"hi"
        assert (heads, upstream.connections) == ([], 1)


async def test_no_proxy_is_honoured(environment: pytest.MonkeyPatch) -> None:
    """A host that NO_PROXY names is reached directly."""
    async with Upstream(always(OK)) as upstream, tunnel() as (port, heads), client(proxies=True) as http:
        environment.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        environment.setenv("NO_PROXY", "localhost")
        assert await (await ask(http, upstream.url)).read() == b"hi"
        assert heads == []


async def test_proxies_that_cannot_be_used_are_unavailable(environment: pytest.MonkeyPatch) -> None:
    """A dead proxy, and a kind of proxy we cannot speak to, never lead to a direct connection."""
    async with Upstream(always(OK)) as upstream:
        for proxy in ("socks5://127.0.0.1:1", "http://127.0.0.1:1"):
            environment.setenv("HTTP_PROXY", proxy)
            async with client(proxies=True) as http:
                with pytest.raises(UpstreamUnavailable):
                    await ask(http, upstream.url)
        assert upstream.connections == 0


# ------------------------------------------------------------------ every exception has a meaning
MEANT = {
    UpstreamTimeout: "ServerTimeoutError ConnectionTimeoutError SocketTimeoutError",
    UpstreamMalformed: """
        ClientResponseError ContentTypeError WSServerHandshakeError TooManyRedirects ClientPayloadError
        HttpProcessingError BadHttpMessage HttpBadRequest PayloadEncodingError ContentEncodingError
        TransferEncodingError ContentLengthError DecompressSizeError LineTooLong InvalidHeader BadStatusLine
        BadHttpMethod InvalidURLError""",
    UpstreamUnavailable: """
        ClientError ClientConnectionError ClientConnectionResetError ClientOSError ClientConnectorError
        ClientConnectorDNSError ClientProxyConnectionError UnixClientConnectorError ServerConnectionError
        ServerDisconnectedError ServerFingerprintMismatch ClientHttpProxyError UploadAbortedError InvalidURL
        InvalidUrlClientError RedirectClientError NonHttpUrlClientError InvalidUrlRedirectClientError
        NonHttpUrlRedirectClientError ClientSSLError ClientConnectorSSLError ClientConnectorCertificateError""",
}
OF_OTHER_USES = {"WSMessageTypeError", "WebSocketError", "EofStream"}  # websockets, the library's own queues


def library_exceptions() -> set[type[BaseException]]:
    modules = (aiohttp, aiohttp.client_exceptions, aiohttp.http_exceptions, aiohttp.http)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {value for module in modules for value in vars(module).values() if inspect.isclass(value)}
    ours = {one for one in found if issubclass(one, BaseException) and one.__module__.startswith("aiohttp")}
    return {one for one in ours if one.__name__ not in OF_OTHER_USES and not issubclass(one, Warning)}


def test_every_exception_of_the_library_is_mapped() -> None:
    """A release that adds an exception fails here until its meaning is decided."""
    meaning = {name: fault for fault, names in MEANT.items() for name in names.split()}
    found = library_exceptions()
    assert {one.__name__ for one in found} == set(meaning)
    for one in found:
        error = one.__new__(one)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            error.message = "Server disconnected"
        assert type(translate(error)) is meaning[one.__name__], one
