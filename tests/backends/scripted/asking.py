"""A fake on a real socket, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from app.backends.scripted import Endpoint, Model, Scripted, serve

CHAT = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
KINDS = ("ollama", "vllm", "llama-cpp", "tgi", "transformers", "openai")


@asynccontextmanager
async def asking(
    imitates: Any = "openai", endpoint: Endpoint | None = None, **model: Any
) -> AsyncIterator[tuple[Scripted, httpx.AsyncClient]]:
    """The fake and a client of its base URL; keywords go to the fake's Model."""
    scripted = Scripted(Model(imitates=imitates, name="m", **model), endpoint, keep_bodies=True)
    async with serve(scripted) as url, httpx.AsyncClient(base_url=url, timeout=5, trust_env=False) as client:
        yield scripted, client


def chat(text: str = "How do I sort a list?", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def events(text: str) -> list[dict[str, Any]]:
    """What stands in the data lines of a stream, less [DONE]."""
    lines = [line.strip().removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [orjson.loads(line) for line in lines if line != "[DONE]"]


async def streamed(client: httpx.AsyncClient, **more: Any) -> list[dict[str, Any]]:
    answer = await client.post(CHAT, json=chat(**{**USAGE, **more}))
    assert answer.status_code == 200, answer.text
    return events(answer.text)


def joined(chunks: list[dict[str, Any]], key: str = "content") -> str:
    deltas = [choice.get("delta", {}) for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get(key) or "" for delta in deltas)
