from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from app.settings.fields import BaseUrl, EnvName, KeepAlive, Name, parse_duration, secret, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20s", 20), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("7", 7), (7, 7), (0.25, 0.25), (0, 0)],
)
def test_durations(text: object, seconds: float) -> None:
    """A unit or plain seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1s", -1, "", "1d", True, None, "1s2", [1]])
def test_what_is_no_duration_names_the_cure(text: object) -> None:
    """The message shows how to write it."""
    with pytest.raises(ValueError, match="500ms, 20s"):
        parse_duration(text)


def test_a_shown_duration_can_be_read_again() -> None:
    """What `check` prints is a config."""
    assert [parse_duration(show_duration(seconds)) for seconds in (0.5, 20.0, 3600.0)] == [0.5, 20.0, 3600.0]


def test_keep_alive_may_be_for_ever() -> None:
    """-1 is Ollama's own word for it."""
    adapter = TypeAdapter(KeepAlive)
    assert [adapter.validate_python(value) for value in (-1, "-1", "5m", 0)] == [-1, -1, 300, 0]
    assert adapter.dump_python(-1.0, mode="json") == "-1"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
        ("https://api.example.com/v1", "https://api.example.com"),
        ("https://api.example.com/openai/v1/", "https://api.example.com/openai"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_base_url_is_the_root(url: str, root: str) -> None:
    """The /v1 that OpenAI clients want is accepted and taken off."""
    assert TypeAdapter(BaseUrl).validate_python(url) == root


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:11434",
        "ftp://h",
        "http://",
        "http://u:hunter2@h",
        "http://h?key=hunter2",
        "http://h:99999",
        "http://a b",
    ],
)
def test_a_bad_base_url_is_never_repeated(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValidationError) as failed:
        TypeAdapter(BaseUrl).validate_python(url)
    assert "hunter2" not in failed.value.errors()[0]["msg"]


@pytest.mark.parametrize("name", ["sk-123", "hf_AbCdEf", "1KEY", "", "MY KEY"])
def test_a_secret_is_no_name_of_a_variable(name: str) -> None:
    """Variables are written in capitals, tokens are not."""
    with pytest.raises(ValidationError, match="NAME of an environment variable"):
        TypeAdapter(EnvName).validate_python(name)


def test_names_fit_headers_and_labels() -> None:
    """Letters, digits and a few signs."""
    assert TypeAdapter(Name).validate_python("my-backend_1.a") == "my-backend_1.a"
    with pytest.raises(ValidationError, match="letters"):
        TypeAdapter(Name).validate_python("a b")


def test_an_empty_secret_is_none() -> None:
    """A variable that is set to nothing is as good as missing; a newline at the end is not part of a key."""
    environ = {"A": " key\n", "B": "  "}
    assert [secret(environ, name) for name in ("A", "B", "C", None)] == ["key", None, None, None]
