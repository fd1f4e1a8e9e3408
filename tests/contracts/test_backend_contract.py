"""One suite for every kind of backend: what the gateway may rely on, whatever server stands behind the adapter.

The adapter is the real one, the server the shipped fake on a socket; the two share no table.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from app import errors
from app.backends.quirks import BY_KIND
from app.backends.scripted import Endpoint, Fault
from app.core.types import Usage
from tests.contracts.pair import (
    EMBED,
    FORMATS,
    KINDS,
    NAMED,
    PARAMETERS,
    TIME,
    WEATHER,
    WORDS,
    both_forms,
    check_call,
    every_kind,
    pair,
    read,
)


@every_kind
@both_forms
async def test_a_plain_answer(kind: str, stream: bool) -> None:
    """Text, a finish reason in OpenAI's words, the model's name, and usage that is the server's own."""
    async with pair(kind) as both:
        said = await both.ask(stream=stream)
    message, seen = said.message(stream), both.fake.seen
    assert message["content"]
    assert message["finish_reason"] == "stop"
    assert said.model == "m"
    assert said.usage == Usage(seen.prompt_tokens, seen.completion_tokens)
    assert seen.completed == seen.requests == 1


@every_kind
async def test_usage_is_shown_only_when_asked_for(kind: str) -> None:
    """As an event of its own, the last one before [DONE]; without asking no event has one, and it is known still."""
    async with pair(kind) as both:
        unasked = await both.ask(stream=True)
        asked = await both.ask(stream=True, stream_options={"include_usage": True})
    assert not any(chunk.get("usage") for chunk in unasked.chunks)
    assert all(chunk["choices"] for chunk in unasked.chunks)
    with_usage = [chunk for chunk in asked.chunks if chunk.get("usage")]
    assert with_usage == asked.chunks[-1:]
    assert with_usage[0]["choices"] == []
    assert unasked.usage == asked.usage
    assert asked.usage is not None
    assert with_usage[0]["usage"]["completion_tokens"] == asked.usage.output


@every_kind
@both_forms
async def test_usage_that_is_missing_is_estimated(kind: str, stream: bool) -> None:
    """And said to be an estimate."""
    async with pair(kind) as both:
        both.fake.fail(Fault.NO_USAGE)
        said = await both.ask(stream=stream)
    if kind == "transformers" and stream:
        return  # its usage is part of the finish chunk
    assert said.usage is not None
    assert said.usage.estimated
    assert said.usage.output > 0


@every_kind
async def test_ids_are_unique(kind: str) -> None:
    """Where the server's collide or are empty, the gateway makes its own; one id for a whole stream."""
    async with pair(kind) as both:
        ids: list[str] = []
        for number in range(3):
            said = await read(await both.open_stream(f"r{number}"))
            own = {chunk["id"] for chunk in said.chunks}
            assert len(own) == 1
            ids += own
    assert len(set(ids)) == 3
    if kind in ("ollama", "tgi"):
        assert ids == ["chatcmpl-r0", "chatcmpl-r1", "chatcmpl-r2"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "openai"])
async def test_unknown_fields_arrive_or_are_kept_back(kind: str) -> None:
    """What a server would refuse is not sent; that is counted, as is what it is known to ignore."""
    async with pair(kind) as both:
        assert (await both.ask(top_k=40, colour="red")).message(False)["content"]
    (body,) = both.fake.seen.bodies
    refuses = kind == "transformers"
    assert ("top_k" in body, "colour" in body) == (not refuses, not refuses)
    assert both.unhonoured == {"transformers": [("b", "unknown")], "ollama": [("b", "top_k")]}.get(kind, [])


@every_kind
@both_forms
async def test_a_tool_is_called(kind: str, stream: bool) -> None:
    """Whole or in pieces: a name, an id, arguments that satisfy the schema, and the finish reason tool_calls."""
    async with pair(kind) as both:
        message = (await both.ask("How is the weather?", tools=[WEATHER], stream=stream)).message(stream)
    assert message["finish_reason"] == "tool_calls"
    check_call(message)


@every_kind
@both_forms
async def test_tool_choice_none(kind: str, stream: bool) -> None:
    """No call, even where the server ignores the field."""
    async with pair(kind) as both:
        said = await both.ask("How is the weather?", tools=[WEATHER], tool_choice="none", stream=stream)
    assert said.message(stream)["content"]
    assert not said.message(stream).get("tool_calls")


@pytest.mark.parametrize("kind", NAMED)
@both_forms
async def test_tool_choice_named(kind: str, stream: bool) -> None:
    """That function is called, though the question is about something else; emulated where it must be."""
    choice = {"type": "function", "function": {"name": "get_weather"}}
    async with pair(kind) as both:
        said = await both.ask("Hello", tools=[TIME, WEATHER], tool_choice=choice, stream=stream)
    check_call(said.message(stream))
    assert said.message(stream)["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("kind", FORMATS)
@both_forms
async def test_a_json_schema(kind: str, stream: bool) -> None:
    """The content satisfies it, wherever the kind claims so."""
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": PARAMETERS}}
    async with pair(kind) as both:
        message = (await both.ask(response_format=wanted, stream=stream)).message(stream)
    assert orjson.loads(message["content"]).keys() == {"city", "days"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json_object" in BY_KIND[kind].has])
async def test_a_json_object(kind: str) -> None:
    """Some object."""
    async with pair(kind) as both:
        message = (await both.ask(response_format={"type": "json_object"})).message(False)
    assert isinstance(orjson.loads(message["content"]), dict)


FIELDS: list[dict[str, Any]] = [
    {"max_completion_tokens": 2},
    {"max_tokens": 2},
    {"stop": "a", "max_tokens": 50},
    {"developer": True},
    {"parts": True},
    {"response_format": {"type": "text"}},
    {"seed": 1, "temperature": 0.1, "top_p": 0.9, "presence_penalty": 0.5, "user": "u"},
    {"logprobs": True, "top_logprobs": 2},
]


@every_kind
@pytest.mark.parametrize("more", FIELDS, ids=lambda more: next(iter(more)))
async def test_usual_fields_are_served(kind: str, more: dict[str, Any]) -> None:
    """What clients send every day is not an error anywhere, and limits are kept."""
    fields = {key: value for key, value in more.items() if key not in ("developer", "parts")}
    content: Any = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}] if "parts" in more else WORDS
    messages = [{"role": "user", "content": content}]
    if "developer" in more:
        messages.insert(0, {"role": "developer", "content": "Be brief."})
    async with pair(kind) as both:
        said = await both.send("chat", {"messages": messages, **fields})
    assert said.message(False)["content"] is not None
    assert both.fake.seen.messages == len(messages)
    if 2 in (fields.get("max_tokens"), fields.get("max_completion_tokens")):
        assert said.usage is not None
        assert said.usage.output == 2
        assert said.message(False)["finish_reason"] == "length"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("tgi", "openai")])
@both_forms
async def test_reasoning_has_both_spellings(kind: str, stream: bool) -> None:
    """Clients read one or the other."""
    async with pair(kind, thinks=True) as both:
        message = (await both.ask(stream=stream)).message(stream)
    assert "step by step" in message["reasoning"]
    assert message["reasoning"] == message["reasoning_content"]
    assert "step by step" not in message["content"]


@pytest.mark.parametrize("kind", ["ollama", "vllm", "llama-cpp", "transformers"])
async def test_thinking_is_turned_off(kind: str) -> None:
    """By the backend's default, unless the client says otherwise."""
    async with pair(kind, thinks=True, reasoning="off") as both:
        said = await both.ask()
    assert said.usage is not None
    assert said.usage.output < 60
    assert not said.message(False).get("reasoning")


@every_kind
@both_forms
async def test_completions(kind: str, stream: bool) -> None:
    """The older API, with usage."""
    async with pair(kind) as both:
        said = await both.ask(api="completion", prompt="Once upon a time", stream=stream)
    answers = said.chunks if stream else [said.whole]
    assert "".join(choice["text"] for answer in answers for choice in answer["choices"])
    seen = both.fake.seen
    assert said.usage == Usage(seen.prompt_tokens, seen.completion_tokens)


@pytest.mark.parametrize("kind", EMBED)
async def test_embeddings(kind: str) -> None:
    """One vector for each text, in the encoding that was asked for."""
    async with pair(kind) as both:
        said = await both.ask(api="embedding", input=["a", "b"])
        packed = await both.ask(api="embedding", input="a", encoding_format="base64")
    assert len(said.whole["data"]) == 2
    assert base64.b64decode(packed.whole["data"][0]["embedding"])
    assert said.usage == Usage(2, 0)


async def test_token_arrays_are_embedded_where_they_are_known() -> None:
    """Ollama knows texts only: its own client's fault, final."""
    async with pair("openai") as both:
        assert (await both.ask(api="embedding", input=[1, 2, 3])).whole["data"]
    async with pair("ollama") as both:
        with pytest.raises(errors.UpstreamRejected):
            await both.ask(api="embedding", input=[1, 2, 3])


@every_kind
async def test_probing_learns_without_a_generation(kind: str) -> None:
    """Ready, with the window in use where the server tells it; no model was asked anything."""
    async with pair(kind, context_window=8192) as both:
        facts = both.backend.facts
    assert facts.state == "ready"
    assert facts.context_window == (None if kind in ("transformers", "openai") else 8192)
    assert (both.fake.seen.requests, both.fake.seen.loads) == (0, 0)


async def test_a_loading_model_is_known_to_load() -> None:
    """By Ollama's list of running models and by llama-server's health."""
    async with pair("ollama", loaded=False) as both:
        assert await both.backend.warming()
        await both.ask()
        assert not await both.backend.warming()
    async with pair("llama-cpp", loaded=False, load=60.0) as both:
        assert await both.backend.warming()
        with pytest.raises(errors.UpstreamLoading):
            await both.ask()


@pytest.mark.parametrize(
    ("state", "error"), [("scaledToZero", errors.UpstreamLoading), ("paused", errors.UpstreamUnavailable)]
)
async def test_an_endpoint_that_is_not_there(state: str, error: type[errors.GatewayError]) -> None:
    """Asleep it will come; paused it will not, and that is no fault of the request."""
    async with pair("vllm", endpoint=Endpoint(state=state, wake=60.0)) as both:
        with pytest.raises(error):
            await both.ask()


@every_kind
@both_forms
async def test_an_endpoint_in_front_changes_nothing(kind: str, stream: bool) -> None:
    """It speaks its engine's language; asked to wait, it wakes first."""
    sleeping = Endpoint(state="scaledToZero", wake=0.05)
    async with pair(kind, endpoint=sleeping, headers=(("x-scale-up-timeout", "5"),)) as both:
        for _ in range(2):
            said = await both.ask("How is the weather?", tools=[WEATHER], stream=stream)
            check_call(said.message(stream))
            assert said.message(stream)["finish_reason"] == "tool_calls"
    assert both.fake.seen.completed == both.fake.seen.requests == 2


async def test_a_picture_stays_beside_one_text() -> None:
    """Ollama makes a message of each part: texts are one, whatever stands between them."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "Look:"}, picture, {"type": "text", "text": "What is it?"}]
    async with pair("ollama", vision=True) as both:
        said = await both.send("chat", {"messages": [{"role": "user", "content": parts}]})
    assert said.message(False)["content"]
    assert both.fake.seen.messages == 2


async def test_an_empty_turn_in_history_is_no_error() -> None:
    """Clients send null for a turn without words; Ollama refuses that."""
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}]
    for kind in KINDS:
        async with pair(kind) as both:
            said = await both.send("chat", {"messages": [*history, {"role": "user", "content": WORDS}]})
        assert said.message(False)["content"]


async def test_tools_that_vllm_was_not_started_for_are_not_the_clients_fault() -> None:
    """Its flags are the operator's: another backend may answer."""
    async with pair("vllm", tool_parser=False) as both:
        with pytest.raises(errors.UpstreamRefused) as raised:
            await both.ask(tools=[WEATHER])
    assert not raised.value.final
