"""Small configs to bend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.settings import Loaded, Source

OLLAMA = """
backends:
  ollama: {kind: ollama, zone: local, base_url: "http://127.0.0.1:11434", model: "qwen3:4b", price: {kind: unpriced}}
"""
TWO = """
backends:
  small: {kind: ollama, zone: local, base_url: "http://127.0.0.1:11434", model: "qwen3:4b", price: unpriced}
  large: {kind: openai, zone: remote, base_url: "https://api.example.com/v1", model: big, price: unpriced}
tiers:
  - {name: slm, backends: [small]}
  - {name: llm, backends: [large]}
"""


def load(text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    return Source(None, environ or {}, text).load()


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with it, one line each, without the place in the file."""
    with pytest.raises(ConfigError) as failed:
        load(text, environ)
    return [line.partition(": ")[2] for line in str(failed.value).splitlines()]


def written(directory: Path, text: str) -> Path:
    path = directory / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path
