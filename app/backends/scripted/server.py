"""Serve a fake on a loopback port of its own, in this event loop or in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from app.backends.scripted.app import Scripted
from app.backends.scripted.http import Dropped

GRACE = 1.0  # seconds


def loopback() -> socket.socket:
    """A socket on a free port: its address is known before anything serves on it."""
    listening = socket.socket(proto=socket.IPPROTO_TCP)  # said, or asyncio leaves Nagle's delay on
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    return listening


def url_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.asynccontextmanager
async def serve(scripted: Scripted, listening: socket.socket | None = None) -> AsyncIterator[str]:
    """Its base URL, without /v1."""
    listening = listening or loopback()
    server = _server(scripted)
    await server.startup([listening])
    try:
        yield url_of(listening)
    finally:
        await _stop(server)
        listening.close()


async def _stop(server: uvicorn.Server) -> None:
    """At once: whoever still waits for an answer sees the connection drop."""
    for accepting in server.servers:
        accepting.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    if server.server_state.tasks:
        await asyncio.wait(list(server.server_state.tasks), timeout=GRACE)


@contextlib.contextmanager
def serve_in_thread(scripted: Scripted) -> Iterator[str]:
    """The same, in an event loop of its own."""
    listening, stop, ready = loopback(), threading.Event(), threading.Event()

    async def run() -> None:
        async with serve(scripted, listening):
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield url_of(listening)
    finally:
        stop.set()
        thread.join(10)


def drop(transport: Any, *, reset: bool) -> None:
    """Close a connection within an answer, in the polite way or by a TCP reset."""
    if reset:
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _server(scripted: Scripted) -> uvicorn.Server:
    """Started without its main loop, so that signals stay with the process it lives in."""

    async def dropping(scope: Any, receive: Any, send: Any) -> None:
        try:
            await scripted(scope, receive, send)
        except Dropped as dropped:
            drop(send.__self__.transport, reset=dropped.reset)  # uvicorn's `send` belongs to who owns the connection
            while (await receive())["type"] != "http.disconnect":
                pass  # so that uvicorn does not take the unfinished answer for a bug, and log it

    # No logging set up: that would change the level and handlers of the process it lives in.
    config = uvicorn.Config(
        dropping,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    return server
