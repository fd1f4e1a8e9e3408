"""The routes beside generation, and how Ollama loads models."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from app.backends.scripted.model import Model, Seen
from app.backends.scripted.native import Memory
from tests.backends.scripted.asking import CHAT, WEATHER, asking, chat

GETS: list[tuple[str, str, int, str]] = [
    ("ollama", "/", 200, "Ollama is running"),
    ("ollama", "/api/version", 200, "0.33"),
    ("ollama", "/api/tags", 200, '"m"'),
    ("ollama", "/health", 404, ""),
    ("ollama", "/metrics", 404, ""),
    ("ollama", "/v1/models/m", 200, '"m"'),
    ("ollama", "/v1/models/x", 404, "not found"),
    ("vllm", "/health", 200, ""),
    ("vllm", "/v1/models", 200, '"max_model_len":4096'),
    ("vllm", "/v1/models/m", 404, ""),
    ("vllm", "/load", 200, '"server_load":0'),
    ("vllm", "/metrics", 200, "vllm:num_requests_waiting"),
    ("llama-cpp", "/health", 200, "ok"),
    ("llama-cpp", "/props", 200, '"n_ctx":4096'),
    ("llama-cpp", "/slots?fail_on_no_slot=1", 200, '"n_ctx":4096'),
    ("tgi", "/health", 200, ""),
    ("tgi", "/info", 200, '"max_total_tokens":4096'),
    ("transformers", "/health", 200, "ok"),
    ("transformers", "/v1/models", 200, '"m"'),
    ("openai", "/v1/models/m", 200, '"m"'),
    ("openai", "/health", 404, ""),
]


@pytest.mark.parametrize(("kind", "path", "status", "words"), GETS)
async def test_routes_of_each_kind(kind: str, path: str, status: int, words: str) -> None:
    """Each server has its own, and lacks the others'."""
    async with asking(kind) as (_, client):
        answer = await client.get(path)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


async def test_llama_says_that_it_loads() -> None:
    """On every route until the model is there; it loads by itself."""
    async with asking("llama-cpp", load=60.0, loaded=False) as (scripted, client):
        answers = [await client.get("/health"), await client.get("/props"), await client.post(CHAT, json=chat())]
    assert [(one.status_code, "Loading model" in one.text) for one in answers] == [(503, True)] * 3
    assert scripted.seen.failed == 1


async def test_llama_has_a_probe_for_a_free_slot() -> None:
    """503 while all are in use."""
    async with asking("llama-cpp", first_token=60.0) as (scripted, client):
        busy = asyncio.create_task(client.post(CHAT, json=chat()))
        while not scripted.seen.running:
            await asyncio.sleep(0.001)
        answer = await client.get("/slots?fail_on_no_slot=1")
        busy.cancel()
    assert answer.status_code == 503


async def ps(client: httpx.AsyncClient) -> list[tuple[str, int]]:
    return [(one["name"], one["context_length"]) for one in (await client.get("/api/ps")).json()["models"]]


async def test_ollama_loads_when_it_is_asked_and_unloads() -> None:
    """Cold at first; a chat without messages loads, with keep_alive 0 it unloads."""
    async with asking("ollama", loaded=False) as (scripted, client):
        assert await ps(client) == []
        loaded = await client.post("/api/chat", json={"model": "m", "messages": []})
        assert loaded.json()["done_reason"] == "load"
        assert await ps(client) == [("m", 4096)]
        unloaded = await client.post("/api/generate", json={"model": "m", "keep_alive": 0})
        assert unloaded.json()["done_reason"] == "unload"
        assert await ps(client) == []
    assert (scripted.seen.loads, scripted.seen.reloads, scripted.seen.requests) == (1, 0, 0)


async def test_showing_a_model_tells_what_it_can() -> None:
    """Capabilities and parameters; 404 in the native shape for one that is not pulled."""
    async with asking("ollama", thinks=True, vision=True) as (_, client):
        shown = (await client.post("/api/show", json={"model": "m"})).json()
        missing = await client.post("/api/show", json={"model": "x"})
    assert set(shown["capabilities"]) == {"completion", "tools", "vision", "thinking"}
    assert (missing.status_code, missing.json()) == (404, {"error": "model 'x' not found"})


async def test_another_window_by_a_derived_model() -> None:
    """It has its own num_ctx; using it means loading again."""
    async with asking("ollama") as (scripted, client):
        wanted = {"model": "m-8k", "from": "m", "parameters": {"num_ctx": 8192}, "stream": False}
        made = await client.post("/api/create", json=wanted)
        assert made.json() == {"status": "success"}
        shown = (await client.post("/api/show", json={"model": "m-8k"})).json()
        answer = await client.post(CHAT, json={**chat(), "model": "m-8k"})
        assert await ps(client) == [("m-8k", 8192)]
    assert "num_ctx 8192" in shown["parameters"]
    assert answer.json()["model"] == "m-8k"
    assert (scripted.seen.loads, scripted.seen.reloads) == (1, 1)


async def test_a_window_varied_per_call_loads_again_each_time() -> None:
    """A native call with another num_ctx, and the next one without."""
    async with asking("ollama") as (scripted, client):
        native = {"model": "m", "messages": chat()["messages"], "options": {"num_ctx": 8192}, "stream": False}
        await client.post("/api/chat", json=native)
        await client.post(CHAT, json=chat())
    assert scripted.seen.reloads == 2


async def test_the_native_chat_in_both_forms() -> None:
    """Lines of JSON by default, one object on request; arguments of a call are an object there."""
    body = {"model": "m", "messages": chat("How are you?")["messages"]}
    async with asking("ollama", thinks=True) as (_, client):
        lines = [orjson.loads(line) for line in (await client.post("/api/chat", json=body)).text.splitlines()]
        whole = (await client.post("/api/chat", json={**body, "stream": False, "think": False})).json()
        tools = {"messages": chat("How is the weather?")["messages"], "tools": [WEATHER], "stream": False}
        called = (await client.post("/api/chat", json={**body, **tools})).json()
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[0]["message"]["thinking"]
    assert "thinking" not in whole["message"]
    assert (whole["done_reason"], whole["eval_count"] > 0) == ("stop", True)
    assert called["message"]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": {"city": "example"}}


async def test_generate_and_a_format_and_a_limit() -> None:
    """The native way to a completion, to JSON and to an end."""
    async with asking("ollama") as (_, client):
        body: dict[str, Any] = {"model": "m", "prompt": "Hi", "stream": False}
        said = (await client.post("/api/generate", json={**body, "options": {"num_predict": 2}})).json()
        formed = (await client.post("/api/generate", json={**body, "format": {"const": 5}})).json()
    assert (said["done_reason"], said["eval_count"]) == ("length", 2)
    assert formed["response"] == "5"


async def test_truncation_can_be_refused() -> None:
    """The one deterministic way to learn that a prompt does not fit."""
    async with asking("ollama", context_window=64) as (_, client):
        body = {"model": "m", "messages": chat("word " * 100)["messages"], "truncate": False}
        answer = await client.post("/api/chat", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "the input length exceeds the context length"})


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.time += seconds


async def test_one_load_serves_all_who_wait_for_it() -> None:
    """Ten at once, one load."""
    clock, seen, model = Clock(), Seen(), Model(imitates="ollama", load=30.0, loaded=False)
    memory = Memory(model, seen, clock.now, clock.sleep)
    await asyncio.gather(*(memory.load(model) for _ in range(10)))
    assert (seen.loads, clock.time) == (1, 30.0)


@pytest.mark.parametrize(("keep_alive", "wait", "there"), [(None, 299, True), (None, 300, False), (-1, 9e9, True)])
async def test_a_model_is_forgotten_after_its_time(keep_alive: float | None, wait: float, there: bool) -> None:
    """Five minutes, or as long as was said; a negative time is for ever."""
    clock, seen, model = Clock(), Seen(), Model(imitates="ollama", loaded=False)
    memory = Memory(model, seen, clock.now, clock.sleep)
    await memory.load(model, keep_alive=keep_alive)
    clock.time += wait
    assert (memory.loaded is not None) is there
