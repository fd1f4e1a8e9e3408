"""A prompt that is longer than the window of a real llama-server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from app.backends import faults
from app.errors import UpstreamOverflow
from tests.real.house import LARGE, WINDOW, House, hello, opened
from tests.real.llama import Llama

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
LONG = "one two three four five six seven eight nine ten\n" * (WINDOW // 8)
OVERFLOW = "fallback:overflow"


@pytest.fixture(scope="module")
def misled(llama: Llama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway whose config says that the window is large: only the server can tell."""
    with opened(tmp_path_factory.mktemp("misled"), llama, ", context_window: 1000000") as made:
        yield made


def ask(house: House, stream: bool = False, **headers: str) -> tuple[dict[str, str], str]:
    """Our headers, and the words or the events together."""
    raw = house.client.chat.completions.with_raw_response.create(
        model="auto", messages=hello(LONG), max_tokens=8, stream=stream, extra_headers=headers
    )
    answer: Any = raw.parse()
    chunks = list(answer) if stream else []
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    ours = {name.removeprefix("x-smallfirst-"): value for name, value in raw.headers.items() if "smallfirst" in name}
    return ours, words or answer.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_the_refusal(llama: Llama, stream: bool) -> None:
    """400, also where a stream was asked for; recognised by its type, with the numbers in it."""
    assert llama.tokens(LONG) > WINDOW
    status, body = llama.post("/v1/chat/completions", {"messages": hello(LONG), "stream": stream})
    assert (status, body["error"]["type"]) == (400, "exceed_context_size_error")
    assert body["error"]["n_prompt_tokens"] > body["error"]["n_ctx"] == WINDOW
    fault = faults.from_response(status, None, orjson.dumps(body))
    assert isinstance(fault, UpstreamOverflow)
    assert str(WINDOW) in fault.message


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_escalated(misled: House, stream: bool) -> None:
    """The large tier answers, and the headers say why."""
    ours, words = ask(misled, stream)
    assert (ours["tier"], ours["backend"], ours["model"], ours["attempts"]) == ("llm", "large", LARGE, "2")
    assert (ours["reason"], ours["final-reason"]) == ("score", OVERFLOW)
    assert words
    assert misled.metric("upstream_attempts_total", backend="small", outcome="overflow") >= 1


def test_it_is_the_clients_where_no_other_may_answer(misled: House) -> None:
    """With the code that OpenAI has for it."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(misled, **{"x-smallfirst-local-only": "true"})
    assert caught.value.code == "context_length_exceeded"
    assert str(WINDOW) in str(caught.value)


def test_a_window_that_was_learnt_saves_the_attempt(house: House) -> None:
    """The probe has read it, of one slot: the large tier is asked at once."""
    ours, words = ask(house)
    assert (ours["tier"], ours["reason"], ours["attempts"]) == ("llm", "context-window", "1")
    assert "final-reason" not in ours
    assert words
