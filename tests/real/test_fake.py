"""The scripted fake against the server it imitates: all that the fake says, the real one says in the same shape.

The real one says more, which is no fault: a fake is faithful if nobody can learn from it what is not so.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from app.backends.scripted import Model, Scripted, serve_in_thread
from tests.real.house import SLOTS, WINDOW, hello
from tests.real.llama import Llama
from tests.real.test_overflow import LONG
from tests.real.test_tools import FORMAT, NAMED, TOOLS

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
MOST = 8
BEGUN = [*hello("What is the weather?"), {"role": "assistant", "content": "<tool_call>\n"}]
CALL = {"messages": BEGUN, "tools": TOOLS[1:], "tool_choice": "required", "max_tokens": 400}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def fake() -> Iterator[str]:
    made = Scripted(Model(imitates="llama-cpp", name="tiny", slots=SLOTS, context_window=WINDOW))
    with serve_in_thread(made) as url:
        yield url


def shape(value: Any) -> Any:
    """Names and types, without what was said. Of a list its first."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def lies(fake: Any, real: Any, where: str = "") -> list[str]:
    """Each place where the fake's shape is not the real one's; a list that is empty in one of them tells nothing."""
    if isinstance(fake, dict) and isinstance(real, dict):
        unknown = [f"{where}.{name} is unknown" for name in fake.keys() - real.keys()]
        both = fake.keys() & real.keys()
        return unknown + [lie for name in both for lie in lies(fake[name], real[name], f"{where}.{name}")]
    if isinstance(fake, list) and isinstance(real, list):
        return lies(fake[0], real[0], f"{where}[]") if fake and real else []
    return [] if fake == real else [f"{where} is {fake}, not {real}"]


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Status, and the JSON or the events."""
    data = None if body is None else json.dumps({"model": "tiny", **body}).encode()
    request = urllib.request.Request(f"{url}{path}", data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, raw = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read().decode()
    if not raw.startswith("data: "):
        return status, json.loads(raw)
    events = [line.removeprefix("data: ") for line in raw.splitlines() if line.startswith("data: ")]
    return status, [event if event == "[DONE]" else json.loads(event) for event in events]


QUESTIONS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "whole": (CHAT, {"messages": hello(), "max_tokens": MOST}),
    "logprobs": (CHAT, {"messages": hello(), "max_tokens": MOST, "logprobs": True, "top_logprobs": 2}),
    "call": (CHAT, CALL),
    "text": (TEXT, {"prompt": "Hello", "max_tokens": MOST}),
    "text-logprobs": (TEXT, {"prompt": "Hello", "max_tokens": MOST, "logprobs": 2}),
    "overflow": (CHAT, {"messages": hello(LONG)}),
    "overflow-stream": (CHAT, {"messages": hello(LONG), "stream": True}),
    "many": (CHAT, {"messages": hello(), "n": SLOTS + 1}),
    "format": (CHAT, {"messages": hello(), "max_tokens": 100, "response_format": FORMAT}),
    "format-tools": (CHAT, {"messages": hello(), "max_tokens": 100, "tools": TOOLS, "response_format": FORMAT}),
    "tools-logprobs-stream": (CHAT, {"messages": hello(), "tools": TOOLS, "logprobs": True, "stream": True}),
    "health": ("/health", None),
    "props": ("/props", None),
    "slots": ("/slots", None),
    "models": ("/v1/models", None),
    "nowhere": ("/v1/nowhere", None),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer(question: str, fake: str, llama: Llama) -> None:
    path, body = QUESTIONS[question]
    (faked, scripted), (status, real) = ask(fake, path, body), ask(llama.url, path, body)
    assert faked == status
    assert lies(shape(scripted), shape(real)) == []
    if status >= 400:  # in as many words, up to the numbers
        words = [one["error"]["message"].partition("(")[0] for one in (scripted, real)]
        assert words[0] == words[1]


STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (CHAT, {"messages": hello(), "max_tokens": MOST, "stream": True}),
    "usage": (CHAT, {"messages": hello(), "max_tokens": MOST, **USAGE}),
    "logprobs": (CHAT, {"messages": hello(), "max_tokens": MOST, "logprobs": True, **USAGE}),
    "call": (CHAT, {**CALL, **USAGE}),
    "text": (TEXT, {"prompt": "Hello", "max_tokens": MOST, **USAGE}),
}


@pytest.mark.parametrize("question", STREAMS)
def test_a_stream(question: str, fake: str, llama: Llama) -> None:
    """Kinds of events in the same order, with nothing that the real one does not say, and the same end."""
    path, body = STREAMS[question]
    scripted, real = (kinds(ask(url, path, body)[1]) for url in (fake, llama.url))
    assert [name for name, _ in scripted] == [name for name, _ in real]
    for (name, said), (_, truth) in zip(scripted, real, strict=True):
        assert lies(shape(said), shape(truth), name) == []


def kinds(events: list[Any]) -> list[tuple[str, Any]]:
    """Each run of events that carry the same, by its first."""
    return [(name, next(run)) for name, run in groupby(events, key=carries)]


def carries(event: Any) -> str:
    if event == "[DONE]":
        return "done"
    if not event["choices"]:
        return "usage"
    choice = event["choices"][0]
    if choice["finish_reason"]:
        return "finish"
    delta = choice.get("delta", {})
    return "role" if "role" in delta else "call" if "tool_calls" in delta else "words"


def test_a_named_function_is_not_forced_by_either(fake: str, llama: Llama) -> None:
    """An object as `tool_choice` counts as `auto`."""
    body = {"messages": hello(), "tools": TOOLS, "tool_choice": NAMED, "max_tokens": 100}
    for url in (fake, llama.url):
        assert not ask(url, CHAT, body)[1]["choices"][0]["message"].get("tool_calls")
