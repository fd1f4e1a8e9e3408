"""The requests are as many and as various as the demo says."""

from __future__ import annotations

import re
from collections import Counter

from app.cli.demo.requests import load
from app.core.chat import ChatRequest

REQUESTS = load()


def test_eight_kinds_of_thirteen() -> None:
    """Each kind has as many requests as the others."""
    assert Counter(request.kind for request in REQUESTS) == dict.fromkeys(
        ("chat-en", "chat-zh", "code", "tools", "json", "summary", "maths", "translate"), 13
    )


def test_no_two_are_alike() -> None:
    """Not even but for their numbers."""
    assert len({re.sub(r"\d+", "#", request.text) for request in REQUESTS}) == len(REQUESTS)


def test_about_half_is_chinese_and_about_half_streams() -> None:
    """Both are between two and three fifths, over all kinds but the two that are one language by name."""
    chinese = sum(bool(re.search(r"[\u4e00-\u9fff]", request.text)) for request in REQUESTS)
    streams = sum(request.stream for request in REQUESTS)
    assert 0.4 < chinese / len(REQUESTS) < 0.6
    assert 0.4 < streams / len(REQUESTS) < 0.65


def test_the_features_of_clients_are_there() -> None:
    """Tools, each way to choose one, schemas, and what the gateway must be told by header."""
    needs = [ChatRequest("chat", dict(request.body), 0).needs for request in REQUESTS]
    assert {"tools", "tool_choice.none", "tool_choice.named", "json_object", "json_schema"} <= set().union(*needs)
    assert sum("x-smallfirst-local-only" in request.headers for request in REQUESTS) >= 3
