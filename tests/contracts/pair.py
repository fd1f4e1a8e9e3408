"""An adapter and the fake server it speaks to over a socket, and what a reply said: for the contract's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from app.backends.http_client import HttpClient
from app.backends.openai_http import OpenAIBackend, Wiring
from app.backends.probe import Asking, probe, warming
from app.backends.quirks import BY_KIND
from app.backends.scripted import Endpoint, Model, Scripted, serve
from app.core.chat import ChatRequest
from app.core.types import Api, BackendSpec, Facts, Usage
from app.ports import Reply
from tests.fakes import collect as collect_all

KINDS = ("ollama", "vllm", "llama-cpp", "tgi", "transformers", "openai")
EMBED = ("ollama", "vllm", "llama-cpp", "openai")
FORMATS = tuple(kind for kind in KINDS if "json_schema" in BY_KIND[kind].has)
NAMED = tuple(kind for kind in KINDS if "tool_choice.named" in BY_KIND[kind].has)
KEY = "sk-of-the-gateway"
BOUND = 1.0  # seconds within which a leaving client frees its slot
PATIENCE = 5.0
WORDS = "How do I sort a list?"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}

every_kind = pytest.mark.parametrize("kind", KINDS)
both_forms = pytest.mark.parametrize("stream", [False, True])


@dataclass
class Pair:
    """An adapter and the server it speaks to."""

    backend: OpenAIBackend
    fake: Scripted
    unhonoured: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, text: str = WORDS, *, api: Api = "chat", **more: Any) -> Said:
        body = {"messages": [{"role": "user", "content": text}]} if api == "chat" else {}
        return await self.send(api, {**body, **more})

    async def send(self, api: Api, body: dict[str, Any]) -> Said:
        async with asyncio.timeout(PATIENCE):
            return await read(await self.backend.send(ChatRequest(api, body), "r1"))

    async def open_stream(self, request_id: str = "r1") -> Reply:
        body = {"messages": [{"role": "user", "content": WORDS}], "stream": True}
        return await self.backend.send(ChatRequest("chat", body), request_id)


@dataclass(frozen=True)
class Said:
    """All that a reply gave: the bytes for the client, and what the gateway learned."""

    raw: bytes
    usage: Usage | None
    model: str | None

    @property
    def chunks(self) -> list[dict[str, Any]]:
        lines = [line.removeprefix(b"data: ") for line in self.raw.splitlines() if line.startswith(b"data: ")]
        assert lines.pop() == b"[DONE]"
        assert b"[DONE]" not in lines
        return [orjson.loads(line) for line in lines]

    @property
    def whole(self) -> Any:
        return orjson.loads(self.raw)

    def message(self, stream: bool) -> dict[str, Any]:
        """The first choice as one message, out of either form."""
        if not stream:
            choice = self.whole["choices"][0]
            return {**choice["message"], "finish_reason": choice["finish_reason"]}
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices") or ()]
        deltas = [choice.get("delta") or {} for choice in choices]
        calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
        joined = {
            key: "".join(one.get(key) or "" for one in deltas) for key in ("content", "reasoning", "reasoning_content")
        }
        finishes = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
        assert len(finishes) == 1
        return {**joined, "tool_calls": merged(calls), "finish_reason": finishes[0]}


def merged(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tool calls out of their deltas, as clients join them."""
    made: dict[int, dict[str, Any]] = {}
    for call in calls:
        one = made.setdefault(call["index"], {"id": call.get("id"), "function": {"name": "", "arguments": ""}})
        function = call["function"]
        one["function"]["name"] = one["function"]["name"] or function.get("name")
        one["function"]["arguments"] += function.get("arguments") or ""
    return list(made.values())


async def read(reply: Reply) -> Said:
    pieces: list[bytes] = []
    await collect(reply, pieces)
    return Said(b"".join(pieces), reply.usage, reply.model)


async def collect(reply: Reply, pieces: list[bytes]) -> None:
    """All of it, in time; what came before a fault is there."""
    try:
        async with asyncio.timeout(PATIENCE):
            await collect_all(reply, pieces)
    finally:
        reply.close()


@asynccontextmanager
async def pair(
    kind: Any,
    *,
    endpoint: Endpoint | None = None,
    reasoning: Any = "pass",
    headers: tuple[tuple[str, str], ...] = (),
    **model: Any,
) -> AsyncIterator[Pair]:
    """Keywords go to the fake's Model."""
    fake = Scripted(Model(imitates=kind, name="m", **model), endpoint, keep_bodies=True)
    http = HttpClient(proxies=False, connect_timeout=2.0, max_connections=50)
    noted: list[tuple[str, str]] = []
    async with serve(fake) as url:
        spec = BackendSpec("b", kind, "local", url, "m", reasoning=reasoning)
        asking = Asking(spec, kind, KEY)

        async def is_warming() -> bool:
            return await warming(asking)

        wiring = Wiring(http, BY_KIND[kind], KEY, lambda name, what: noted.append((name, what)), is_warming, headers)
        backend = OpenAIBackend(spec, wiring, Facts())
        backend.facts = await probe(asking) if endpoint is None else Facts()
        try:
            yield Pair(backend, fake, noted)
        finally:
            await http.aclose()


def check_call(message: dict[str, Any], name: str = "get_weather") -> None:
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == name
    assert call["id"]
    arguments = orjson.loads(call["function"]["arguments"])
    if name == "get_weather":
        assert isinstance(arguments["city"], str)
        assert arguments["days"] >= 1


async def until(fake: Scripted, what: str) -> None:
    """Wait for the first of what the fake counts."""
    async with asyncio.timeout(BOUND):
        while not getattr(fake.seen, what):
            await asyncio.sleep(0.002)
