"""How the HTTP client makes, keeps, repeats and drops connections, over real sockets."""

from __future__ import annotations

import asyncio
import builtins
import gc
import inspect
import socket
import ssl
from collections.abc import Iterator

import httptools
import httptools.parser.errors
import pytest

from app.backends.http_client import HttpClient, translate
from app.backends.http_connection import Connection, HttpReply
from app.errors import UpstreamFault, UpstreamTimeout, UpstreamUnavailable
from tests.backends.raw_upstream import (
    BOUND,
    CHUNKED,
    HEADERS,
    OK,
    Exchange,
    Script,
    Upstream,
    always,
    ask,
    client,
    silent,
)


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


# ------------------------------------------------------------------ answers that come before the request was read
HUGE = b"x" * 16_000_000  # more than any socket's buffers


async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes, eof: bool) -> None:
    """Refuse a request at its head, and never read its body."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer)
        if eof:
            writer.write_eof()
        await asyncio.Event().wait()
    finally:
        writer.transport.abort()


EARLY = {
    "kept": (b"HTTP/1.1 413 T\r\ncontent-length: 2\r\n\r\nno", False),
    "not kept": (b"HTTP/1.1 413 T\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno", False),
    "half closed": (b"HTTP/1.1 413 T\r\n\r\nno", True),
}


@pytest.mark.parametrize(("answer", "eof"), EARLY.values(), ids=EARLY)
async def test_an_answer_before_the_request_was_read(answer: bytes, eof: bool) -> None:
    """It is whole; its connection, which the rest of the request clogs, neither serves again nor keeps its place."""
    tasks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(too_large(reader, writer, answer, eof)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server, client(max_connections=1) as http:
        for _ in range(2):
            reply = await ask(http, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", HUGE)
            assert (reply.status, await asyncio.wait_for(reply.read(), 5)) == (413, b"no")
        assert len(tasks) == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
    """A task cancelled before it has a connection leaves nothing behind: the only place is free."""
    async with Upstream(always(OK)) as upstream, client(max_connections=1) as http:
        for _ in range(3):
            task = asyncio.create_task(http.post(upstream.url, HEADERS, b"{}"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await (await ask(http, upstream.url)).read() == b"hi"


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


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collection within the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> int:
    return sum([type(one) in (Connection, HttpReply) for one in gc.get_objects()])


ENDINGS = {
    "abandoned": (always(CHUNKED + b"5\r\nhello\r\n"), False),
    "cut": (always(CHUNKED + b"5\r\nhello\r\n", then_close=True), True),
    "swallowed": (always(b"", then_close=True), True),
    "malformed": (always(b"SSH-2.0\r\n\r\n"), True),
    "not kept": (always(OK.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)), True),
}


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(("script", "whole"), ENDINGS.values(), ids=ENDINGS)
async def test_what_is_over_is_freed_without_a_collection(script: Script, whole: bool) -> None:
    """Neither a connection nor an answer is part of a cycle once it has ended, in whatever way."""
    before = alive()
    async with Upstream(script) as upstream, client() as http:
        for _ in range(3):
            await use_up(http, upstream.url, whole)
        del http
    await asyncio.sleep(0)
    assert alive() == before


async def use_up(http: HttpClient, url: str, whole: bool) -> None:
    try:
        reply = await http.post(url, HEADERS, b"{}")  # `wait_for` makes cycles of exceptions
        await (reply.read() if whole else reply.chunk())
        reply.close()
    except UpstreamFault:
        pass


def test_a_connection_that_is_already_lost_is_counted_no_longer() -> None:
    """A request that comes too late for it tells its pool again."""
    lost: list[Connection] = []
    connection = Connection(on_free=lost.append, on_lost=lost.append)
    with asyncio.Runner() as runner:
        connection.send(HttpReply(connection, runner.get_loop()), b"", b"")
    assert lost == [connection]


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


async def test_idle_connections_are_closed_in_time() -> None:
    """Before a load balancer drops them in silence."""
    async with Upstream(always(OK)) as upstream, client(keep_idle=0.1) as http:
        await (await ask(http, upstream.url)).read()
        await asyncio.wait_for(upstream.left.wait(), BOUND + 1)
        await (await ask(http, upstream.url)).read()
        assert upstream.connections == 2


async def test_a_backend_that_speaks_unasked_is_left() -> None:
    """Bytes on an idle connection must not become the answer to the next request."""
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(OK)
        if exchange.connection == 1:
            await go_on.wait()
            await exchange.send(OK.replace(b"hi", b"no"))

    async with Upstream(script) as upstream, client() as http:
        await (await ask(http, upstream.url)).read()
        go_on.set()
        await asyncio.wait_for(upstream.left.wait(), BOUND)
        assert await (await ask(http, upstream.url)).read() == b"hi"
        assert upstream.connections == 2


# ------------------------------------------------------------------ every exception has a meaning
MEANT = {
    UpstreamTimeout: "TimeoutError",
    UpstreamUnavailable: """
        OSError BlockingIOError ChildProcessError ConnectionError BrokenPipeError ConnectionAbortedError
        ConnectionRefusedError ConnectionResetError FileExistsError FileNotFoundError InterruptedError
        IsADirectoryError NotADirectoryError PermissionError ProcessLookupError gaierror herror
        SSLError SSLCertVerificationError SSLEOFError SSLSyscallError SSLWantReadError SSLWantWriteError
        SSLZeroReturnError ValueError UnicodeError UnicodeEncodeError""",
}


def connect_exceptions() -> set[type[BaseException]]:
    """What making a connection may raise: the system's errors, those of names and of TLS, and values it cannot use."""
    found = {value for module in (builtins, socket, ssl) for value in vars(module).values() if inspect.isclass(value)}
    return {one for one in found if issubclass(one, OSError)} | {ValueError, UnicodeError, UnicodeEncodeError}


def test_every_exception_of_a_connection_is_mapped() -> None:
    """A release of Python that adds one fails here until its meaning is decided."""
    meaning = {name: fault for fault, names in MEANT.items() for name in names.split()}
    found = connect_exceptions()
    assert {one.__name__ for one in found} == set(meaning)
    for one in found:
        assert type(translate(one.__new__(one))) is meaning[one.__name__], one


def test_every_exception_of_the_parser_is_foreseen() -> None:
    """The connection knows two families of them."""
    found = {value for value in vars(httptools.parser.errors).values() if inspect.isclass(value)}
    assert {one for one in found if not issubclass(one, httptools.HttpParserError)} == {httptools.HttpParserUpgrade}
