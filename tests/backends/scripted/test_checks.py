"""What each server refuses, ignores and cuts, in its own words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.backends.scripted import checks
from app.backends.scripted.model import Fault, Model
from tests.backends.scripted.asking import CHAT, KINDS, WEATHER, asking, chat, events, streamed

IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/i.png"}}]}]
NULL = [{"role": "assistant", "content": None}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
VALUE = {"type": "json_schema", "value": {"name": "n", "schema": {"type": "object"}}}
OPTIONS = {"include_usage": True}

REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("ollama", {"model": "other"}, 404, "model 'other' not found"),
    ("vllm", {"model": "other"}, 404, "`other` does not exist"),
    ("openai", {"model": "other"}, 404, "does not exist"),
    ("ollama", {"messages": IMAGE}, 400, "invalid image"),
    ("ollama", {"messages": NULL}, 400, "invalid message content"),
    ("ollama", {"reasoning_effort": "high"}, 400, "does not support thinking"),
    ("ollama", {"reasoning_effort": "wild"}, 400, "invalid reasoning value"),
    ("vllm", {"stream_options": OPTIONS}, 400, "Stream options"),
    ("openai", {"stream_options": OPTIONS}, 400, "stream_options"),
    ("openai", {"top_k": 3}, 400, "Unrecognized request argument supplied: top_k"),
    ("llama-cpp", {"n": 2}, 400, "between 1 <= value <= 1"),
    ("vllm", {"n": 2**63}, 400, "at most"),
    ("vllm", {"n": 0}, 400, "at least"),
    ("openai", {"n": 129}, 400, "from 1 to 128"),
    ("llama-cpp", {"logprobs": True, "stream": True, "tools": [WEATHER]}, 400, "tools + stream"),
    ("tgi", {"stop": "x"}, 422, "expected a sequence"),
    ("tgi", {"response_format": SCHEMA}, 422, "missing field `value`"),
    ("tgi", {"response_format": VALUE, "tools": [WEATHER]}, 422, "mutually exclusive"),
    ("tgi", {"max_tokens": 5, "max_completion_tokens": 5}, 422, "duplicate field"),
    ("transformers", {"top_k": 3}, 422, "Unexpected fields"),
    ("vllm", {"messages": []}, 400, "messages"),
    ("tgi", {"messages": "hi"}, 422, "messages"),
]


@pytest.mark.parametrize(("kind", "more", "status", "words"), REFUSED)
async def test_refusals(kind: str, more: dict[str, Any], status: int, words: str) -> None:
    """The server's status and words, counted as failed."""
    async with asking(kind) as (scripted, client):
        answer = await client.post(CHAT, json={**chat(), **more})
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert (scripted.seen.failed, scripted.seen.completed) == (1, 0)


async def test_capabilities_and_flags_that_are_missing() -> None:
    """Tools without the capability, and vLLM without its parser; `none` is possible in any case."""
    async with asking("ollama", tools=False) as (_, client):
        assert "does not support tools" in (await client.post(CHAT, json=chat(tools=[WEATHER]))).text
    async with asking("vllm", tool_parser=False) as (_, client):
        assert (await client.post(CHAT, json=chat(tools=[WEATHER]))).status_code == 400
        assert (await client.post(CHAT, json=chat(tools=[WEATHER], tool_choice="none"))).status_code == 200


@pytest.mark.parametrize("kind", ["vllm", "llama-cpp", "tgi", "ollama"])
async def test_other_fields_are_taken_in_silence(kind: str) -> None:
    """Unknown ones pass."""
    async with asking(kind) as (_, client):
        assert (await client.post(CHAT, json=chat(top_k=3, colour="red"))).status_code == 200


async def test_what_ollama_ignores() -> None:
    """tool_choice, n and max_completion_tokens change nothing there; max_tokens does."""
    async with asking("ollama") as (_, client):
        ignored = chat(tools=[WEATHER], tool_choice="required", n=2, max_completion_tokens=2)
        first = (await client.post(CHAT, json=ignored)).json()
        limited = (await client.post(CHAT, json=chat(max_tokens=2))).json()
    assert len(first["choices"]) == 1
    assert first["choices"][0]["finish_reason"] == "stop"
    assert limited["usage"]["completion_tokens"] == 2
    assert limited["choices"][0]["finish_reason"] == "length"


async def test_llama_cpp_knows_the_words_of_a_choice_only() -> None:
    """A named function counts as auto there; a required call is made."""
    named = {"type": "function", "function": WEATHER["function"]}
    async with asking("llama-cpp") as (_, client):
        for choice, finish in ((named, "stop"), ("required", "tool_calls")):
            answer = await client.post(CHAT, json=chat(tools=[WEATHER], tool_choice=choice))
            assert answer.json()["choices"][0]["finish_reason"] == finish


async def test_ollama_makes_messages_of_parts() -> None:
    """A message of two parts reaches the model as two."""
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    for kind, messages in {"ollama": 2, "vllm": 1}.items():
        async with asking(kind) as (scripted, client):
            await client.post(CHAT, json={"model": "m", "messages": [{"role": "user", "content": parts}]})
        assert scripted.seen.messages == messages


OVERFLOW = [
    ("vllm", 400, "maximum context length is 64"),
    ("llama-cpp", 400, "exceed_context_size_error"),
    ("tgi", 422, "`inputs` tokens + `max_new_tokens` must be <= 64"),
    ("openai", 400, "context_length_exceeded"),
]


@pytest.mark.parametrize(("kind", "status", "words"), OVERFLOW)
async def test_a_prompt_that_is_too_long(kind: str, status: int, words: str) -> None:
    """Refused in as many words as there are servers."""
    async with asking(kind, context_window=64) as (_, client):
        answer = await client.post(CHAT, json=chat("word " * 100))
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    if kind == "llama-cpp":
        assert answer.json()["error"]["n_ctx"] == 64


async def test_ollama_cuts_it_without_a_word() -> None:
    """200, and a usage that ends at the window."""
    async with asking("ollama", context_window=64) as (scripted, client):
        answer = await client.post(CHAT, json=chat("word " * 100))
    assert answer.json()["usage"]["prompt_tokens"] == 64
    assert scripted.seen.truncated == 1


async def test_errors_of_a_stream_are_a_200_at_tgi() -> None:
    """Refusals and faults alike, with the status inside."""
    async with asking("tgi") as (scripted, client):
        refused = await client.post(CHAT, json=chat(stream=True, stop="x"))
        scripted.fail(Fault.BUSY_429)
        busy = await client.post(CHAT, json=chat(stream=True))
    assert (refused.status_code, events(refused.text)[0]["error"]["http_status_code"]) == (200, 422)
    assert events(busy.text)[0]["error"]["http_status_code"] == 429
    assert busy.text.endswith("data: [DONE]\n\n")


QUIET: list[tuple[str, dict[str, Any]]] = [
    ("ollama", {"reasoning_effort": "none"}),
    ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
    ("vllm", {"reasoning_effort": "none"}),
    ("llama-cpp", {"reasoning_effort": "none"}),
    ("transformers", {"chat_template_kwargs": {"enable_thinking": False}}),
]


@pytest.mark.parametrize(("kind", "more"), QUIET)
async def test_how_thinking_is_turned_off(kind: str, more: dict[str, Any]) -> None:
    """Each has its own switch; without it, it thinks."""
    async with asking(kind, thinks=True) as (_, client):
        loud, quiet = await streamed(client), await streamed(client, **more)
    assert len(loud) > len(quiet) + 100


FAULTS = [
    (Fault.REFUSE_403, 403),
    (Fault.MODEL_404, 404),
    (Fault.REJECT_400, 400),
    (Fault.UNPROCESSABLE_422, 422),
    (Fault.BUSY_429, 429),
    (Fault.LIMIT_429, 429),
    (Fault.ERROR_500, 500),
    (Fault.HTML_502, 502),
    (Fault.BUSY_503, 503),
    (Fault.REDIRECT_307, 307),
    (Fault.EMPTY_200, 200),
    (Fault.ERROR_200, 200),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "status"), FAULTS)
def test_faults_that_are_a_whole_answer(kind: Any, fault: Fault, status: int) -> None:
    """Only the one that says so has a Retry-After."""
    said, _, headers = checks.faulty(fault, kind, "Bearer k")
    assert said == status
    assert (b"retry-after" in dict(headers)) is (fault is Fault.BUSY_429)


def test_a_refused_key_is_repeated() -> None:
    """As some servers do, which is a leak the gateway must not pass on."""
    status, body, _ = checks.faulty(Fault.REFUSE_401, "openai", "Bearer sk-1")
    assert (status, "sk-1" in orjson.loads(body)["error"]["message"]) == (401, True)


EMBEDDINGS: list[tuple[str, Any, int | None]] = [
    ("ollama", ["a", "b"], None),
    ("ollama", [1, 2], 400),
    ("openai", [1, 2], None),
    ("vllm", [], 400),
    ("tgi", "a", 404),
    ("transformers", "a", 404),
]


@pytest.mark.parametrize(("kind", "given", "status"), EMBEDDINGS)
def test_embeddings(kind: Any, given: Any, status: int | None) -> None:
    """Ollama takes texts only; two servers do not embed at all."""
    refused = checks.embedding_refusal({"input": given}, Model(imitates=kind))
    assert (refused and refused[0]) == status


MISSHAPEN: list[dict[str, Any]] = [
    {"messages": ["hi"]},
    {"messages": [None]},
    {"tools": ["x"]},
    {"max_tokens": "5"},
    {"max_tokens": 2.5},
    {"stop": [5]},
]


@pytest.mark.parametrize("kind", KINDS)
async def test_fields_of_a_wrong_type_are_refused(kind: str) -> None:
    """In the kind's own way, streamed or not, and counted as failed; TGI says it within its stream."""
    refused = 422 if kind in ("tgi", "transformers") else 400
    async with asking(kind) as (scripted, client):
        for more in MISSHAPEN:
            assert (await client.post(CHAT, json=chat(**more))).status_code == refused, more
            streaming = await client.post(CHAT, json=chat(**{"stream": True, **more}))
            assert streaming.status_code == (200 if kind == "tgi" else refused), more
            assert "error" in streaming.text or "detail" in streaming.text
    assert scripted.seen.failed == scripted.seen.requests == 2 * len(MISSHAPEN)
