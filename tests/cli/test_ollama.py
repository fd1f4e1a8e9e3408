from __future__ import annotations

import pytest

from app.cli.ollama import address


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9999", "http://127.0.0.1:9999"),
        (":9999", "http://127.0.0.1:9999"),
        ("box.lan", "http://box.lan:11434"),
        ("http://box.lan", "http://box.lan:80"),
        ("https://box.lan", "https://box.lan:443"),
        ("http://box.lan:1234/", "http://box.lan:1234"),
        ("[::]:11434", "http://[::1]:11434"),
        ("box.lan:port", "http://box.lan:11434"),
    ],
)
def test_the_address_follows_ollama_host(given: str, expected: str) -> None:
    """OLLAMA_HOST is read as Ollama's own client reads it."""
    assert address({"OLLAMA_HOST": given}) == expected
