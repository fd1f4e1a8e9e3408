"""The data path's HTTP/1.1 client: one POST, its head, then its body piece by piece as it arrives.

The only file that knows aiohttp (why: docs/decisions/2026-11-23-http-client.md). It decides how connections are
made, kept, repeated and dropped, and which `UpstreamFault` each of the library's exceptions is. It never follows
redirects, keeps cookies, reads netrc, logs, or waits for a free connection: the gateway's admission is the only
queue. Its one clock is the connect timeout (name, TCP, proxy, TLS); a silent stream is the driver's business.

A request that a kept connection swallowed without a byte of answer (the server closed it while idle) is sent
once more, on a new connection; a new connection that dies is not repeated (RFC 9112 section 9.3.1).
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Final
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from aiohttp.tracing import Trace
from yarl import URL

from app.errors import UpstreamFault, UpstreamMalformed, UpstreamTimeout, UpstreamUnavailable

KEEP_IDLE: Final = 50.0  # seconds; load balancers drop idle connections silently from about 60 on
MAX_HEADER: Final = 65_536  # bytes of one header line
MAX_HEADERS: Final = 256

FAULTS: Final[tuple[tuple[type[BaseException], type[UpstreamFault], str], ...]] = (
    # First match wins: subclasses stand before their bases. The texts are all a client ever sees of an exception.
    (aiohttp.ServerTimeoutError, UpstreamTimeout, "no connection to the backend within its connect timeout"),
    (aiohttp.ServerFingerprintMismatch, UpstreamUnavailable, "the backend's certificate is not trusted"),
    (aiohttp.ClientConnectorCertificateError, UpstreamUnavailable, "the backend's certificate is not trusted"),
    (aiohttp.ClientSSLError, UpstreamUnavailable, "the TLS handshake with the backend failed"),
    (aiohttp.ClientProxyConnectionError, UpstreamUnavailable, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, UpstreamUnavailable, "the proxy refused the connection"),
    (aiohttp.ClientConnectorDNSError, UpstreamUnavailable, "the backend's host name is not known"),
    (aiohttp.ClientConnectorError, UpstreamUnavailable, "the backend cannot be reached"),
    (aiohttp.ClientConnectionError, UpstreamUnavailable, "the connection to the backend was lost"),
    (aiohttp.ClientPayloadError, UpstreamMalformed, "the backend's answer broke off or is not valid HTTP"),
    (aiohttp.ClientResponseError, UpstreamMalformed, "the backend's answer is not valid HTTP"),
    (HttpProcessingError, UpstreamMalformed, "the backend's answer is not valid HTTP"),
    (zlib.error, UpstreamMalformed, "the backend's compressed answer cannot be read"),
    (aiohttp.ClientError, UpstreamUnavailable, "the request to the backend cannot be made"),
    (TimeoutError, UpstreamTimeout, "no connection to the backend within its connect timeout"),
    (OSError, UpstreamUnavailable, "the connection to the backend was lost"),
    (ValueError, UpstreamUnavailable, "the request to the backend cannot be made: check its URL, key and proxy"),
)
LIBRARY_FAULTS: Final = tuple(known for known, _, _ in FAULTS)


def translate(error: BaseException) -> UpstreamFault:
    """The fault that `error`, an instance of a class in FAULTS, stands for; never with the error's own words."""
    if isinstance(error, aiohttp.ClientConnectionError) and _partial(error):
        return UpstreamMalformed("the backend's answer broke off within its head")
    return next(fault(text) for known, fault, text in FAULTS if isinstance(error, known))


class _Body(aiohttp.Payload):
    """The request's bytes, and what became of the connection they went to."""

    _autoclose = True

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self.fresh = False  # asks the pool for a new connection
        self.reused = False  # told by the pool
        self.transport: asyncio.Transport | None = None  # told by the pool

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value, encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._value)


class _Request(aiohttp.ClientRequest):
    """Says what it is told to and nothing of the library's own. Its parameter for that, `skip_auto_headers`, sorts and
    copies headers anew for each request (measured: 1 % of one)."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Nothing."""


class _Pool(aiohttp.TCPConnector):
    """Kept connections that tell a request whether it got a used one, and give it a new one when it asks."""

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_IDLE)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        body = req.body
        if not isinstance(body, _Body):  # the CONNECT to a proxy
            return connection
        while body.fresh and connection.protocol in self._used:
            connection.close()
            connection = await super().connect(req, traces, timeout)
        assert connection.protocol is not None
        body.reused, body.transport = connection.protocol in self._used, connection.transport
        self._used.add(connection.protocol)
        return connection


class _Inflate:
    """Undoes a gzip or deflate that nobody asked for. Raises zlib.error on bytes that are neither."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None

    def __call__(self, piece: bytes) -> bytes:
        if self._stream is None:
            bare = self._coding == "deflate" and piece[0] & 0x0F != 8  # some servers leave the zlib header out
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)  # 32: gzip or zlib
        return self._stream.decompress(piece)

    def end(self) -> None:
        if self._stream is not None and not self._stream.eof:
            raise zlib.error("the stream is incomplete")


class HttpReply:
    """One answer after its head. `chunk` and `read` raise UpstreamFault.

    Whoever holds it reads it to its end or calls `close`: until then it occupies a connection.

    `wait` is what `chunk` waits for, without a coroutine around it: that would cost 3 % of each piece of a stream
    (measured). It raises `LIBRARY_FAULTS`, which `broken` translates; b"" is the end, and has to be told to `end`.
    """

    __slots__ = ("_inflate", "_on_end", "_response", "status", "wait")

    def __init__(self, response: aiohttp.ClientResponse, on_end: Callable[[HttpReply], None]) -> None:
        self.status: int = response.status
        self._response = response
        self._on_end: Callable[[HttpReply], None] | None = on_end
        coding = response.headers.get("content-encoding", "").lower()
        self._inflate = None if coding in ("", "identity") else _Inflate(coding)
        self.wait: Callable[[], Awaitable[bytes]] = (
            response.content.readany if self._inflate is None else self._inflated
        )

    def header(self, name: str) -> str | None:
        """The first value of a response header, in any case of letters; None if it is absent."""
        return self._response.headers.get(name)

    async def chunk(self) -> bytes:
        """The next non-empty piece, as much as has arrived; b"" at a clean end, and again after it."""
        try:
            piece = await self.wait()
        except LIBRARY_FAULTS as error:
            raise self.broken(error) from None
        if not piece:
            self.end()
        return piece

    def broken(self, error: BaseException) -> UpstreamFault:
        """Abandon it; what to raise."""
        self.close()
        return translate(error)

    async def _inflated(self) -> bytes:
        assert self._inflate is not None
        while piece := await self._response.content.readany():
            if piece := self._inflate(piece):
                return piece
        self._inflate.end()
        return b""

    async def read(self) -> bytes:
        """The whole rest of the body; its connection goes back to the pool."""
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Abandon what is left, at once; idempotent. Drops the connection unless the whole body has arrived."""
        if self._on_end is not None:
            connection = self._response.connection  # None once the library gave it to the next request
            if connection is not None:
                _abort(connection.transport)
            self._response.close()
            self.end()

    def end(self) -> None:
        """The whole body was read; idempotent."""
        if self._on_end is not None:
            self._on_end(self)
            self._on_end = None


class HttpClient:
    """Posts to backends over kept connections. Bound to the event loop of its first `post`.

    `proxies`: honour HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or use no proxy whatever they say.
    `connect_timeout` in seconds. More than `max_connections` answers at once are refused, not queued.
    """

    def __init__(self, *, proxies: bool, connect_timeout: float, max_connections: int) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._max_connections = max_connections
        self._replies: set[HttpReply] = set()  # those that still occupy a connection
        self._sending = 0
        self._closed = False
        self._route = lru_cache(maxsize=256)(_through_proxy if proxies else _direct)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send, and return at the response's head whatever its status. Raises UpstreamFault."""
        if self._closed or self._sending + len(self._replies) >= self._max_connections:
            raise UpstreamUnavailable("the gateway has no free connection to the backend")
        payload = _Body(body)
        self._sending += 1
        try:
            response = await self._send(url, headers, payload)
        except BaseException as error:
            _abort(payload.transport)
            if isinstance(error, LIBRARY_FAULTS):
                raise translate(error) from None
            raise
        finally:
            self._sending -= 1
        reply = HttpReply(response, self._replies.discard)
        self._replies.add(reply)
        return reply

    async def aclose(self) -> None:
        """Drop every connection; answers still being read fail. Idempotent."""
        self._closed = True
        for reply in tuple(self._replies):
            reply.close()
        if "_session" in self.__dict__:
            await self._session.close()

    async def _send(self, url: str, headers: Mapping[str, str], payload: _Body) -> aiohttp.ClientResponse:
        try:
            return await self._attempt(url, headers, payload)
        except aiohttp.ClientConnectionError as error:
            if not payload.reused or _partial(error):
                raise
        payload.fresh = True
        return await self._attempt(url, headers, payload)

    async def _attempt(self, url: str, headers: Mapping[str, str], payload: _Body) -> aiohttp.ClientResponse:
        payload.reused, payload.transport = False, None
        target, proxy = self._route(url)
        return await self._session.post(
            target,
            headers=headers,
            data=payload,
            proxy=proxy,
            ssl=self._trust if target.scheme == "https" else True,
            allow_redirects=False,
        )

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Pool(),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity"},
            request_class=_Request,
            auto_decompress=False,  # it takes a stream that is cut short for a whole one
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
        )

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # the system's store, or SSL_CERT_FILE and SSL_CERT_DIR


def _abort(transport: asyncio.Transport | None) -> None:
    """Drop a connection at once: a polite TLS goodbye may keep the backend busy for half a minute."""
    if transport is not None:
        transport.abort()


def _partial(error: aiohttp.ClientConnectionError) -> bool:
    """Whether a part of the answer's head had arrived."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _direct(url: str) -> tuple[URL, URL | None]:
    return URL(url), None


def _through_proxy(url: str) -> tuple[URL, URL | None]:
    target, proxies = URL(url), getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{target.host}:{target.port}"):
        return target, None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise ValueError("only HTTP proxies are supported")
    return target, URL(proxy)
