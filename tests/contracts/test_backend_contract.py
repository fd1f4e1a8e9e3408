"""One suite for every kind of backend: what the gateway may rely on, whatever server stands behind the adapter.

The adapter is the real one, the server the shipped fake on a socket; the two share no table.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from app import errors
from app.backends.http_client import HttpClient
from app.backends.openai_http import OpenAIBackend, Wiring
from app.backends.probe import Asking, probe, warming
from app.backends.quirks import BY_KIND
from app.backends.scripted import Endpoint, Fault, Model, Scripted, serve
from app.core.chat import ChatRequest
from app.core.types import Api, BackendSpec, Facts, Usage
from app.ports import Reply

KINDS = ("ollama", "vllm", "llama-cpp", "tgi", "transformers", "openai")
EMBED = ("ollama", "vllm", "llama-cpp", "openai")
FORMATS = tuple(kind for kind in KINDS if "json_schema" in BY_KIND[kind].has)
NAMED = tuple(kind for kind in KINDS if "tool_choice.named" in BY_KIND[kind].has)
KEY = "sk-of-the-gateway"
BOUND = 1.0  # seconds within which a leaving client frees its slot
PATIENCE = 5.0
WORDS = "How do I sort a list?"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}

every_kind = pytest.mark.parametrize("kind", KINDS)
both_forms = pytest.mark.parametrize("stream", [False, True])


@dataclass
class Pair:
    """An adapter and the server it speaks to."""

    backend: OpenAIBackend
    fake: Scripted
    unhonoured: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, text: str = WORDS, *, api: Api = "chat", **more: Any) -> Said:
        body = {"messages": [{"role": "user", "content": text}]} if api == "chat" else {}
        return await self.send(api, {**body, **more})

    async def send(self, api: Api, body: dict[str, Any]) -> Said:
        async with asyncio.timeout(PATIENCE):
            return await read(await self.backend.send(ChatRequest(api, body), "r1"))

    async def open_stream(self, request_id: str = "r1") -> Reply:
        body = {"messages": [{"role": "user", "content": WORDS}], "stream": True}
        return await self.backend.send(ChatRequest("chat", body), request_id)


@dataclass(frozen=True)
class Said:
    """All that a reply gave: the bytes for the client, and what the gateway learned."""

    raw: bytes
    usage: Usage | None
    model: str | None

    @property
    def chunks(self) -> list[dict[str, Any]]:
        lines = [line.removeprefix(b"data: ") for line in self.raw.splitlines() if line.startswith(b"data: ")]
        assert lines.pop() == b"[DONE]"
        assert b"[DONE]" not in lines
        return [orjson.loads(line) for line in lines]

    @property
    def whole(self) -> Any:
        return orjson.loads(self.raw)

    def message(self, stream: bool) -> dict[str, Any]:
        """The first choice as one message, out of either form."""
        if not stream:
            choice = self.whole["choices"][0]
            return {**choice["message"], "finish_reason": choice["finish_reason"]}
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices") or ()]
        deltas = [choice.get("delta") or {} for choice in choices]
        calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
        joined = {
            key: "".join(one.get(key) or "" for one in deltas) for key in ("content", "reasoning", "reasoning_content")
        }
        finishes = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
        assert len(finishes) == 1
        return {**joined, "tool_calls": merged(calls), "finish_reason": finishes[0]}


def merged(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tool calls out of their deltas, as clients join them."""
    made: dict[int, dict[str, Any]] = {}
    for call in calls:
        one = made.setdefault(call["index"], {"id": call.get("id"), "function": {"name": "", "arguments": ""}})
        function = call["function"]
        one["function"]["name"] = one["function"]["name"] or function.get("name")
        one["function"]["arguments"] += function.get("arguments") or ""
    return list(made.values())


async def read(reply: Reply) -> Said:
    pieces: list[bytes] = []
    await collect(reply, pieces)
    return Said(b"".join(pieces), reply.usage, reply.model)


async def collect(reply: Reply, pieces: list[bytes]) -> None:
    """All of it, in time; what came before a fault is there."""
    try:
        async with asyncio.timeout(PATIENCE):
            while (piece := await reply.read()) is not None:
                pieces.append(piece)
    finally:
        reply.close()


@asynccontextmanager
async def pair(
    kind: Any,
    *,
    endpoint: Endpoint | None = None,
    reasoning: Any = "pass",
    headers: tuple[tuple[str, str], ...] = (),
    **model: Any,
) -> AsyncIterator[Pair]:
    """Keywords go to the fake's Model."""
    fake = Scripted(Model(imitates=kind, name="m", **model), endpoint, keep_bodies=True)
    http = HttpClient(proxies=False, connect_timeout=2.0, max_connections=50)
    noted: list[tuple[str, str]] = []
    async with serve(fake) as url:
        spec = BackendSpec("b", kind, "local", url, "m", reasoning=reasoning)
        asking = Asking(spec, kind, KEY)

        async def is_warming() -> bool:
            return await warming(asking)

        wiring = Wiring(http, BY_KIND[kind], KEY, lambda name, what: noted.append((name, what)), is_warming, headers)
        backend = OpenAIBackend(spec, wiring, Facts())
        backend.facts = await probe(asking) if endpoint is None else Facts()
        try:
            yield Pair(backend, fake, noted)
        finally:
            await http.aclose()


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


def check_call(message: dict[str, Any], name: str = "get_weather") -> None:
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == name
    assert call["id"]
    arguments = orjson.loads(call["function"]["arguments"])
    if name == "get_weather":
        assert isinstance(arguments["city"], str)
        assert arguments["days"] >= 1


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


@pytest.mark.parametrize("kind", KINDS)
@both_forms
async def test_overflow_is_recognised(kind: str, stream: bool) -> None:
    """In every server's words; Ollama cuts in silence, which shows only in its usage."""
    async with pair(kind, context_window=64) as both:
        if kind == "ollama":
            said = await both.ask("word " * 200, stream=stream)
            assert said.usage is not None
            assert said.usage.input == 64
            return
        with pytest.raises(errors.UpstreamOverflow) as raised:
            await both.ask("word " * 200, stream=stream)
    assert raised.value.code == "context_length_exceeded"


# What each fault is, and whether only the form of the request decides about it. TGI streams everything as 200.
FAULTS: list[tuple[Fault, type[errors.UpstreamFault]]] = [
    (Fault.REFUSE_401, errors.UpstreamRefused),
    (Fault.REFUSE_403, errors.UpstreamRefused),
    (Fault.MODEL_404, errors.UpstreamRefused),
    (Fault.REJECT_400, errors.UpstreamRejected),
    (Fault.UNPROCESSABLE_422, errors.UpstreamRejected),
    (Fault.BUSY_429, errors.UpstreamRateLimited),
    (Fault.LIMIT_429, errors.UpstreamRateLimited),
    (Fault.ERROR_500, errors.UpstreamUnavailable),
    (Fault.HTML_502, errors.UpstreamUnavailable),
    (Fault.LOADING_503, errors.UpstreamLoading),
    (Fault.BUSY_503, errors.UpstreamRateLimited),
    (Fault.REDIRECT_307, errors.UpstreamMalformed),
    (Fault.EMPTY_200, errors.UpstreamMalformed),
    (Fault.HTML_200, errors.UpstreamMalformed),
    (Fault.HALF_JSON_200, errors.UpstreamMalformed),
    (Fault.ERROR_200, errors.UpstreamUnavailable),
]


@every_kind
@both_forms
@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda value: getattr(value, "name", ""))
async def test_faults_have_their_class(kind: str, stream: bool, fault: Fault, error: type[errors.GatewayError]) -> None:
    """Before a byte reaches the client, and without the key in the message; the next request is served."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        with pytest.raises(errors.UpstreamFault) as raised:
            await both.ask(stream=stream)
        assert type(raised.value) is error
        assert KEY not in raised.value.message
        assert "<" not in raised.value.message
        assert (await both.ask(stream=stream)).message(stream)["content"]
    if fault is Fault.BUSY_429 and not (kind == "tgi" and stream):
        assert raised.value.retry_after == 7.0
    assert both.fake.seen.requests == 2


BEFORE_THE_FIRST_BYTE = [Fault.CLOSED_200, Fault.ERROR_FIRST]


@every_kind
@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE)
async def test_a_stream_that_fails_at_once_can_fall_back(kind: str, fault: Fault) -> None:
    """Nothing is given out before something usable came."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        reply = await both.open_stream()
        with pytest.raises(errors.UpstreamFault):
            await reply.read()


IN_THE_MIDDLE = [Fault.CUT_CLEAN, Fault.CUT_RESET, Fault.ERROR_MID, Fault.NULL_FINISH]


@every_kind
@pytest.mark.parametrize("fault", IN_THE_MIDDLE)
async def test_a_stream_that_breaks_off_never_looks_whole(kind: str, fault: Fault) -> None:
    """What came is given, then the fault is raised; no [DONE], no finish reason made up; usage is estimated."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        reply = await both.open_stream()
        pieces: list[bytes] = []
        with pytest.raises(errors.UpstreamFault):
            await collect(reply, pieces)
    given = b"".join(pieces)
    assert b"content" in given
    assert b"[DONE]" not in given
    assert b'"stop"' not in given
    assert reply.usage is not None
    assert reply.usage.output > 0


@every_kind
async def test_an_answer_without_a_finish_reason_is_none(kind: str) -> None:
    """Ollama's repeat guard: 200, no reason, usage zero."""
    async with pair(kind) as both:
        both.fake.fail(Fault.NULL_FINISH)
        with pytest.raises(errors.UpstreamMalformed):
            await both.ask()


@every_kind
@pytest.mark.parametrize(
    "fault",
    [Fault.NO_DONE, Fault.COMMENTS, Fault.CRLF, Fault.BYTEWISE, Fault.ODD_CHUNKS, Fault.SLOW],
    ids=lambda one: one.name,
)
async def test_odd_streams_are_whole(kind: str, fault: Fault) -> None:
    """The same text as from a plain one, ended by one [DONE]."""
    async with pair(kind) as both:
        plain = (await both.ask(stream=True)).message(True)["content"]
        both.fake.fail(fault)
        assert (await both.ask(stream=True)).message(True)["content"] == plain


@every_kind
async def test_compression_that_nobody_asked_for_is_undone(kind: str) -> None:
    """The client gets plain JSON."""
    async with pair(kind) as both:
        both.fake.fail(Fault.GZIP)
        assert (await both.ask()).message(False)["content"]


@every_kind
@both_forms
@pytest.mark.parametrize("fault", [Fault.HANG, Fault.STALL_FIRST], ids=lambda one: one.name)
async def test_cancelling_frees_the_slot(kind: str, stream: bool, fault: Fault) -> None:
    """Within a second, whether the head had come or not; the next request is served."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        asked = asyncio.create_task(both.ask(stream=stream))
        await until(both.fake, "running")
        asked.cancel()
        await until(both.fake, "aborted")
        assert both.fake.seen.running == 0
        assert (await both.ask(stream=stream)).message(stream)["content"]


@every_kind
async def test_closing_in_the_middle_frees_the_slot(kind: str) -> None:
    """A reply that is given up does not go on upstream."""
    async with pair(kind) as both:
        both.fake.fail(Fault.STALL_MID)
        reply = await both.open_stream()
        assert await reply.read()
        reply.close()
        await until(both.fake, "aborted")
        assert both.fake.seen.running == 0


@every_kind
async def test_a_call_is_sent_once_and_only_with_our_key(kind: str) -> None:
    """One request for one call, whatever became of it; no redirect is followed."""
    async with pair(kind) as both:
        both.fake.fail(Fault.REDIRECT_307)
        with pytest.raises(errors.UpstreamMalformed):
            await both.ask()
        await both.ask()
    assert both.fake.seen.requests == 2
    assert both.fake.seen.keys == {hashlib.sha256(f"Bearer {KEY}".encode()).hexdigest()}


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


async def until(fake: Scripted, what: str) -> None:
    """Wait for the first of what the fake counts."""
    async with asyncio.timeout(BOUND):
        while not getattr(fake.seen, what):
            await asyncio.sleep(0.002)
