"""uvicorn, stopping in our order.

SIGTERM or SIGINT: `/ready` turns 503 at once, connections are still accepted for `drain_delay` (the load
balancer needs that long to notice), then running answers finish within `drain_timeout`, then exit 0. A second
signal skips the delay. SIGHUP reloads the config.

What uvicorn leaves unbounded has bounds: who sends nothing that was due, or takes nothing of what was sent, for as
long as a kept connection may idle, is cut off; a head may have MAX_HEAD bytes. An offer of another protocol is declined
without losing the body, and what is no HTTP is refused in the shape of our errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api import errors, outgoing
from app.api.exchange import PUSH
from app.errors import InvalidRequest

MAX_HEAD = 65_536  # bytes, and what one read of the socket brings
LINGER = 1.0  # seconds; closing at once would reset the connection, and the client would not see why
_CALLBACKS = ("on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body", "on_message_complete")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where to listen and how to stop; seconds."""

    host: str
    port: int
    drain_delay: float
    drain_timeout: float


class Server(uvicorn.Server):
    """`on_drain` is called at the first signal, `on_hup` at SIGHUP."""

    def __init__(self, app: Any, binding: Binding, on_drain: Callable[[], None], on_hup: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            host=binding.host,
            port=binding.port,
            http=Listener,
            ws="none",
            loop="auto",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # nothing here asks for the client's address, and a layer costs every request
            lifespan="off",  # the app is built before and closed after the server
            timeout_graceful_shutdown=max(1, round(binding.drain_timeout)),
            timeout_keep_alive=75,  # longer than the 60 s of common load balancers, so that they close first
        )
        super().__init__(config)
        self._delay = binding.drain_delay
        self._on_drain = on_drain
        self._on_hup = on_hup
        self._draining = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self._drain, signal.SIGINT: self._drain, signal.SIGHUP: self._on_hup}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _drain(self) -> None:
        if self._draining:
            self.should_exit = True
            return
        self._draining = True
        self._on_drain()
        asyncio.get_running_loop().call_later(self._delay, self._exit)

    def _exit(self) -> None:
        self.should_exit = True


class Listener(HttpToolsProtocol):
    """One lazy timer per connection: what is due only notes since when, and a timer that fires early re-arms itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._running: Any = None  # the request that is being answered: with pipelining `cycle` is the last one read
        self._extensions = {PUSH: self._push}
        self._deaf = False
        self._head = 0  # bytes that came without a body since the first read of a head
        self._begun: object = None  # the scope whose head was incomplete at the last read
        self._due: float | None = self.loop.time()  # since when the client has to send something
        self._unread: tuple[float, int] | None = None  # since when it takes nothing, and how much waits for it
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(self.timeout_keep_alive, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._extensions.clear()  # it holds us
        self._leave()
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        before = self.cycle
        had = 0 if before is None else len(before.body)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            return self._refuse("This is not valid HTTP.", 400)
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:
            self._within_head(len(data))
        elif cycle.more_body:
            self._due = self._awaited()
            if cycle is before and len(cycle.body) == had and not cycle.response_complete:
                self._count(len(data))  # the frame of a body is none: a trailer, say
            else:
                self._head = 0
        else:
            self._due = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = (self._awaited(), self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = None

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        cycle.scope["extensions"] = self._extensions
        super()._start_asgi_task(cycle, app)

    def _push(self, piece: bytes) -> bool:
        """`send` for a piece of a chunked body, without waiting. Whether the client reads as fast as we write."""
        if self._running.disconnected:
            return True
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return not self.flow.write_paused

    def _leave(self) -> None:
        """Tell whoever is still answering that nobody listens any more."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _within_head(self, size: int) -> None:
        if self._begun is not self.scope:
            self._begun, self._head, self._due = self.scope, 0, self._awaited()
        else:
            self._count(size)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            self._refuse(f"The head of the request is larger than {MAX_HEAD} bytes.", 431)

    def _awaited(self) -> float:
        """Now; somebody will look whether it comes."""
        if self._timer is None:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)
        return self.loop.time()

    def _look(self) -> None:
        now, self._timer = self.loop.time(), None
        if self.transport.is_closing():
            return
        if self._due is not None and self._busy():
            self._due = now
        if self._unread is not None and self.transport.get_write_buffer_size() != self._unread[1]:
            self._unread = (now, self.transport.get_write_buffer_size())
        since = [moment for moment in (self._due, self._unread and self._unread[0]) if moment is not None]
        if since and now - min(since) >= self.timeout_keep_alive:
            self.transport.abort()
        elif since:
            self._timer = self.loop.call_later(self.timeout_keep_alive - (now - min(since)), self._look)

    def _busy(self) -> bool:
        """Are we the ones who keep it waiting: by not reading, or by an earlier request?"""
        one = self._running
        earlier = one is not None and one.scope is not self.scope and not one.response_complete
        return self.flow.read_paused or earlier or bool(self.pipeline)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline()
            self._feed(data[offer.args[0] :])

    def _decline(self) -> None:
        """The parser takes what follows an offer for the other protocol, the body too (JDK's client and curl offer
        HTTP/2 with each request): one that begins behind the head reads on."""
        headers = dict(self.scope["headers"])
        framing = [name for name in (b"transfer-encoding", b"content-length") if name in headers]
        after = _Quiet(self)
        self.parser = httptools.HttpRequestParser(after)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if framing and headers[framing[0]] != b"0":
            self.cycle.more_body = True
            self.cycle.message_event.clear()
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing[0] + b": " + headers[framing[0]] + b"\r\n\r\n")
        after.quiet = False

    def _refuse(self, message: str, status: int) -> None:
        """Answer, unless an answer is half way out, and hang up."""
        self._deaf, self._due = True, None
        one = self._running
        if one is not None and one.response_started and not one.response_complete:
            self.transport.close()
            return
        self._leave()
        self.pipeline.clear()
        self.transport.write(_answer(InvalidRequest(message, status=status)))
        self.loop.call_later(LINGER, self.transport.close)


class _Quiet:
    """The callbacks of a parser, passed on once `quiet` is over."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self.quiet = True
        for name in _CALLBACKS:
            setattr(self, name, self._passing(getattr(protocol, name)))

    def _passing(self, callback: Callable[..., None]) -> Callable[..., None]:
        def passed(*told: Any) -> None:
            if not self.quiet:
                callback(*told)

        return passed


def _answer(error: InvalidRequest) -> bytes:
    body = errors.envelope(error)
    headers = [
        outgoing.JSON,
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *outgoing.identity(f"req-{secrets.token_hex(6)}"),
    ]
    start = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
    return start + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body
