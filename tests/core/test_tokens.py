"""Guesses of tokens: near what real vocabularies give, cheap, and mended by what backends report."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.tokens import ENOUGH, LEAST, MOST, TokenRate, is_truncated, prompt_tokens, text_tokens
from app.core.types import Usage

PROSE = (
    "Dear team, I wanted to follow up on yesterday's discussion about the quarterly planning process. We agreed "
    "that each department should submit its proposals by Friday, so that finance can review them in time. "
)
CODE = """
def merge(left: list[int], right: list[int]) -> list[int]:
    result = []
    while left and right:
        result.append((left if left[0] <= right[0] else right).pop(0))
    return result + left + right
"""
CHINESE = "人工智能正在改变我们的生活方式，从智能手机到自动驾驶汽车，无处不在。我们需要认真思考它带来的机遇与挑战。"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        (PROSE, 1 / 4.8, 1 / 4.0),
        (CODE, 1 / 4.0, 1 / 2.8),
        (CHINESE, 0.6, 0.8),
        ("2024-01-15 12:34:56 ", 0.4, 0.7),
        ("Искусственный интеллект меняет нашу жизнь. ", 0.3, 0.5),
        ("😀🎉", 1.5, 3.0),
    ],
)
def test_tokens_of_each_character(text: str, least: float, most: float) -> None:
    """In the range that today's vocabularies have for that kind of text, however long it is."""
    assert least <= text_tokens(text) / len(text) <= most
    assert text_tokens(text * 50) == pytest.approx(50 * text_tokens(text))


def test_mixed_text_is_the_sum_of_its_parts() -> None:
    """A Chinese question about English code counts both."""
    assert text_tokens(CHINESE + CODE) == pytest.approx(text_tokens(CHINESE) + text_tokens(CODE))


@given(st.text(), st.text(max_size=5))
def test_more_text_is_not_fewer_tokens(text: str, more: str) -> None:
    """Any text counts, broken surrogates too, and adding ASCII never makes the guess smaller."""
    ascii_only = more.encode("ascii", "ignore").decode()
    assert 0 <= text_tokens(text) <= text_tokens(text + ascii_only) + 1e-9
    assert text_tokens(text) <= 4 * len(text)
    assert text_tokens("\ud800" + text) >= 0


def test_a_prompt_has_more_than_its_text() -> None:
    """Marks around each message, the opening of the answer, and tools by the size of their description."""
    assert prompt_tokens(["hi"]) == 0
    assert prompt_tokens(["hi"], messages=1) == 7
    assert prompt_tokens(["hi"], messages=3) == 15
    tool: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The current weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    one = prompt_tokens(["hi"], messages=1, tools=[tool]) - 7
    assert 40 <= one <= 80
    assert prompt_tokens(["hi"], messages=1, tools=[tool] * 10) - 7 == pytest.approx(10 * one, abs=10)


def test_depth_does_not_matter() -> None:
    """Tools are whatever JSON the client sent."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert prompt_tokens([], tools=[deep]) > 0


# --- rate ---------------------------------------------------------------------------------------------------


def taught(*answers: tuple[int, int]) -> TokenRate:
    rate = TokenRate()
    for raw, reported in answers:
        rate.learn(raw, Usage(reported, 1))
    return rate


def test_it_starts_as_guessed() -> None:
    """Before anything is known a guess is a guess."""
    assert TokenRate().value == 1.0
    assert TokenRate().of(1234) == 1234


def test_it_learns_a_vocabulary() -> None:
    """After some answers the estimate is what the backend counts."""
    assert taught(*[(1000, 1300)] * 60).of(2000) == pytest.approx(2600, rel=0.01)
    assert taught(*[(1000, 800)] * 60).of(2000) == pytest.approx(1600, rel=0.01)
    assert 1.0 < taught((1000, 1300)).value < 1.3


def test_what_teaches_nothing() -> None:
    """Short prompts, prompts that were cut or came from a cache uncounted, and our own guesses."""
    assert taught((ENOUGH - 1, 190)).value == 1.0
    assert taught((8000, 2048)).value == 1.0
    assert taught((1000, 12)).value == 1.0
    rate = TokenRate()
    rate.learn(1000, Usage(1500, 1, estimated=True))
    assert rate.value == 1.0


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 10_000_000))))
def test_it_stays_a_vocabulary(answers: list[tuple[int, int]]) -> None:
    """Whatever is reported."""
    assert LEAST <= taught(*answers).value <= MOST


@pytest.mark.parametrize(
    ("estimate", "reported", "cut"),
    [
        (8000, 2048, True),
        (8000, 3999, True),
        (8000, 4096, False),
        (8000, 9000, False),
        (900, 200, True),
        (900, 400, False),
        (300, 5, False),
        (0, 0, False),
    ],
)
def test_truncated(estimate: int, reported: int, cut: bool) -> None:
    """Less than half, and more than a template or a cached beginning could hide."""
    assert is_truncated(estimate, reported) == cut


@given(st.integers(100, 100_000), st.integers(0, 200_000), st.floats(LEAST, MOST))
def test_what_was_truncated_never_teaches(raw: int, reported: int, value: float) -> None:
    """At whatever rate it was estimated."""
    rate = TokenRate()
    rate.value = value
    if is_truncated(rate.of(raw), reported):
        rate.learn(raw, Usage(reported, 1))
        assert rate.value == value
