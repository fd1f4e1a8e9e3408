from __future__ import annotations

import pytest

from app.errors import ConfigError
from app.settings.document import as_yaml, read, scalar


def test_words_stay_words() -> None:
    """Only true and false are booleans; dates are left to their field."""
    values = read("{a: off, b: yes, c: true, d: 2026-13-45, e: 8080, f: null}").values
    assert values == {"a": "off", "b": "yes", "c": True, "d": "2026-13-45", "e": 8080, "f": None}


def test_lines_and_duplicates() -> None:
    """Every key has its line; a second one of the same path is reported, equal names elsewhere are not."""
    document = read("a:\n  x: 1\n  y: 2\n  x: 3\nb: [{x: 1}, {x: 2}]\n")
    assert document.duplicates == ((("a", "x"), 4),)
    assert document.line(("b", 1, "x")) == 5
    assert document.line(("a", "z", "deeper")) == 1
    assert document.line(("c",)) == 0


def test_two_on_one_line_are_duplicates_too() -> None:
    """In flow style both stand on the same line."""
    assert read("{a: 1, a: 2}").duplicates == ((("a",), 1),)


def test_merge_keys_and_anchors() -> None:
    """Shared parts are not duplicates; an anchor that holds itself ends."""
    assert read("a: &a {x: 1}\nb: {<<: *a, y: 2}").values["b"] == {"x": 1, "y": 2}
    assert read("a: &a [*a]").duplicates == ()


@pytest.mark.parametrize(
    "text", ["a: [", "a: *sk-secret", "a: !sk-secret x", "a: 'sk-secret", "a: b: sk-secret", "\x00"]
)
def test_broken_yaml_is_never_quoted(text: str) -> None:
    """Line and column, but no piece of the text."""
    with pytest.raises(ConfigError, match="not valid YAML") as failed:
        read(text)
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("text", ["[1]", "word"])
def test_a_config_is_a_mapping(text: str) -> None:
    """Of sections."""
    with pytest.raises(ConfigError, match="mapping of sections"):
        read(text)


def test_deep_nesting_is_refused() -> None:
    """No traceback for a file that is no config."""
    with pytest.raises(ConfigError):
        read("[" * 5000)


def test_an_empty_text_is_an_empty_document() -> None:
    """What is missing then is told by the fields."""
    assert read("# nothing\n").values == {}


def test_scalars_of_variables() -> None:
    """Lists and mappings where they are spelled so; anything else is text."""
    given = ["off", "8080", "[a, b]", '{"a": 1}', "[broken"]
    assert [scalar(text) for text in given] == ["off", "8080", ["a", "b"], {"a": 1}, "[broken"]


def test_what_is_written_reads_the_same() -> None:
    """Also `off` and repeated parts."""
    part = {"x": "off", "y": [1]}
    assert read(as_yaml({"b": part, "a": part})).values == {"b": part, "a": part}
