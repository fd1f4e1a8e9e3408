"""A model server that costs next to nothing: `python -m tests.bench.upstream PORT`.

JSON is answered at once. A stream has as many chunks as the request's `max_tokens`, GAP apart, then usage and [DONE].
Streams that begin together do not tick together, as those of real users would not: a server that finds sixteen chunks
at once spends less on each.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from typing import Any, cast

import httptools
import uvloop

GAP = 0.010  # seconds between two chunks
GOLDEN = 0.618034  # its multiples spread evenly over a gap, however many there are
MARK = b"tick"  # in each content, and nowhere else: what the load counts
_USAGE = {"prompt_tokens": 412, "completion_tokens": 64, "total_tokens": 476}
_LENGTH = re.compile(rb'"max_(?:completion_)?tokens":\s*(\d+)')
_STREAM = re.compile(rb'"stream":\s*true')


def _object(kind: str, **fields: Any) -> bytes:
    about = {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "mock-model"}
    return json.dumps({**about, **fields}).encode()


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _events(*data: bytes) -> bytes:
    """Server-sent events as one chunk of the transfer."""
    text = b"".join(b"data: %b\n\n" % one for one in data)
    return b"%x\r\n%b\r\n" % (len(text), text)


def _delta(content: str, finish: str | None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return _object("chat.completion.chunk", choices=[choice])


_TEXT = MARK.decode() + " The small model answers what is easy, and the large one only what needs it. " * 4
_MESSAGE = {"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}
ANSWER = _whole(_object("chat.completion", choices=[_MESSAGE], usage=_USAGE))
MODELS = _whole(json.dumps({"object": "list", "data": [{"id": "mock-model", "object": "model"}]}).encode())
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = _events(_delta(" " + MARK.decode(), None))
LAST = _events(_delta("", "stop"))
LAST += _events(_object("chat.completion.chunk", choices=[], usage=_USAGE), b"[DONE]") + b"0\r\n\r\n"


class Model(asyncio.Protocol):
    """One connection. The parser calls the methods `on_*`."""

    transport: asyncio.Transport
    streams = itertools.count()  # of all connections
    timer: asyncio.TimerHandle | None = None
    body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self.parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        if not body:
            self.transport.write(MODELS)
        elif _STREAM.search(body):
            length = _LENGTH.search(body)
            self.transport.write(HEAD)
            self.stream(int(length[1]) if length else 1, GAP * (next(self.streams) * GOLDEN % 1))
        else:
            self.transport.write(ANSWER)

    def stream(self, chunks: int, gap: float = GAP) -> None:
        """The next chunk, and the one after it in `gap` seconds."""
        self.transport.write(CHUNK if chunks else LAST)
        self.timer = asyncio.get_running_loop().call_later(gap, self.stream, chunks - 1) if chunks else None


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
