from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.sources import DEFAULT_FILE, default_source, named_source, tell
from app.errors import ConfigError
from tests.cli.fake_ollama import CLOUD, EMBED, fake_ollama


def test_a_named_file_comes_first(directory: Path) -> None:
    """Then the default file, if it is there."""
    assert named_source(None, {}) is None
    DEFAULT_FILE.parent.mkdir()
    DEFAULT_FILE.write_text("")
    default, named = named_source(None, {}), named_source(Path("x.yaml"), {})
    assert default is not None
    assert named is not None
    assert (default.path, named.path) == (DEFAULT_FILE, Path("x.yaml"))
    assert default_source({}).path == DEFAULT_FILE


def test_without_a_file_ollama_is_served(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its smallest chat model, on one tier; and it says so."""
    with fake_ollama() as fake:
        source = default_source({"OLLAMA_HOST": fake.url})
    config = source.load().config
    assert source.path is None
    assert config.backends["ollama"].model == "qwen3:4b"
    assert [tier.name for tier in config.tiers] == ["slm"]
    assert "serving qwen3:4b" in capsys.readouterr().err


def test_nothing_to_serve_names_the_cure(directory: Path) -> None:
    """No Ollama, or one without a chat model."""
    with pytest.raises(ConfigError, match="does not answer"):
        default_source({"OLLAMA_HOST": "127.0.0.1:1"})
    with fake_ollama([EMBED]) as fake, pytest.raises(ConfigError, match="ollama pull"):
        default_source({"OLLAMA_HOST": fake.url})


def test_a_cloud_model_is_not_served_unasked(directory: Path) -> None:
    """Prompts would leave the machine although nobody configured that."""
    with fake_ollama([CLOUD]) as fake, pytest.raises(ConfigError, match="no chat model of its own"):
        default_source({"OLLAMA_HOST": fake.url})


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """One a line."""
    tell(("a", "b"))
    assert capsys.readouterr().err == "warning: a\nwarning: b\n"
