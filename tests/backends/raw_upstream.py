"""A raw HTTP/1.1 server that answers byte for byte what a test says, and the client under test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.backends.http_client import HttpClient
from app.backends.http_connection import HttpReply

BOUND = 1.0  # seconds within which the far side must notice
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-secret"}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Exchange:
    """One request as a raw server sees it: `number` on connection `connection`, both from 1."""

    def __init__(self, writer: asyncio.StreamWriter, head: bytes, body: bytes, connection: int, number: int) -> None:
        self.writer, self.head, self.body = writer, head, body
        self.connection, self.number = connection, number

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Script = Callable[[Exchange], Awaitable[None]]


class Upstream:
    """A raw HTTP/1.1 server: reads whole requests, lets `script` answer, notices when the client leaves."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.requests: list[Exchange] = []
        self.connections = 0
        self.asked, self.left = asyncio.Event(), asyncio.Event()
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://localhost:{self.port}/v1/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task, writer in self._tasks.items():
            task.cancel()
            writer.transport.abort()  # a task that never began cannot
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks[asyncio.ensure_future(self._serve(reader, writer))] = writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection, number = self.connections, 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(content_length(head))
                number += 1
                exchange = Exchange(writer, head, body, connection, number)
                self.requests.append(exchange)
                self.asked.set()
                await self.script(exchange)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.transport.abort()


def content_length(head: bytes) -> int:
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lengths[0].partition(b":")[2]) if lengths else 0


def always(answer: bytes, then_close: bool = False) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        if then_close:
            exchange.writer.close()

    return script


async def silent(_: Exchange) -> None:
    """Answers nothing and goes on reading, so that the client's leaving is seen."""


@asynccontextmanager
async def client(
    proxies: bool = False, connect_timeout: float = 5.0, max_connections: int = 100, keep_idle: float = 50.0
) -> AsyncIterator[HttpClient]:
    made = HttpClient(
        proxies=proxies, connect_timeout=connect_timeout, max_connections=max_connections, keep_idle=keep_idle
    )
    try:
        yield made
    finally:
        await made.aclose()


async def ask(http: HttpClient, url: str, body: bytes = b"{}") -> HttpReply:
    return await asyncio.wait_for(http.post(url, HEADERS, body), 5)


async def pieces(reply: HttpReply) -> list[bytes]:
    got = []
    while piece := await asyncio.wait_for(reply.chunk(), 5):
        got.append(piece)
    return got
