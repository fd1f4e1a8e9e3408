from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result


def test_without_anything_it_says_what_to_do(smallfirst: Callable[..., Result]) -> None:
    """No file and no Ollama: bad usage, with the cure."""
    result = smallfirst("serve", OLLAMA_HOST="127.0.0.1:1")
    assert result.code == 2
    assert "--config" in result.err


def test_a_bad_config_stops_it_before_it_listens(smallfirst: Callable[..., Result]) -> None:
    """With every problem, as `check` tells them."""
    Path("bad.yaml").write_text("servr: {}\n")
    result = smallfirst("serve", "--config", "bad.yaml")
    assert result.code == 2
    assert "bad.yaml:1: servr: unknown key" in result.err
