from __future__ import annotations

import pytest

from app.cli.ollama import Model
from app.cli.writing import write
from app.settings import Source
from tests.docs.sandbox import uncommented

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
    """By taking away the "# " where the comment says so; all else stays."""
    text = write("http://127.0.0.1:1", SMALL, [])
    alone, both = (Source(None, {"HF_TOKEN": "t"}, one).load() for one in (text, uncommented(text)))
    assert [tier.name for tier in alone.config.tiers] == ["slm"]
    assert [tier.name for tier in both.config.tiers] == ["slm", "llm"]
    assert both.config.backends["ollama"] == alone.config.backends["ollama"]
    assert both.warnings == ()
    assert sum(line not in text.splitlines() for line in uncommented(text).splitlines()) == 8 + 1
    assert "the next eight lines" in text
