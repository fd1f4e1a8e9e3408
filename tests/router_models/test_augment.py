"""Variants of requests: what changes, what stays, and that the same text gives the same variant."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.chat import ChatRequest
from router_models.augment import CHATTER, cut, in_conversation, padded


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_half_of_all_prompts_are_put_into_a_conversation() -> None:
    """The last message stays; what surrounds it is drawn by the prompt alone."""
    bodies = [in_conversation(ask(f"question {number}")) for number in range(400)]
    assert bodies == [in_conversation(ask(f"question {number}")) for number in range(400)]
    assert all(body["messages"][-1]["content"] == f"question {number}" for number, body in enumerate(bodies))
    assert 150 < sum(len(body["messages"]) > 1 or "max_tokens" in body for body in bodies) < 250
    assert all(ChatRequest("chat", body) for body in bodies)


def test_a_conversation_stays_as_it_is() -> None:
    """What has turns already, or no messages, is not changed; a wanted length of its own is kept."""
    talk = {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]}
    assert in_conversation(talk) == talk
    assert in_conversation({"prompt": "once"}) == {"prompt": "once"}
    assert {in_conversation(ask(f"question {number}", max_tokens=7))["max_tokens"] for number in range(50)} == {7}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_small_talk_surrounds_the_text(language: str) -> None:
    """One to six sentences and more before and after it; earlier turns stay; another salt talks otherwise."""
    first = {"role": "user", "content": "first"}
    for number in range(60):
        text = f"text {number}"
        body = {"messages": [first, *ask(text)["messages"]], "max_tokens": 5}
        found = padded(body, language)
        talk = found["messages"][-1]["content"]
        assert found == padded(body, language) != padded(body, language, "other")
        assert text in talk
        assert 1 <= sum(talk.count(line) for line in CHATTER[language]) <= 8
        assert (found["messages"][0], found["max_tokens"]) == (first, 5)
        assert body["messages"][-1]["content"] == text


@pytest.mark.parametrize(
    ("text", "language", "short"),
    [
        ("Write a plan for the move, with dates and costs.", "en", "Write a plan for the move"),
        ("Hi, write a plan for the move, with dates.", "en", "Hi, write a plan for the move"),
        ("Good morning", "en", None),
        ("What is the capital of Canada?", "en", None),
        ("帮我写一个搬家计划，要有日期和费用。", "zh", "帮我写一个搬家计划"),
        ("你好，在吗", "zh", None),
    ],
)
def test_cut_short(text: str, language: str, short: str | None) -> None:
    """The first clause that says something, if there is more after it."""
    assert cut(ask(text), language) == (ask(short) if short else None)


def test_parts_are_not_cut() -> None:
    """A message that is no plain text has no variant cut short."""
    assert (
        cut({"messages": [{"role": "user", "content": [{"type": "text", "text": "a long clause here, more"}]}]}, "en")
        is None
    )
