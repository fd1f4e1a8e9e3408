"""The data path's HTTP/1.1 client: one POST, its head, then its body piece by piece as it arrives.

Our own since the libraries cost more than the rest of the gateway (docs/decisions/2026-11-25-http-client.md): a pool of
connections, each a parser behind a socket. It decides how connections are made, kept, repeated and dropped, and which
`UpstreamFault` each failure is. It never follows redirects, keeps cookies, reads netrc, logs, or waits for a free
connection: the gateway's admission is the only queue. Its one clock is the connect timeout (name, TCP, proxy, TLS);
a silent stream is the driver's business.

A request that a kept connection swallowed without a byte of answer (the server closed it while idle) is sent
once more, on a new connection; a new connection that dies is not repeated (RFC 9112 section 9.3.1).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Final

import aiohappyeyeballs

from app.backends.http_connection import Connection, HttpReply
from app.backends.http_route import Hop, Way, direct, through_proxy
from app.errors import UpstreamFault, UpstreamTimeout, UpstreamUnavailable

KEEP_IDLE: Final = 50.0  # seconds; load balancers drop idle connections silently from about 60 on
EYEBALLS: Final = 0.25  # seconds an address may take before the next one is tried beside it (RFC 8305)

FAULTS: Final[tuple[tuple[type[BaseException], type[UpstreamFault], str], ...]] = (
    # First match wins: subclasses stand before their bases. The texts are all a client ever sees of an exception.
    (ssl.SSLCertVerificationError, UpstreamUnavailable, "the backend's certificate is not trusted"),
    (ssl.SSLError, UpstreamUnavailable, "the TLS handshake with the backend failed"),
    (socket.gaierror, UpstreamUnavailable, "the backend's host name is not known"),
    (TimeoutError, UpstreamTimeout, "no connection to the backend within its connect timeout"),
    (OSError, UpstreamUnavailable, "the backend cannot be reached"),
    (ValueError, UpstreamUnavailable, "the request to the backend cannot be made: check its URL, key and proxy"),
)
KNOWN: Final = tuple(known for known, _, _ in FAULTS)


def translate(error: BaseException) -> UpstreamFault:
    """The fault that `error`, an instance of a class in FAULTS, stands for; never with the error's own words."""
    return next(fault(text) for known, fault, text in FAULTS if isinstance(error, known))


class HttpClient:
    """Posts to backends over kept connections. Bound to the event loop of its first `post`.

    `proxies`: honour HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or use no proxy whatever they say.
    `connect_timeout` and `keep_idle` in seconds. More than `max_connections` answers at once are refused, not queued.
    """

    def __init__(
        self, *, proxies: bool, connect_timeout: float, max_connections: int, keep_idle: float = KEEP_IDLE
    ) -> None:
        self._keep_idle = keep_idle
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._connecting = 0
        self._busy: dict[Connection, Way] = {}
        self._idle: dict[Way, deque[Connection]] = {}  # the one used last stands last
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._route = lru_cache(maxsize=256)(through_proxy if proxies else direct)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send, and return at the response's head whatever its status. Raises UpstreamFault."""
        if self._closed or self._connecting + len(self._busy) >= self._max_connections:
            raise UpstreamUnavailable("the gateway has no free connection to the backend")
        try:
            route = self._route(url)
            head = route.start + _lines(headers, len(body))
            kept = self._kept(route.way)
            if kept is not None:
                try:
                    return await self._ask(kept, head, body)
                except UpstreamUnavailable:
                    if not kept.swallowed:
                        raise
            return await self._ask(await self._connect(route.way), head, body)
        except KNOWN as error:
            raise translate(error) from None

    async def aclose(self) -> None:
        """Drop every connection; answers still being read fail. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in [*self._busy, *(one for kept in self._idle.values() for one in kept)]:
            connection.fail(UpstreamUnavailable("the gateway has closed its connection to the backend"))
        await asyncio.sleep(0)  # a socket is closed by the loop

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # the system's store, or SSL_CERT_FILE and SSL_CERT_DIR

    async def _ask(self, connection: Connection, head: bytes, body: bytes) -> HttpReply:
        reply = HttpReply(connection, self._loop)
        connection.send(reply, head, body)
        try:
            await reply.head()
        except asyncio.CancelledError:
            reply.close()
            raise
        return reply

    # --- connections ------------------------------------------------------------------------------------
    def _kept(self, way: Way) -> Connection | None:
        kept = self._idle.get(way)
        if not kept:
            return None
        connection = kept.pop()
        self._busy[connection] = way
        return connection

    def _free(self, connection: Connection) -> None:
        way = self._busy.pop(connection)
        connection.idle_since = self._loop.time()
        self._idle.setdefault(way, deque()).append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._keep_idle, self._sweep)

    def _lost(self, connection: Connection) -> None:
        if self._busy.pop(connection, None) is None:
            for kept in self._idle.values():
                if connection in kept:
                    kept.remove(connection)

    def _sweep(self) -> None:
        """Close what was idle for too long, and look again as long as anything is kept."""
        self._sweeper = None
        now = self._loop.time()
        for kept in self._idle.values():
            while kept and now - kept[0].idle_since >= self._keep_idle:
                kept.popleft().fail(UpstreamUnavailable("the connection was idle"))
        oldest = [kept[0].idle_since for kept in self._idle.values() if kept]
        if oldest:
            self._sweeper = self._loop.call_at(min(oldest) + self._keep_idle, self._sweep)

    async def _connect(self, way: Way) -> Connection:
        self._connecting += 1
        connection = Connection(self._free, self._lost)
        try:
            async with asyncio.timeout(self._connect_timeout):
                transport = await self._open(way.hop, connection)
                if way.tunnel is not None:
                    await self._tunnel(transport, way.tunnel, way.connect, connection)
            if self._closed:
                raise UpstreamUnavailable("the gateway has closed its connection to the backend")
        except BaseException:
            connection.fail(UpstreamUnavailable("the backend cannot be reached"))
            raise
        finally:
            self._connecting -= 1
        self._busy[connection] = way
        return connection

    async def _open(self, hop: Hop, connection: Connection) -> asyncio.Transport:
        loop = self._loop
        addresses = await loop.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
        reached = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=EYEBALLS, interleave=1, loop=loop
        )
        transport, _ = await loop.create_connection(
            lambda: connection,
            sock=reached,
            ssl=self._trust if hop.tls else None,
            server_hostname=hop.certified,
        )
        return transport

    async def _tunnel(self, transport: asyncio.Transport, backend: Hop, asked: bytes, connection: Connection) -> None:
        reply = HttpReply(connection, self._loop)
        connection.tunnel(reply, asked)
        await reply.head()
        if reply.status // 100 != 2:
            raise UpstreamUnavailable("the proxy refused the connection")
        outer = transport.get_extra_info("ssl_object")
        try:
            secured = await self._loop.start_tls(transport, connection, self._trust, server_hostname=backend.certified)
        except TypeError:  # asyncio's way of failing to close TLS within TLS, whatever the handshake's error was
            secured = None
        # Both loops take a connection that was lost within the handshake for one that is made.
        if secured is None or secured.get_extra_info("ssl_object") in (None, outer):
            raise UpstreamUnavailable("the TLS handshake with the backend failed")
        connection.secured(secured)


def _lines(headers: Mapping[str, str], length: int) -> bytes:
    """The headers of a request. Raises ValueError for a value that would begin another line.

    Compression would cost the small model's machine time and hold back a stream.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise ValueError("a header holds a line break")
    return f"{text}accept-encoding: identity\r\ncontent-length: {length}\r\n\r\n".encode("latin-1")
