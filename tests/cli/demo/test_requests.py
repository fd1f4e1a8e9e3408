"""The requests are as many and as various as the demo says."""

from __future__ import annotations

import re
from collections import Counter

from app.cli.demo.requests import load
from app.core.chat import ChatRequest

REQUESTS = load()


KINDS = (
    "greeting chat-en chat-zh rewrite translate summary extraction multi-turn long-context json tools code math image "
    "over-long"
)


def test_over_two_hundred_of_fifteen_kinds() -> None:
    """A few of each at least, everyday ones the most."""
    counts = Counter(request.kind for request in REQUESTS)
    assert set(counts) == set(KINDS.split())
    assert min(counts.values()) >= 4
    assert counts.total() >= 200


def test_what_is_too_long_is_too_long() -> None:
    """For the small model, and not for the large one."""
    sizes = [ChatRequest("chat", dict(one.body)).estimated_tokens() for one in REQUESTS if one.kind == "over-long"]
    others = [ChatRequest("chat", dict(one.body)).estimated_tokens() for one in REQUESTS if one.kind != "over-long"]
    assert 4096 < min(sizes) <= max(sizes) < 100_000
    assert max(others) < 4096 / 2


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
