"""How the HTTP client makes, keeps, repeats and drops connections, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import UpstreamFault, UpstreamTimeout, UpstreamUnavailable
from tests.backends.raw_upstream import (
    BOUND,
    CHUNKED,
    HEADERS,
    OK,
    Exchange,
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
