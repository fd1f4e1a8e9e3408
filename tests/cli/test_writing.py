from __future__ import annotations

import pytest

from app.cli.ollama import Model
from app.cli.writing import write
from app.settings import Source

SMALL = Model("qwen3:4b", thinks=True)


@pytest.mark.parametrize(
    ("url", "model", "zone"),
    [
        ("http://127.0.0.1:11434", SMALL, "local"),
        ("http://localhost:11434", SMALL, "local"),
        ("http://box.lan:11434", SMALL, "remote"),
        ("http://127.0.0.1:11434", Model("gpt-oss:120b-cloud", remote=True), "remote"),
    ],
)
def test_zone_local_only_where_it_is_certain(url: str, model: Model, zone: str) -> None:
    """Another machine or a maker's cloud is remote until the operator says otherwise."""
    loaded = Source(None, {}, write(url, model, [model])).load()
    assert loaded.config.backends["ollama"].zone == zone
    assert loaded.warnings == ()


def test_only_thinking_models_are_told_not_to() -> None:
    """A model that cannot think needs no switch."""
    assert "reasoning: off" in write("http://127.0.0.1:1", SMALL, [])
    assert "reasoning" not in write("http://127.0.0.1:1", Model("phi4"), [])


def test_the_commented_large_model_can_be_put_in() -> None:
    """Uncommenting what stands at the end, with figures, gives a config with two tiers."""
    text = write("http://127.0.0.1:1", SMALL, [])
    head, _, tail = text.partition("# To let a large model help")
    lines = [line.removeprefix("# ").removeprefix("#") for line in tail.splitlines()[1:]]
    backend, rest = "\n".join(lines[:3]), lines[3:]
    filled = backend.replace("...", "1", 4).replace('"https://1"', '"https://h"')
    head = head.replace("\ntiers:", f"\n{filled}\n\ntiers:").rstrip() + f"\n{rest[0]}\n{rest[1]}\n"
    config = Source(None, {}, head).load().config
    assert [tier.name for tier in config.tiers] == ["slm", "llm"]
