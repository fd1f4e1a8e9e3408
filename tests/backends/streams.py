"""Streams as backends send them, and what becomes of them, for the tests of what is read."""

from __future__ import annotations

from typing import Any

import orjson

from app.backends.inbound import Stream, Whole
from app.core.chat import ChatRequest

Json = dict[str, Any]
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3}}


def request(usage: bool = False, **body: Any) -> ChatRequest:
    options = {"stream_options": {"include_usage": True}} if usage else {}
    return ChatRequest("chat", {"messages": [{"role": "user", "content": "hi"}], "stream": True, **options, **body})


def stream(usage: bool = False, own_ids: bool = False, forced: str | None = None) -> Stream:
    return Stream(request(usage), "rid", own_ids, forced)


def chunk(delta: Json | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "chatcmpl-7", "model": "m", "choices": [choice], **more}) + b"\n\n"


def last(usage: Json | None = None) -> bytes:
    return chunk({}, "stop") + (chunk_of_usage(usage) if usage else b"")


def chunk_of_usage(usage: Json) -> bytes:
    return b"data: " + orjson.dumps({"id": "chatcmpl-7", "model": "m", "choices": [], "usage": usage}) + b"\n\n"


def through(one: Stream, *pieces: bytes) -> bytes:
    return b"".join(one.feed(piece) for piece in pieces) + one.finish()


def events(data: bytes) -> list[Any]:
    return [orjson.loads(block[6:]) for block in data.split(b"\n\n") if block and block != b"data: [DONE]"]


def whole(forced: str | None = None, own_ids: bool = False) -> Whole:
    return Whole(ChatRequest("chat", {"messages": [{"role": "user", "content": "hi"}]}), "rid", own_ids, forced)
