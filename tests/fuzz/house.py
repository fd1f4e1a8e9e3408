"""One real gateway process in front of scripted backends and one that repeats its key, and a client without manners."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.backends.scripted import Model, Scripted, serve_in_thread
from tests.e2e.process import HOST, GatewayProcess, gateway

PATIENCE = 30.0  # seconds after which something hangs; it normally takes milliseconds
UPSTREAM_KEY = "Zq7-wholly-ours-QX4tN9c2"  # nothing by which a pattern would know it
CLIENT_KEY = "Vw3-theirs-alone-LM8rB5p1"
CONFIG = """
server: {host: 127.0.0.1, port: {port}, max_body_mb: 8}
keys: [{name: app, env: CLIENT_KEY}]
backends:
  small: {kind: ollama, zone: local, base_url: "SMALL", model: "qwen3:4b", price: {kind: unpriced},
          context_window: 100000, capacity: {concurrent: 8, queue: 64, max_wait: 20s}}
  large: {kind: vllm, zone: remote, base_url: "LARGE", model: big, api_key_env: UPSTREAM_KEY,
          capacity: {concurrent: 8, queue: 64}, price: {kind: tokens, input: 1, output: 2}}
  echo: {kind: openai, zone: remote, base_url: "ECHO", model: parrot, api_key_env: UPSTREAM_KEY,
         capacity: {concurrent: 8, queue: 64}, price: {kind: tokens, input: 1, output: 2}}
tiers: [{name: slm, backends: [small]}, {name: llm, backends: [large, echo]}]
embeddings: {backend: small, model: nomic}
routing: {threshold: 0.5}
records: {path: "RECORDS"}
"""


@dataclass
class Echo:
    """An upstream that answers as `says` tells: status, content type and a body with `KEY` where its key goes."""

    says: tuple[int, str, str] = (400, "text/plain", "it sleeps")
    location: str | None = None
    heard: list[tuple[str, list[tuple[bytes, bytes]]]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.heard.append((scope["path"], list(scope["headers"])))
        status, kind, text = self.says if scope["method"] == "POST" else (200, "application/json", '{"data": []}')
        key = dict(scope["headers"]).get(b"authorization", b"").removeprefix(b"Bearer ").decode()
        headers = [(b"content-type", kind.encode())]
        if self.location is not None and scope["method"] == "POST":
            headers.append((b"location", self.location.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.replace("KEY", key).encode(), "more_body": False})


@dataclass
class House:
    gateway: GatewayProcess
    small: Scripted
    large: Scripted
    echo: Echo
    elsewhere: Scripted
    folder: Path

    @property
    def port(self) -> int:
        return self.gateway.port

    def held(self) -> float:
        """Slots in use and requests that wait for one."""
        return self.gateway.metric("smallfirst_backend_inflight") + self.gateway.metric(
            "smallfirst_backend_queue_depth"
        )

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.gateway.process.pid}/fd"))

    async def quiet(self) -> None:
        """Wait until no request holds anything, which may be a moment after its client has left."""
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(self.held):
                await asyncio.sleep(0.05)

    def written(self) -> bytes:
        """Everything that the gateway has written so far: log, records and metrics."""
        files = [path for path in self.folder.iterdir() if path.is_file() and path != self.gateway.config]
        return b"".join(path.read_bytes() for path in files) + self.gateway.get("/metrics")[1].encode()

    def check(self, since: int = 0) -> None:
        """It lives and has met no bug of its own; `since` bytes of its log were looked at before."""
        assert self.gateway.process.poll() is None, "the gateway died"
        log = self.gateway.log.read_bytes()[since:].decode()
        for word in ("Traceback", '"event":"bug"', '"event":"router-failed"', "ERROR:", "never retrieved"):
            assert word not in log, log[max(log.index(word) - 2000, 0) :][:4000]


@contextlib.contextmanager
def house(folder: Path) -> Iterator[House]:
    small = Scripted(Model(imitates="ollama", name="qwen3:4b", slots=8, context_window=100_000, vision=True))
    large = Scripted(Model(imitates="vllm", name="big", slots=8, context_window=100_000, vision=True))
    echo, elsewhere = Echo(), Scripted(Model())
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(serve_in_thread(one)) for one in (small, large, echo, elsewhere)]  # type: ignore[arg-type]
        config = CONFIG.replace("SMALL", urls[0]).replace("LARGE", urls[1]).replace("ECHO", urls[2])
        config = config.replace("RECORDS", str(folder / "records.db"))
        echo.location = f"{urls[3]}/v1/chat/completions"
        keys = {"CLIENT_KEY": CLIENT_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
        running = stack.enter_context(gateway(config, folder, **keys))
        one = House(running, small, large, echo, elsewhere, folder)
        yield one
        one.check()


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def error(self) -> dict[str, Any]:
        """The error object, whose shape is checked on the way."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        return error


class Line:
    """One connection on which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    async def answer(self, *, head: bool = False) -> Answer:
        """The next answer; interim ones are skipped. `head`: it has none but a head."""
        async with asyncio.timeout(PATIENCE):
            start = await self._reader.readuntil(b"\r\n\r\n")
            while start.startswith(b"HTTP/1.1 100"):
                start = await self._reader.readuntil(b"\r\n\r\n")
            return Answer(int(start.split()[1]), start, b"" if head else await self._body(start.lower()))

    async def _body(self, head: bytes) -> bytes:
        if b"content-length:" in head:
            return await self._reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n")).strip(), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body

    async def some(self) -> bytes:
        """What has arrived, b"" at the end."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(65_536)

    def hang_up(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    one = Line(*await asyncio.open_connection(HOST, port))
    try:
        yield one
    finally:
        one.hang_up()


def request(body: bytes, path: str = "/v1/chat/completions", *headers: str, method: str = "POST") -> bytes:
    """A whole request with the client's key, on a connection that is kept."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: {HOST}",
        f"authorization: Bearer {CLIENT_KEY}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
