from __future__ import annotations

from app.cli.probing import Finding, asker, probe_all
from app.core.types import BackendSpec, Capacity, Facts
from app.settings import Source
from tests.cli.fake_ollama import fake_ollama


def spec(kind: str, url: str, concurrent: int = 4) -> BackendSpec:
    return BackendSpec(kind, kind, "local", url, "qwen3:4b", capacity=Capacity(concurrent))


async def test_every_backend_is_asked_and_ollama_measured() -> None:
    """It says first that it will load a model, and then what to change."""
    said: list[str] = []

    async def ask(name: str) -> Facts:
        return Facts("ready", context_window=4096, models=(name,))

    with fake_ollama(slots=2) as fake:
        specs = (spec("ollama", fake.url), spec("openai", "http://127.0.0.1:1"))
        ollama, other = await probe_all(specs, ask, said.append)
    assert len(said) == 1
    assert "loading qwen3:4b" in said[0]
    assert ollama.slots is not None
    assert ollama.slots.at_once == 2
    assert "set capacity.concurrent to 2" in str(ollama)
    assert other.slots is None
    assert str(other) == "openai: ready, context 4096"
    assert other.as_json()["models"] == ["openai"]


async def test_an_ollama_that_is_down_is_not_measured() -> None:
    """There is nothing to load."""

    async def ask(name: str) -> Facts:
        return Facts("down", problem="refused")

    (found,) = await probe_all([spec("ollama", "http://127.0.0.1:1")], ask, print)
    assert not found.ok
    assert str(found) == "ollama: down, refused"


def test_asleep_is_fine() -> None:
    """An endpoint that sleeps answers when it is woken."""
    assert Finding("b", Facts("asleep")).ok


async def test_the_backends_of_a_config_are_asked_as_the_server_asks_them() -> None:
    """A backend without its secret is down before anything is sent; a scripted one is always there."""
    with fake_ollama() as fake:
        text = f"""
backends:
  small: {{kind: ollama, zone: local, base_url: "{fake.url}", model: "qwen3:4b", price: unpriced}}
  large: {{kind: openai, zone: remote, base_url: "{fake.url}", model: big, api_key_env: BIG_KEY, price: unpriced}}
  fake: {{kind: scripted, zone: local, model: scripted, price: unpriced}}
  sleeper: {{kind: hf-endpoint, zone: remote, base_url: "{fake.url}", model: big, price: unpriced}}
tiers: [{{name: slm, backends: [small, fake]}}, {{name: llm, backends: [large, sleeper]}}]
"""
        ask = asker(Source(None, {}, text).load().config, {})
        assert (await ask("small")).state == "ready"
        assert (await ask("large")) == Facts("down", problem="the variable BIG_KEY is not set")
        assert (await ask("sleeper")).state == "unknown"
        assert (await ask("fake")).models == ("scripted",)
