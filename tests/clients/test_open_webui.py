"""Open WebUI's manners, played with the library that it uses: it is a web application, too large to run here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from app.backends.scripted import Scripted
from tests.clients import said
from tests.clients.house import KEY, House

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]
HEADERS = {
    "Authorization": f"Bearer {KEY}",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ada",
    "X-OpenWebUI-User-Id": "6f1d2c3b",
    "X-OpenWebUI-User-Email": "ada@example.org",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "0b1a2c3d",
}
PATIENCE = 20.0  # seconds on a busy machine


@asynccontextmanager
async def asking(house: House, model: str = said.AUTO, **fields: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    body = json.dumps({"model": model, "messages": said.messages(), **fields})
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
        session.post(f"{house.url}/chat/completions", data=body, headers=HEADERS) as answer,
    ):
        assert answer.status == 200, await answer.text()
        yield answer


async def lines(answer: aiohttp.ClientResponse) -> list[str]:
    return [line async for raw in answer.content if (line := raw.decode().strip())]


def deltas(events: list[str]) -> list[dict[str, Any]]:
    """What it shows: the deltas of the events that are data."""
    chunks = [json.loads(line.removeprefix("data: ")) for line in events if line.startswith("data: {")]
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


async def until_aborted(fake: Scripted, times: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while fake.seen.aborted < times or fake.seen.running:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/models", "/models/"])
async def test_models_are_listed(path: str, house: House) -> None:
    """Under the URL that people type, with and without the slash at its end."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{house.port}{path}", headers=HEADERS, allow_redirects=False) as answer,
    ):
        assert answer.status == 200
        listed = await answer.json()
    names = [model["id"] for model in listed["data"]]
    assert names[0] == "auto"
    assert {"slm", "llm", said.LARGE} <= set(names)


async def test_a_chat_and_its_thoughts_are_shown(house: House) -> None:
    """It looks for thoughts under three names; they are not in the text."""
    async with asking(house, said.THINKER, stream=True) as answer:
        events = await lines(answer)
    assert events[-1] == "data: [DONE]"
    shown = deltas(events)
    thoughts = "".join(
        delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking") or "" for delta in shown
    )
    assert "step by step" in thoughts
    assert "step by step" not in "".join(delta.get("content") or "" for delta in shown)


@pytest.mark.parametrize(("model", "fake"), [(said.AUTO, "small"), (said.LARGE, "large")])
async def test_a_limit_of_tokens_holds_everywhere(model: str, fake: str, house: House) -> None:
    """Titles and tags come with `max_completion_tokens`, which Ollama does not know."""
    async with asking(house, model, stream=False, max_completion_tokens=3) as answer:
        told = await answer.json()
    assert told["choices"][0]["finish_reason"] == "length"
    assert told["usage"]["completion_tokens"] == 3
    assert 3 in (house.backends[fake].seen.bodies[-1].get(key) for key in ("max_tokens", "max_completion_tokens"))


async def test_a_long_silence_is_filled_with_comments(house: House) -> None:
    """A comment before there is anything to say; whoever leaves after the first word stops the backend."""
    slow = house.backends["slow"]
    before = slow.seen.aborted
    async with asking(house, "slow", stream=True) as answer:
        events = []
        while not any(delta.get("content") for delta in deltas(events)):
            events.append((await answer.content.readline()).decode().strip())
    comments = [line for line in events if line and not line.startswith("data: ")]
    assert comments
    assert set(comments) == {": keep-alive"}
    await until_aborted(slow, before + 1)


async def test_leaving_before_the_first_word_stops_the_backend(house: House) -> None:
    """As when someone presses stop, or closes the page, while the model reads the prompt."""
    slow = house.backends["slow"]
    before, requests = slow.seen.aborted, slow.seen.requests

    async def ask() -> None:
        async with asking(house, "slow", stream=True):
            pass

    task = asyncio.create_task(ask())
    async with asyncio.timeout(PATIENCE):
        while slow.seen.requests == requests:
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until_aborted(slow, before + 1)
