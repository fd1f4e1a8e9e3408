"""An operator's regular expressions: usable, meaningful, and bounded in what a stranger's text can cost."""

from __future__ import annotations

import pytest

from app.settings.regexes import check_regex

GOOD = [
    r"\bPROJ-\d+\b",
    "(?i)internal use only",
    "(?P<a>x)|y",
    "(foo|bar)+",
    "(?:[a-z]{1,9}\\.)+com",
    "(?:[a-z]+\\.){1,8}com",
    "(ab){3}(cd)*e+",
    "[(a+)+]",
    r"\(a+\)+",
    "a+b*c{2,}",
    "(a+)(b+)",
    "(?<=x)a+",
    "内部：.{0,20}绝密",
]


@pytest.mark.parametrize("text", GOOD)
def test_accepted(text: str) -> None:
    """Repetitions side by side, repeated groups of fixed or short length, classes and escapes."""
    assert check_regex(text) == text


NESTED = ["(a+)+b", "(?:a*b?)*c", "((a+)b)*c", "(a{2,}){10}", "(x|(?:y+))+", r"(\w+\s?)*!", "(?P<n>a+){2,}", "([a]+)*b"]


@pytest.mark.parametrize("text", NESTED)
def test_nested_repetitions_are_refused(text: str) -> None:
    """They could take forever; the message shows the cure."""
    with pytest.raises(ValueError, match=r"\(a\{1,9\}\)\{1,9\}"):
        check_regex(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("(secret", "see character 1"), ("a**", "see character 3"), ("x{1,99999999999999}", "not a regular expression")],
)
def test_what_does_not_compile(text: str, said: str) -> None:
    """The place is told, the text is not: it may be what is to be kept secret."""
    with pytest.raises(ValueError, match="not a regular expression") as refused:
        check_regex(text)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "a*", "x|", "(?:)"])
def test_what_matches_everything(text: str) -> None:
    """A rule that always holds should not look like a condition."""
    with pytest.raises(ValueError, match="matches any text"):
        check_regex(text)
