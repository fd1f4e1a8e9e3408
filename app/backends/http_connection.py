"""One HTTP/1.1 connection, and the answer that comes over it: bytes are handed on in the moment they arrive.

The connection parses (httptools, the parser that serves our own clients too) and carries one request at a time. The
answer keeps what nobody has asked for yet. It lets go of its connection at its own last byte, so that the next
request can have it while the answer is still being read.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final, cast

import httptools

from app.errors import UpstreamFault, UpstreamMalformed, UpstreamUnavailable
from app.ports import Give

MAX_HEAD: Final = 65_536  # bytes
MAX_HEADERS: Final = 256
HELD: Final = 262_144  # bytes that wait for their reader before the backend has to wait
_JOIN: Final = 65_536  # bytes up to which a copy is cheaper than a second write

Headers = list[tuple[bytes, bytes]]


class HttpReply:
    """One answer, from its head on. `chunk` and `read` raise UpstreamFault.

    Whoever holds it reads it to its end or calls `close`: until then it occupies a connection. While `give` is there it
    takes what arrives.
    """

    __slots__ = (
        "_connection",
        "_fault",
        "_headers",
        "_held",
        "_inflate",
        "_loop",
        "_over",
        "_size",
        "_waiter",
        "give",
        "status",
    )

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0  # until the head has come
        self._connection: Connection | None = connection
        self._loop = loop
        self._headers: Headers = []
        self._held: list[bytes] = []
        self._size = 0  # of what is held
        self._over = False  # the whole body has come
        self._fault: UpstreamFault | None = None
        self._waiter: asyncio.Future[bytes] | None = None
        self.give: Give | None = None
        self._inflate: _Inflate | None = None

    # --- for who reads ----------------------------------------------------------------------------------
    async def head(self) -> None:
        """Return when `status` and headers are there."""
        while not self.status:
            if self._fault is not None:
                raise self._broken(self._fault)
            self._waiter = self._loop.create_future()
            await self._waiter

    def header(self, name: str) -> str | None:
        """The first value of a response header, in any case of letters; None if it is absent."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self._headers if key.lower() == wanted), None)

    async def chunk(self) -> bytes:
        """The next non-empty piece, as much as has arrived; b"" at a clean end, and again after it."""
        while True:
            if self._held:
                piece = self._take()
            elif self._over:
                return self._undo(b"")
            elif self._fault is not None:
                raise self._broken(self._fault)
            else:
                self._waiter = waiter = self._loop.create_future()
                try:
                    piece = await waiter
                finally:
                    self._waiter = None
            if piece and (self._inflate is None or (piece := self._undo(piece))):
                return piece

    async def relay(self, give: Give) -> bool:
        """Hand each piece to `give` in the moment it arrives. True at a clean end, False once `give` has no room.

        `give` is called by the socket; what it raises is raised here. To wake a task for each piece would cost more
        than all that is done with it.
        """
        while self._held or self._inflate is not None or not await self._relayed(give):
            piece = await self.chunk()
            if not piece or not give(piece):
                return not piece
        return False

    async def _relayed(self, give: Give) -> bool:
        """What arrives goes to `give`. True once that has no room, False at an end, good or bad."""
        if self._over or self._fault is not None:
            return False
        self._waiter = self._loop.create_future()
        self.give = give
        try:
            await self._waiter
            return self.give is None
        finally:
            self.give = self._waiter = None

    async def read(self) -> bytes:
        """The whole rest of the body."""
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Abandon what is left, at once; idempotent. Drops the connection unless the whole body has arrived."""
        if self._connection is not None:
            self._connection.fail(UpstreamUnavailable("the answer of the backend was abandoned"))

    def _take(self) -> bytes:
        held = self._held
        piece = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._size = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    def _broken(self, fault: UpstreamFault) -> UpstreamFault:
        """What to raise; its like is kept, since one that was raised holds the frames it went through, and those us."""
        self._fault = type(fault)(fault.message)
        return fault

    def _undo(self, piece: bytes) -> bytes:
        """What a compressed piece stands for; b"" is the end."""
        if self._inflate is None:
            return piece
        try:
            return self._inflate(piece)
        except zlib.error:
            self.close()
            raise UpstreamMalformed("the backend's compressed answer cannot be read") from None

    # --- for its connection -----------------------------------------------------------------------------
    def begin(self, status: int, headers: Headers) -> None:
        self.status, self._headers = status, headers
        coding = (self.header("content-encoding") or "").lower()
        self._inflate = None if coding in ("", "identity") else _Inflate(coding)
        self._wake(b"")

    def feed(self, piece: bytes) -> bool:
        """Whether there is room for more."""
        if not self._wake(piece):
            self._held.append(piece)
            self._size += len(piece)
        return self._size < HELD

    def stop(self, error: Exception | None = None) -> None:
        """`give` has no room, or failed."""
        self.give, waiter = None, self._waiter
        if error is not None and waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self._wake(b"")

    def finish(self) -> None:
        """The body is complete, the connection no longer ours."""
        self._over, self._connection = True, None
        self._wake(b"")

    def fail(self, fault: UpstreamFault) -> None:
        self._fault, self._connection = fault, None
        self._wake(b"")

    def _wake(self, piece: bytes) -> bool:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        waiter.set_result(piece)
        return True


class Connection(asyncio.Protocol):
    """`on_free`: it can carry another request. `on_lost`: it is gone, in whatever way.

    `swallowed`: it ended before a byte of the answer; one that was kept may have been closed while it was idle.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_complete",
        "_headers",
        "_keeps",
        "_large",
        "_on_free",
        "_on_lost",
        "_parser",
        "_paused",
        "_reply",
        "_transport",
        "_tunnels",
        "_until_close",
        "idle_since",
        "on_body",
        "swallowed",
    )

    def __init__(self, on_free: Callable[[Connection], None], on_lost: Callable[[Connection], None]) -> None:
        self._on_free = on_free
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reply: HttpReply | None = None
        self._body: list[bytes] = []
        self.on_body = self._body.append  # the parser calls it: no frame of ours for each piece
        self.idle_since = 0.0
        self.swallowed = False
        self._parser: httptools.HttpResponseParser  # from `connection_made` to `connection_lost`
        self._headers: Headers = []
        self._begun = 0  # bytes of the answer that have come before its head was complete
        self._complete = self._keeps = self._large = self._paused = self._tunnels = self._until_close = False

    def send(self, reply: HttpReply, head: bytes, body: bytes) -> None:
        """The next request; what comes back goes to `reply`."""
        self._reply = reply
        self._begun, self._headers, self._until_close = 0, [], False
        self._large = len(body) >= _JOIN
        transport = self._transport
        if transport is None:  # lost a moment ago
            self._reply = None
            self._on_lost(self)  # once more: whoever counts it must not do so for good
            return self._swallow(reply)
        if self._large:
            transport.writelines((head, body))
        else:
            transport.write(head + body)

    def fail(self, fault: UpstreamFault) -> None:
        """Drop the connection at once (a polite TLS goodbye may keep the backend busy for half a minute)."""
        reply, self._reply = self._reply, None
        if self._transport is not None:
            self._transport.abort()
        if reply is not None:
            reply.fail(fault)

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def tunnel(self, reply: HttpReply, asked: bytes) -> None:
        """Ask a proxy. Its answer ends with its head, whatever length that names (RFC 9110 section 9.3.6)."""
        self._tunnels = True
        self.send(reply, asked, b"")

    def secured(self, transport: asyncio.Transport) -> None:
        """The tunnel stands: everything from here on is said within TLS."""
        self._transport, self._reply, self._tunnels = transport, None, False
        self._body.clear()
        self._parser = httptools.HttpResponseParser(self)

    # --- from the socket --------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:  # nothing was asked: whatever this is, it must not become the next answer
            return self.fail(UpstreamMalformed("the backend spoke unasked"))
        if not reply.status:
            self._begun += len(data)
        try:
            self._parser.feed_data(data)
            valid = True
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            valid = False
        body = self._body  # also what was good before something that is not
        if body:
            piece = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            give = reply.give
            if give is not None:
                try:
                    if not give(piece):
                        reply.stop()
                except Exception as error:  # it must not end in the event loop
                    reply.stop(error)
            elif not reply.feed(piece) and not self._complete and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        if not valid:
            self.fail(UpstreamMalformed("the backend's answer is not valid HTTP"))
        elif self._complete:
            self._end(reply)
        elif not reply.status and self._begun > MAX_HEAD:
            self.fail(UpstreamMalformed("the head of the backend's answer is too large"))

    def eof_received(self) -> None:
        """Nothing can follow. A polite close would first send what is left of the request, to who may never read it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        del self._parser  # it holds us
        self._on_lost(self)
        reply, self._reply = self._reply, None
        if reply is None:
            return
        if reply.status and self._until_close and error is None:
            reply.finish()
        elif reply.status:
            reply.fail(UpstreamMalformed("the backend's answer broke off"))
        elif self._begun:
            reply.fail(UpstreamMalformed("the backend's answer broke off within its head"))
        else:
            self._swallow(reply)

    def _swallow(self, reply: HttpReply) -> None:
        self.swallowed = True
        reply.fail(UpstreamUnavailable("the connection to the backend was lost"))

    def _end(self, reply: HttpReply) -> None:
        self._complete, self._reply = False, None
        reply.finish()
        transport = self._transport
        if transport is None:
            return
        if self._keeps and not transport.get_write_buffer_size():  # an early answer: the next request would queue up
            self.resume()
            self._on_free(self)
        else:
            transport.abort()

    # --- from the parser --------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than one answer")  # the parser makes each of these an error of its own

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._headers) >= MAX_HEADERS:
            raise ValueError("too many headers")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        headers, status = self._headers, self._parser.get_status_code()
        self._headers = []  # for the head of the answer proper, or for trailers
        if status < 100:
            raise ValueError("no status")
        if status >= 200 and self._reply is not None:
            framed = {b"content-length", b"transfer-encoding"}
            self._until_close = not any(name.lower() in framed for name, _ in headers)
            self._reply.begin(status, headers)

    def on_message_complete(self) -> None:
        reply = self._reply
        if reply is not None and reply.status and not self._tunnels:
            self._complete = True
            self._keeps = self._parser.should_keep_alive() and not self._doubtful(reply.status)

    def _doubtful(self, status: int) -> bool:
        """Whether the next answer may be another's, or never come: a body that this status cannot have may follow, or
        our own was refused unread (TLS transports do not tell what they have yet to write)."""
        return (status in (204, 304) and not self._until_close) or (status >= 400 and self._large)


class _Inflate:
    """Undoes a gzip or deflate that nobody asked for; b"" is the end. Raises zlib.error on bytes that are neither, and
    on an end that comes too early."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None

    def __call__(self, piece: bytes) -> bytes:
        if not piece:
            if self._stream is not None and not self._stream.eof:
                raise zlib.error("the stream is incomplete")
            return b""
        out = b""
        while piece:
            if self._stream is None or self._stream.eof:  # gzip may come as several streams in a row
                bare = self._coding == "deflate" and piece[0] & 0x0F != 8  # some servers leave the zlib header out
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)  # 32: gzip or zlib
            out += self._stream.decompress(piece)
            piece = self._stream.unused_data
        return out
