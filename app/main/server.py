"""uvicorn, stopping in our order.

SIGTERM or SIGINT: `/ready` turns 503 at once, connections are still accepted for `drain_delay` (the load
balancer needs that long to notice), then running answers finish within `drain_timeout`, then exit 0. A second
signal skips the delay. SIGHUP reloads the config.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn


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
            http="httptools",
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
