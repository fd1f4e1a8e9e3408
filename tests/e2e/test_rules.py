"""Rules of the config over a whole application: what is private stays, with its session; what is ruled goes there."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.backends.scripted import Model, Scripted, serve
from app.main import application
from app.settings import Source

ID_CARD = "11010519491231002X"
CONFIG = """
backends:
  small: {{kind: ollama, zone: local, base_url: "{small}", model: m, price: unpriced}}
  large: {{kind: vllm, zone: remote, base_url: "{large}", model: big, price: unpriced}}
tiers: [{{name: slm, backends: [small]}}, {{name: llm, backends: [large]}}]
embeddings: {{backend: large, model: e}}
routing:
  rules:
    - {{name: private, when: {{content: [id-card, secret]}}, then: {{local_only: true}}}}
    - {{name: internal, when: {{header: {{x-data-class: internal}}}}, then: {{local_only: true}}}}
    - {{name: reviews, when: {{model: ["code-*"]}}, then: {{tier: llm}}}}
"""


class House:
    def __init__(self, client: httpx.AsyncClient, remote: Scripted) -> None:
        self.client = client
        self.remote = remote

    async def ask(self, text: str = "hi", path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
        body = {"model": headers.pop("model", "auto"), "messages": [{"role": "user", "content": text}], "input": text}
        return await self.client.post(path, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with _house() as one:
        yield one


@asynccontextmanager
async def _house() -> AsyncIterator[House]:
    remote = Scripted(Model("vllm", "big", slots=4, context_window=100_000))
    async with serve(Scripted(Model("ollama", "m"))) as small, serve(remote) as large:
        source = Source(None, {"NO_PROXY": "127.0.0.1"}, CONFIG.format(small=small, large=large))
        async with application(source, log=io.BytesIO()) as running:  # type: ignore[arg-type]
            transport = httpx.ASGITransport(running.app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                yield House(client, remote)


async def test_a_rule_names_the_tier(house: House) -> None:
    """The reason is the rule."""
    answer = await house.ask(model="code-review")
    assert (answer.headers["x-smallfirst-tier"], answer.headers["x-smallfirst-reason"]) == ("llm", "rule")


async def test_private_content_stays_and_so_does_its_session(house: House) -> None:
    """A later turn of the session that shows nothing private is as local; another session is free."""
    first = await house.ask(f"my number is {ID_CARD}", x_session_id="s-1")
    assert first.headers["x-smallfirst-reason"] == "local-only"
    later = await house.ask("and now?", x_session_id="s-1", x_smallfirst_tier="llm")
    assert (later.status_code, later.json()["error"]["code"]) == (400, "local_only_conflict")
    assert house.remote.seen.requests == 0
    assert (await house.ask("and now?", x_session_id="s-2", x_smallfirst_tier="llm")).status_code == 200


async def test_a_wish_for_the_remote_model_is_refused_by_name_of_the_rule(house: House) -> None:
    """Privacy wins over every wish, and says which rule it was."""
    answer = await house.ask(f"check {ID_CARD}", model="big")
    assert answer.status_code == 400
    assert "private" in answer.json()["error"]["message"]
    assert house.remote.seen.requests == 0


async def test_embeddings_are_ruled_as_well(house: House) -> None:
    """No path goes around the rules."""
    answer = await house.ask(f"embed {ID_CARD}", "/v1/embeddings")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "local_only_conflict")
    assert house.remote.seen.requests == 0


async def test_a_header_that_comes_twice_is_heard_twice(house: House) -> None:
    """A second value cannot undo what the first one said."""
    body = {"messages": [{"role": "user", "content": "hi"}]}
    headers = [("x-data-class", "internal"), ("x-data-class", "public")]
    answer = await house.client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.headers["x-smallfirst-reason"] == "local-only"
