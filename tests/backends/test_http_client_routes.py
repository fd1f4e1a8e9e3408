"""TLS and proxies of the HTTP client, with certificates made for the test and a proxy of our own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from app.errors import UpstreamUnavailable
from tests.backends.raw_upstream import (
    BOUND,
    CHUNKED,
    HEADERS,
    OK,
    Upstream,
    always,
    ask,
    client,
    content_length,
    silent,
)


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
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


async def test_a_refusal_of_what_was_not_read_over_tls(authority: trustme.CA) -> None:
    """The rest of a large request clogs its connection: the next one takes another."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"HTTP/1.1 413 T\r\ncontent-length: 2\r\n\r\nno")
            await over.wait()
        finally:
            writer.transport.abort()

    over = asyncio.Event()
    context = served_by(authority, "localhost")
    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server, client() as http:
        for _ in range(2):
            reply = await ask(http, f"https://localhost:{server.sockets[0].getsockname()[1]}/", b"x" * 16_000_000)
            assert (reply.status, await asyncio.wait_for(reply.read(), 5)) == (413, b"no")
        over.set()


# ------------------------------------------------------------------ proxies
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@asynccontextmanager
async def tunnel(
    established: bytes = ESTABLISHED, tls: ssl.SSLContext | None = None, joins: bool = True
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy on a port: answers CONNECT by joining both sides (or closes), anything else with "hi"; and what it was
    asked."""
    heads: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.transport.abort()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if not heads[-1].startswith(b"CONNECT"):
            await reader.readexactly(content_length(heads[-1]))
            writer.write(OK)
            await reader.read()
            return
        if not joins:
            writer.write(established)
            writer.close()
            await writer.wait_closed()
            return
        port = int(heads[-1].split()[1].rpartition(b":")[2])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(established)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
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


CONNECTED = {
    "no length": ESTABLISHED,
    "length 0": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "a length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
    "chunks": CHUNKED,
    "closing": b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n",
    "another status": b"HTTP/1.1 204 No Content\r\n\r\n",
    "hints before it": b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED,
}


@pytest.mark.parametrize("established", CONNECTED.values(), ids=CONNECTED)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel_stands_however_its_proxy_says_so(
    environment: pytest.MonkeyPatch, authority: trustme.CA, established: bytes, scheme: str
) -> None:
    """What the answer to a CONNECT says of its length means nothing; the proxy may speak TLS itself."""
    tls = served_by(authority, "localhost")
    async with (
        Upstream(always(OK), tls) as upstream,
        tunnel(established, tls if scheme == "https" else None) as (port, _),
        client(proxies=True) as http,
    ):
        environment.setenv("HTTPS_PROXY", f"{scheme}://localhost:{port}")
        for _ in range(2):
            assert await (await ask(http, upstream.url)).read() == b"hi"
        assert upstream.connections == 1


REFUSED = {
    "refused": b"HTTP/1.1 407 Auth\r\ncontent-length: 2\r\n\r\nno",
    "refused in chunks": CHUNKED.replace(b"200", b"407") + b"2\r\nno\r\n0\r\n\r\n",
    "closed within TLS": ESTABLISHED,
    "closed": b"",
}


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel_that_fails_is_unavailable(
    environment: pytest.MonkeyPatch,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    answer: bytes,
    scheme: str,
) -> None:
    """At once, without an exception in our callbacks, and the place is free again."""
    tls = served_by(authority, "localhost")
    async with (
        Upstream(always(OK), tls) as upstream,
        tunnel(answer, tls if scheme == "https" else None, joins=False) as (port, _),
        client(proxies=True, max_connections=1) as http,
    ):
        environment.setenv("HTTPS_PROXY", f"{scheme}://localhost:{port}")
        for _ in range(2):
            with pytest.raises(UpstreamUnavailable, match=r"backend|proxy"):
                await ask(http, upstream.url)
    if scheme == "http":  # within TLS asyncio has exceptions of its own
        assert not [record for record in caplog.records if record.exc_info]


async def test_certificates_are_checked_within_a_tunnel(environment: pytest.MonkeyPatch, authority: trustme.CA) -> None:
    """Also behind a proxy that speaks TLS, where asyncio fails in its own way."""
    tls = served_by(authority, "localhost")
    async with (
        Upstream(always(OK), served_by(trustme.CA(), "localhost")) as upstream,
        tunnel(tls=tls) as (port, _),
        client(proxies=True) as http,
    ):
        environment.setenv("HTTPS_PROXY", f"https://localhost:{port}")
        with pytest.raises(UpstreamUnavailable):
            await ask(http, upstream.url)
        assert upstream.requests == []


async def test_an_absolute_name_is_certified_without_its_dot(
    environment: pytest.MonkeyPatch, authority: trustme.CA
) -> None:
    """Certificates hold no names that end in one."""
    async with (
        Upstream(always(OK), served_by(authority, "localhost")) as upstream,
        tunnel() as (port, _),
        client(proxies=True) as http,
    ):
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert await (await ask(http, upstream.url.replace("localhost", "localhost."))).read() == b"hi"


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
