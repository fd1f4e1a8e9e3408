"""Real clients, each in an environment of its own, at a pinned version: what they made of the gateway's answers.

Each script runs once and tells what every check of it found; here is one test for each check of each client.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.backends.scripted.answers import sentences_of
from tests.clients import said
from tests.clients.checks import CHECKS, CUTS, pinned
from tests.clients.house import House

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

Told = dict[str, Any]
WORDS = sentences_of(said.HELLO, 1)  # what every fake answers to the greeting
TOKENS = 32  # of the greeting and its answer, as the small fake counts them


@pytest.mark.parametrize("client", CHECKS)
def test_the_client_is_the_pinned_one(client: str, house: House) -> None:
    """And its script has every check that is asked for here, and no other."""
    told = house.visit(client).told
    assert told["version"] == pinned(client)
    assert sorted(told["checks"]) == sorted(CHECKS[client].split())


@pytest.mark.parametrize(("client", "check"), [(one, check) for one in CHECKS for check in CHECKS[one].split()])
def test_a_check(client: str, check: str, house: House) -> None:
    """What the client made of the answer is what the fake said."""
    told: Told = house.visit(client).told["checks"][check]
    assert house.bugs() == []
    assert "failed" not in told, told
    judge(check, told)


def judge(check: str, told: Told) -> None:
    if check.startswith("error_"):
        assert told["raised"], told
        assert told["status"] == int(check.removeprefix("error_")), told
    elif check in CUTS.split():  # an answer that broke off is no success
        assert told["raised"], told
        assert "broke off" in told["said"] or "failed with status 500" in told["said"], told
    elif check.startswith(("structured", "forced")):
        assert told["value"] == {"city": "example", "degrees": 7}
    elif check.startswith("agent"):  # a step for each call
        assert told == {"calls": ["get_weather", "final_answer"], "arguments": {"city": "example"}, "answer": "example"}
    elif check == "models":
        assert told["first"] == "auto"
        assert told["found"] == said.LARGE
    elif check.startswith("tool"):
        _judge_tool(check, told)
    else:
        _judge_words(check, told)


def _judge_words(check: str, told: Told) -> None:
    assert told["text"] == (sentences_of(said.JOINED, 1) if check == "parts" else WORDS)
    assert told.get("finish", "stop") == "stop"
    assert told.get("pieces", 2) > 1
    if check in ("plain", "usage"):
        assert told["tokens"] == TOKENS
    if "thoughts" in told:
        assert bool(told["thoughts"]) is (check == "thinking")


def _judge_tool(check: str, told: Told) -> None:
    assert (told["name"], told["arguments"]) == ("get_weather", {"city": "example"})
    assert told.get("finish", "tool_calls") in ("tool_calls", "tool-calls", "tool_call")
    if check == "tool" or "after" in told:
        assert told["after"] == sentences_of(said.WEATHER, 1)
    if "pieces" in told:
        assert (told["pieces"] > 2) is (check == "tool_pieces")


@pytest.mark.parametrize("client", CHECKS)
def test_what_the_backends_got(client: str, house: House) -> None:
    """The flaky one was asked before another answered; a forced call reached Ollama as a format; texts as texts."""
    bodies = house.visit(client).bodies
    assert len(bodies["flaky"]) == 1
    assert len(bodies["large"]) >= 1
    for body in bodies["small"]:
        assert "tool_choice" not in body
        assert not any(isinstance(message.get("content"), list) for message in body["messages"])
        if body.get("stream"):
            assert body["stream_options"]["include_usage"]
