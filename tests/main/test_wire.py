"""One backend of the config as adapter and probe."""

from __future__ import annotations

import pytest

from app.backends.http_client import HttpClient
from app.core.chat import ChatRequest
from app.errors import UpstreamUnavailable
from app.main.wire import Wired, wire
from app.settings import GatewayConfig
from tests.main.parts import ENVIRON, config_of

KINDS = """
backends:
  ollama: {kind: ollama, zone: local, base_url: "http://127.0.0.1:1", model: m, keep_alive: 600, prewarm: true,
           price: unpriced}
  hf: {kind: hf-endpoint, zone: remote, base_url: "http://127.0.0.1:2", model: m2, engine: vllm, namespace: team,
       endpoint: large, scale_up_timeout: 90s, api_key_env: BIG_KEY, price: unpriced}
  fake: {kind: scripted, zone: local, model: m3, imitates: tgi, price: unpriced}
tiers: [{name: slm, backends: [ollama, fake]}, {name: llm, backends: [hf]}]
"""


def wired(config: GatewayConfig, name: str, key: str | None) -> Wired:
    chosen = config.backends[name]
    client = HttpClient(proxies=False, connect_timeout=1.0, max_connections=1)
    return wire(chosen.spec(name), chosen, key, client, lambda backend, field: None)


def test_the_engine_decides_whose_wire_is_spoken() -> None:
    """An endpoint speaks its engine's, a fake what it imitates."""
    config = config_of(KINDS, ENVIRON)
    asked = [wired(config, name, "key").asking for name in ("ollama", "hf", "fake")]
    assert [one and one.kind for one in asked] == ["ollama", "vllm", "tgi"]


async def test_an_endpoint_is_asked_through_its_management_api() -> None:
    """By its full address there; and calls to it say how long they would wait for it to wake."""
    one = wired(config_of(KINDS, ENVIRON), "hf", "key")
    assert one.asking is not None
    assert one.asking.management is not None
    assert one.asking.management.endswith("/v2/endpoint/team/large")
    assert one.backend._headers["x-scale-up-timeout"] == "90"


async def test_without_its_secret_a_backend_is_down_and_never_asked() -> None:
    """It says why, and fails at once instead of sending a request without a key."""
    one = wired(config_of(KINDS, {}), "hf", None)
    assert one.asking is None
    assert one.backend.facts.state == "down"
    assert (await one.probe()).state == "down"
    with pytest.raises(UpstreamUnavailable):
        await one.backend.send(ChatRequest("chat", {"messages": [{"role": "user", "content": "hi"}]}), "r")


async def test_an_ollama_is_prewarmed_once_it_is_there() -> None:
    """While it cannot be reached nothing is loaded, and the wish stays."""
    one = wired(config_of(KINDS, ENVIRON), "ollama", None)
    assert (await one.probe()).state == "down"
    assert one.prewarm
