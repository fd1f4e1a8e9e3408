"""Local stays local: on every path, whatever fails, the remote zone receives nothing; its own log proves it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.backends.scripted import Fault, Model, Scripted, serve
from app.main import application
from app.settings import Source

CONFIG = """
routing: {{threshold: {threshold}, local_only: {always}}}
keys: [{{name: open, env: OPEN}}, {{name: closed, env: CLOSED, local_only: true}}]
backends:
  small: {{kind: ollama, zone: local, base_url: "{small}", model: "qwen3:4b", price: {{kind: unpriced}},
          capacity: {{concurrent: 1, queue: 0, max_wait: 1s}},
          timeouts: {{connect: 1s, first_token: 300ms, inter_token: 300ms, total: 2s, load: 0s}}}}
  large: {{kind: vllm, zone: remote, base_url: "{large}", model: big, price: {{kind: unpriced}}}}
tiers: [{{name: slm, backends: [small]}}, {{name: llm, backends: [large]}}]
embeddings: {{backend: {embeddings}, model: nomic}}
"""
ENVIRON = {"OPEN": "open-key", "CLOSED": "closed-key"}
HELLO = [{"role": "user", "content": "hello"}]
PARTS = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "json": ("chat/completions", {"messages": HELLO}),
    "stream": ("chat/completions", {"messages": HELLO, "stream": True}),
    "large model by name": ("chat/completions", {"messages": HELLO, "model": "big"}),
    "large tier": ("chat/completions", {"messages": HELLO, "model": "llm"}),
    "n": ("chat/completions", {"messages": HELLO, "n": 2}),
    "vision": ("chat/completions", {"messages": PARTS}),
    "tools required": ("chat/completions", {"messages": HELLO, "tools": [TOOL, TOOL], "tool_choice": "required"}),
    "too long": ("chat/completions", {"messages": [{"role": "user", "content": "word " * 20_000}]}),
    "completion": ("completions", {"prompt": "once"}),
    "prompts": ("completions", {"prompt": ["one", "two"]}),
    "embeddings": ("embeddings", {"input": "x"}),
}


class House:
    def __init__(self, client: httpx.AsyncClient, small: Scripted, large: Scripted) -> None:
        self.client, self.small, self.large = client, small, large

    async def ask(self, name: str, key: str = "open-key", **headers: str) -> httpx.Response:
        path, body = BODIES[name]
        return await self.client.post(f"/v1/{path}", json=body, headers={"authorization": f"Bearer {key}", **headers})

    @property
    def leaked(self) -> int:
        return self.large.seen.requests


@asynccontextmanager
async def house(*, threshold: float = 0.9, always: bool = False, embeddings: str = "large") -> AsyncIterator[House]:
    small = Scripted(Model(imitates="ollama", name="qwen3:4b"))
    large = Scripted(Model(imitates="vllm", name="big", slots=8, context_window=200_000))
    async with serve(small) as small_url, serve(large) as large_url:
        text = CONFIG.format(
            threshold=threshold, always=str(always).lower(), small=small_url, large=large_url, embeddings=embeddings
        )
        async with application(Source(None, ENVIRON, text), log=io.BytesIO()) as one:
            transport = httpx.ASGITransport(one.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=30) as client:
                yield House(client, small, large)


LOCAL = {"x-smallfirst-local-only": "true"}


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
async def test_no_fault_lets_anything_out(fault: Fault) -> None:
    """Every failure of the small model, streamed or not; the answer is its own or an error."""
    async with house() as both:
        for name in ("json", "stream"):
            both.small.heal()
            both.small.fail(fault)
            answer = await both.ask(name, **LOCAL)
            assert answer.headers.get("x-smallfirst-backend") in ("small", None)
        assert both.leaked == 0


@pytest.mark.parametrize("way", ["header", "key", "config"])
@pytest.mark.parametrize("threshold", [0.0, 0.9], ids=["score says large", "score says small"])
async def test_no_path_lets_anything_out(way: str, threshold: float) -> None:
    """By header, key or config; where only the remote could serve it, the answer is a 400 that names the cure."""
    async with house(threshold=threshold, always=way == "config") as both:
        for name in BODIES:
            headers = LOCAL if way == "header" else {}
            answer = await both.ask(name, "closed-key" if way == "key" else "open-key", **headers)
            assert answer.status_code in (200, 400), (name, answer.text)
            if answer.status_code == 400:
                assert len(answer.json()["error"]["message"]) > 30
            tier = await both.ask("json", "closed-key" if way == "key" else "open-key", **headers, **TIER)
            assert tier.status_code == 400
            assert tier.json()["error"]["code"] == "local_only_conflict"
        assert both.leaked == 0


TIER = {"x-smallfirst-tier": "llm"}


async def test_a_full_house_lets_nothing_out() -> None:
    """Slots taken and no queue: shed, never spilled."""
    async with house() as both:
        both.small.fail(Fault.STALL_FIRST)
        first = asyncio.create_task(both.ask("json", **LOCAL))
        await asyncio.sleep(0.1)
        second = await both.ask("json", **LOCAL)
        assert second.status_code in (200, 503)
        await first
        assert both.leaked == 0


async def test_without_local_only_the_same_faults_do_reach_the_remote() -> None:
    """So that the tests above can fail."""
    async with house() as both:
        both.small.fail(Fault.ERROR_500)
        assert (await both.ask("json")).headers["x-smallfirst-backend"] == "large"
        assert (await both.ask("embeddings")).status_code == 200
        assert both.leaked == 2
