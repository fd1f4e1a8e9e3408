"""Load as many connections can make it: each asks again as soon as it has its answer, and checks every answer."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import httptools
import uvloop

from tests.bench.router import conversation
from tests.bench.upstream import MARK

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds that answers may take beyond the end of a load


@dataclass(frozen=True)
class Load:
    """What to ask, and for how long: until `seconds` have passed or `requests` are sent, whichever is first."""

    connections: int
    seconds: float
    requests: float = math.inf
    chunks: int = 0  # of each stream; 0 asks for JSON


@dataclass
class Result:
    finished: int = 0
    errors: int = 0
    why: str = ""  # of the first error
    chunks: int = 0
    seconds: float = 0.0
    totals: list[float] = field(default_factory=list)  # seconds from sending a request to the end of its answer
    firsts: list[float] = field(default_factory=list)  # and to its first content


def request(port: int, headers: Mapping[str, str], chunks: int) -> bytes:
    asked = {**conversation(), "model": "auto"}
    if chunks:
        asked |= {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": chunks}
    body = json.dumps(asked).encode()
    fields = {"host": f"{HOST}:{port}", "content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body


def run(port: int, headers: Mapping[str, str], load: Load) -> Result:
    """Put `load` on a server of this machine."""
    gc.collect()
    gc.disable()  # a pause here would be counted as the server's
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # unlike uvloop.run it minds Ctrl-C
            return runner.run(_Run(port, request(port, headers, load.chunks), load).result())
    finally:
        gc.enable()


class _Run:
    """One load: what its connections share."""

    def __init__(self, port: int, request: bytes, load: Load) -> None:
        self.port = port
        self.request = request
        self.load = load
        self.asked = 0
        self.done = Result()
        self.end = math.inf

    async def result(self) -> Result:
        start = time.perf_counter()
        self.end = start + self.load.seconds
        workers = [asyncio.create_task(self.work()) for _ in range(self.load.connections)]
        _, late = await asyncio.wait(workers, timeout=self.load.seconds + PATIENCE)
        for worker in late:
            worker.cancel()
            self.fail("no answer in time")
        self.done.seconds = time.perf_counter() - start
        return self.done

    async def work(self) -> None:
        """One connection, and a new one whenever the server closes it."""
        loop = asyncio.get_running_loop()
        while self.more():
            try:
                _, connection = await loop.create_connection(lambda: _Connection(self), HOST, self.port)
                await connection.gone
            except OSError as error:
                self.asked += 1
                self.fail(str(error))
                await asyncio.sleep(0.05)

    def more(self) -> bool:
        return self.asked < self.load.requests and time.perf_counter() < self.end

    def fail(self, why: str) -> None:
        self.done.errors += 1
        self.done.why = self.done.why or why


class _Connection(asyncio.Protocol):
    """The parser calls the methods `on_*`."""

    transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.gone = asyncio.get_running_loop().create_future()
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self.parser = httptools.HttpResponseParser(self)
        self.ask()

    def ask(self) -> None:
        if not self.run.more():
            self.transport.close()
            return
        self.run.asked += 1
        self.waiting = True
        self.pieces: list[bytes] = []
        self.first = 0.0
        self.sent = time.perf_counter()
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.end(str(error))

    def on_body(self, body: bytes) -> None:
        if not self.first and MARK in body:
            self.first = time.perf_counter()
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        now, done, body = time.perf_counter(), self.run.done, b"".join(self.pieces)
        if wrong := self.wrong(body):
            self.end(wrong)
            return
        done.finished += 1
        done.chunks += self.run.load.chunks
        done.totals.append(now - self.sent)
        done.firsts.append(self.first - self.sent)
        self.waiting = False
        if self.parser.should_keep_alive():
            self.ask()
        else:
            self.transport.close()

    def wrong(self, body: bytes) -> str:
        """What is wrong with an answer, if anything."""
        if self.parser.get_status_code() != 200 or body.count(MARK) != (self.run.load.chunks or 1):
            return f"{self.parser.get_status_code()} {body[-300:]!r}"
        return "a stream without [DONE]" if self.run.load.chunks and b"[DONE]" not in body else ""

    def end(self, why: str) -> None:
        self.waiting = False
        self.run.fail(why)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting:
            self.run.fail("closed before the answer was whole")
        self.waiting = False
        if not self.gone.done():
            self.gone.set_result(None)
