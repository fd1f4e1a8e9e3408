"""The shapes of each imitation's answers, as they stand on the socket."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.backends.scripted.wire import error, stream_error
from tests.backends.scripted.asking import CHAT, KINDS, WEATHER, asking, chat, events, joined, streamed


@pytest.mark.parametrize("kind", KINDS)
async def test_both_forms_say_the_same(kind: str) -> None:
    """A stream's pieces join to the text of the whole answer, with the same usage."""
    async with asking(kind) as (_, client):
        whole = (await client.post(CHAT, json=chat())).json()
        chunks = await streamed(client)
    assert joined(chunks) == whole["choices"][0]["message"]["content"]
    usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert usage == [whole["usage"]]
    assert whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"]


@pytest.mark.parametrize(("kind", "on_finish", "done"), [(kind, kind == "transformers", kind) for kind in KINDS])
async def test_where_a_stream_says_its_usage_and_how_it_ends(kind: str, on_finish: bool, done: str) -> None:
    """An event of its own and [DONE], but for transformers: on the finish chunk, and no [DONE]."""
    async with asking(kind) as (_, client):
        chunks = await streamed(client)
        text = (await client.post(CHAT, json=chat(stream=True))).text
    assert bool(chunks[-1]["choices"]) is on_finish
    assert text.endswith("data: [DONE]\n\n") is (done != "transformers")


@pytest.mark.parametrize("kind", ["ollama", "vllm", "llama-cpp", "tgi", "openai"])
async def test_usage_is_not_said_unasked(kind: str) -> None:
    """Without include_usage no chunk of a stream has one."""
    async with asking(kind) as (_, client):
        assert not [one for one in await streamed(client, stream_options={}) if one.get("usage")]


FIRST: list[tuple[str, Any]] = [
    ("ollama", {"role": "assistant", "content": "Thank"}),
    ("vllm", {"role": "assistant", "content": ""}),
    ("llama-cpp", {"role": "assistant", "content": None}),
    ("tgi", {"role": "assistant", "content": "Thank"}),
    ("transformers", {"role": "assistant", "content": ""}),
    ("openai", {"role": "assistant", "content": "", "refusal": None}),
]


@pytest.mark.parametrize(("kind", "delta"), FIRST)
async def test_the_first_delta(kind: str, delta: Any) -> None:
    """Some open with a role before there is a token."""
    async with asking(kind) as (_, client):
        chunks = await streamed(client, messages=[{"role": "user", "content": "e"}])
    first = chunks[0]["choices"][0]["delta"]
    assert {**first, "content": delta["content"]} == delta
    assert bool(first["content"]) is bool(delta["content"])


async def test_ids_are_those_of_the_kind() -> None:
    """Ollama's come again and again, TGI's are empty, the others differ."""
    async with asking("ollama") as (_, client):
        assert int((await client.post(CHAT, json=chat())).json()["id"].removeprefix("chatcmpl-")) <= 998
    async with asking("tgi") as (_, client):
        assert (await client.post(CHAT, json=chat())).json()["id"] == ""
    async with asking("vllm") as (_, client):
        assert len({(await client.post(CHAT, json=chat())).json()["id"] for _ in range(3)}) == 3


@pytest.mark.parametrize("kind", ["ollama", "tgi"])
async def test_fields_of_the_kind(kind: str) -> None:
    """The fingerprint, and TGI's headers with counters."""
    async with asking(kind) as (_, client):
        answer = await client.post(CHAT, json=chat())
    assert answer.json()["system_fingerprint"] == f"fp_{kind}"
    if kind == "tgi":
        assert answer.headers["x-prompt-tokens"] == str(answer.json()["usage"]["prompt_tokens"])


async def test_nulls_of_vllm_and_timings_of_llama() -> None:
    """What only one server sends."""
    async with asking("vllm") as (_, client):
        choice = (await client.post(CHAT, json=chat())).json()["choices"][0]
    assert choice["stop_reason"] is choice["message"]["refusal"] is choice["message"]["annotations"] is None
    async with asking("llama-cpp") as (_, client):
        assert (await streamed(client))[-1]["timings"]["predicted_n"] > 0


CALLED = [("ollama", 1, "tool_calls"), ("transformers", 1, "tool_calls"), ("vllm", 4, "tool_calls")]
CALLED += [("llama-cpp", 4, "tool_calls"), ("openai", 4, "tool_calls"), ("tgi", 4, "stop")]


@pytest.mark.parametrize(("kind", "deltas", "finish"), CALLED)
async def test_tool_calls_come_whole_or_in_pieces(kind: str, deltas: int, finish: str) -> None:
    """Their arguments join to JSON; TGI repeats id and type, and ends in `stop`."""
    async with asking(kind) as (_, client):
        body = chat("How is the weather?", tools=[WEATHER])
        whole = (await client.post(CHAT, json=body)).json()["choices"][0]
        chunks = await streamed(client, **{**body, "stream": True})
    calls = [call for one in chunks for choice in one["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert len(calls) == deltas
    assert calls[0]["function"]["name"] == "get_weather"
    assert orjson.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "example"}
    assert whole["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":"example"}'
    ends = [choice["finish_reason"] for one in chunks for choice in one["choices"] if choice["finish_reason"]]
    assert ends == [whole["finish_reason"]] == [finish]
    assert all(("id" in call) is (kind == "tgi") for call in calls[1:])


async def test_a_named_call_of_vllm_ends_in_stop() -> None:
    """Whole and streamed; a call it chose itself ends in `tool_calls`."""
    named = {"type": "function", "function": {"name": "get_weather"}}
    async with asking("vllm") as (_, client):
        body = chat("Say hello", tools=[WEATHER], tool_choice=named)
        whole = (await client.post(CHAT, json=body)).json()["choices"][0]
        chunks = await streamed(client, **{**body, "stream": True})
    assert whole["message"]["tool_calls"]
    assert whole["finish_reason"] == "stop"
    assert [one["choices"][0]["finish_reason"] for one in chunks if one["choices"]][-1] == "stop"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_text_completion_is_text_also_of_a_model_that_thinks(kind: str) -> None:
    """Every choice of its stream has a string, and no tokens are counted that are not in it."""
    async with asking(kind, thinks=True) as (_, client):
        whole = (await client.post("/v1/completions", json={"model": "m", "prompt": "hi"})).json()
        stream = await client.post("/v1/completions", json={"model": "m", "prompt": "hi", "stream": True})
    texts = [choice["text"] for one in events(stream.text) for choice in one["choices"]]
    assert "".join(texts) == whole["choices"][0]["text"]
    assert whole["usage"]["completion_tokens"] == len([text for text in texts if text])


THOUGHTS: list[tuple[str, str | None]] = [
    ("ollama", "reasoning"),
    ("vllm", "reasoning"),
    ("llama-cpp", "reasoning_content"),
]
THOUGHTS += [("transformers", "reasoning_content"), ("tgi", "content"), ("openai", None)]


@pytest.mark.parametrize(("kind", "key"), THOUGHTS)
async def test_where_thoughts_go(kind: str, key: str | None) -> None:
    """Two spellings, into the text, or nowhere; they are paid for in any case."""
    async with asking(kind, thinks=True) as (_, client):
        whole = (await client.post(CHAT, json=chat())).json()
        chunks = await streamed(client)
    message = whole["choices"][0]["message"]
    assert whole["usage"]["completion_tokens"] > 100
    if key is not None:
        assert "step by step" in message[key]
        assert joined(chunks, key) == message[key]
    assert {"reasoning", "reasoning_content"} & message.keys() == {key} - {"content", None}


async def test_several_choices_and_logprobs() -> None:
    """`n` choices in both forms, with the likelihood of each token."""
    async with asking("openai") as (_, client):
        whole = (await client.post(CHAT, json=chat(n=2, logprobs=True))).json()
        chunks = await streamed(client, n=2, logprobs=True)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    said = whole["choices"][0]["logprobs"]["content"]
    assert whole["usage"]["completion_tokens"] == 2 * len(said)
    assert {choice["index"] for chunk in chunks for choice in chunk["choices"]} == {0, 1}
    assert next(one for chunk in chunks for one in chunk["choices"] if one["logprobs"])["logprobs"]["content"]


async def test_stop_sequences_have_a_name_at_tgi() -> None:
    """Where others say `stop`."""
    for kind, finish in {"tgi": "stop_sequence", "vllm": "stop"}.items():
        async with asking(kind) as (_, client):
            answer = await client.post(CHAT, json=chat(stop=["the"]))
        assert answer.json()["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("kind", KINDS)
async def test_completions(kind: str) -> None:
    """The older API in both forms; Ollama sends a zero usage with each chunk."""
    async with asking(kind) as (_, client):
        body = {"model": "m", "prompt": "Once upon a time"}
        whole = (await client.post("/v1/completions", json=body)).json()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        answer = await client.post("/v1/completions", json={**body, **options})
    chunks = events(answer.text)
    assert "".join(one["text"] for chunk in chunks for one in chunk["choices"]) == whole["choices"][0]["text"]
    assert whole["object"] == "text_completion"
    zeros = [chunk for chunk in chunks if (chunk.get("usage") or {}).get("total_tokens") == 0]
    assert bool(zeros) is (kind == "ollama")


ERRORS = [
    ("ollama", {"error": {"message": "no", "type": "not_found_error", "param": None, "code": None}}),
    ("vllm", {"error": {"message": "no", "type": "NotFoundError", "param": None, "code": 404}}),
    ("llama-cpp", {"error": {"code": 404, "message": "no", "type": "invalid_request_error"}}),
    ("tgi", {"error": "no", "error_type": "generation"}),
    ("transformers", {"detail": "no"}),
    (
        "openai",
        {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "model_not_found"}},
    ),
]


@pytest.mark.parametrize(("kind", "body"), ERRORS)
def test_errors_have_the_shape_of_the_kind(kind: Any, body: Any) -> None:
    """One sentence in six envelopes."""
    assert orjson.loads(error(kind, 404, "no")) == body


def test_odd_errors() -> None:
    """vLLM's 401 and transformers' 503 are texts."""
    assert orjson.loads(error("vllm", 401, "no")) == {"error": "Unauthorized"}
    assert orjson.loads(error("transformers", 503, "no")) == {"error": "no"}


@pytest.mark.parametrize("kind", KINDS)
def test_errors_inside_a_stream(kind: Any) -> None:
    """An error object or text; Ollama's own is swallowed into an empty chunk."""
    said = orjson.loads(stream_error(kind, "no"))
    if kind == "ollama":
        assert said["choices"][0] == {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    else:
        assert "no" in (said["error"] if kind == "transformers" else said["error"]["message"])
