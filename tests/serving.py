"""A real server in the running loop, and raw sockets to be rude to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import uvicorn

from app.main.server import Listener

PATIENCE = 5.0  # seconds for whatever a test waits for; it normally takes milliseconds


@contextlib.asynccontextmanager
async def serving(app: Any, keep_alive: int = 75) -> AsyncIterator[int]:
    """Serve `app` by uvicorn as production does, on the loopback port that is given; no signal handlers."""
    config = uvicorn.Config(
        app, http=Listener, ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=keep_alive
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await _stop(server)


async def _stop(server: uvicorn.Server) -> None:
    """uvicorn's own shutdown, less its tenth of a second of politeness."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    if server.server_state.tasks:
        _, late = await asyncio.wait(list(server.server_state.tasks), timeout=PATIENCE)
        assert not late, late


@contextlib.contextmanager
def on_a_thread(server: socketserver.BaseServer) -> Iterator[str]:
    """A server of the standard library; its URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with server:
        thread.start()
        try:
            host, port = server.server_address[:2]
            yield f"http://{host}:{port}"
        finally:
            server.shutdown()
            thread.join()


def calling(app: Any) -> httpx.AsyncClient:
    """A client that calls `app` without a socket; a raised error becomes the response that was sent."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")


class Raw:
    """One connection. Heads are bytes up to and without the blank line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return (await self.reader.readuntil(b"\r\n\r\n"))[:-4]

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def hang_up(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Raw]:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield raw
    finally:
        raw.hang_up()


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A whole HTTP/1.1 request that closes its connection afterwards."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: localhost",
        "connection: close",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
