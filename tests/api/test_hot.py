"""The generating endpoints: any body gets an answer or an error that SDKs can read."""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.app import SmallfirstApp
from app.api.auth import Key, digest
from app.api.hot import HotEndpoint
from app.core.types import Api, Capability, Capacity
from app.errors import UpstreamLoading, UpstreamRateLimited, UpstreamRejected, UpstreamTimeout
from tests.fakes import ANSWER, EVENTS, HANG, FakeBackend, Play, Rig, two_tiers
from tests.serving import PATIENCE, calling, connected, post, serving

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
KEYS = (Key("app", digest("sk-app")), Key("bound", digest("sk-bound"), local_only=True, may_force_tier=False))


def an_app(rig: Rig, *keys: Key, **options: Any) -> SmallfirstApp:
    return SmallfirstApp(rig.site(*keys, **options), rig.on_bug)


async def chat(rig: Rig, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    async with calling(an_app(rig)) as client:
        return await client.post(CHAT, json={"messages": MESSAGES, **fields}, headers=headers)


def as_json(value: Any) -> bytes:
    """As a careless client writes it: surrogates and all."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def fault(response: httpx.Response) -> dict[str, Any]:
    """The error object, whose shape is checked on the way."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert response.headers["x-smallfirst-schema"] == "1"
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert isinstance(error["code"], str)
    return error  # type: ignore[no-any-return]


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"messages": MESSAGES}),
        ("/completions", {"prompt": "hi"}),
        ("/embeddings", {"input": "hi"}),
    ],
)
async def test_paths(prefix: str, path: str, slash: str, body: dict[str, Any]) -> None:
    """Each endpoint with and without the prefix, and with a slash too many."""
    rig = two_tiers(embeddings=FakeBackend("embedder"))
    async with calling(an_app(rig)) as client:
        response = await client.post(prefix + path + slash, json=body)
    assert (response.status_code, response.content) == (200, ANSWER)
    assert rig.record.outcome == "ok"


async def test_headers_of_an_answer() -> None:
    """An answer says who gave it, why, and what it cost."""
    response = await chat(two_tiers(), headers={"x-request-id": "mine-1"})
    headers = {name: value for name, value in response.headers.items() if name.startswith("x-")}
    assert headers == {
        "x-request-id": "mine-1",
        "x-smallfirst-schema": "1",
        "x-smallfirst-reason": "score",
        "x-smallfirst-score": "0.1000",
        "x-smallfirst-threshold": "0.5000",
        "x-smallfirst-tier": "slm",
        "x-smallfirst-backend": "small",
        "x-smallfirst-model": "small-model",
        "x-smallfirst-attempts": "1",
        "x-smallfirst-cost-usd": "0.000020000",
    }
    assert response.headers["content-length"] == str(len(ANSWER))
    assert response.headers["content-type"] == "application/json"


async def test_request_id_reaches_the_backend() -> None:
    """One id from client to backend."""
    rig = two_tiers()
    await chat(rig, headers={"x-request-id": "mine-1"})
    assert rig.backends[0].sent[0][1] == "mine-1"


async def test_bad_request_id_is_replaced() -> None:
    """An id that could hurt is not repeated."""
    response = await chat(two_tiers(), headers={"x-request-id": "a b<script>"})
    assert response.headers["x-request-id"] == "req-0"


@pytest.mark.parametrize("model", ["a\r\nset-cookie: x", "千问", "\x00", "a" * 5000])
async def test_model_names_cannot_inject(model: str) -> None:
    """Whatever a backend calls its model, the response has our headers only."""
    rig = Rig([("slm", FakeBackend("small", Play(model=model)))])
    async with serving(an_app(rig)) as port, connected(port) as client:
        await client.send(post(CHAT, json.dumps({"messages": MESSAGES}).encode()))
        head = await client.head()
    assert head.startswith(b"HTTP/1.1 200")
    assert b"\r\nset-cookie" not in head.lower()
    assert head.isascii()


async def test_wishes_by_header() -> None:
    """Tier and locality are honoured."""
    rig = two_tiers()
    assert (await chat(rig, headers={"x-smallfirst-tier": "llm"})).headers["x-smallfirst-backend"] == "large"
    response = await chat(rig, headers={"x-smallfirst-tier": "llm", "x-smallfirst-local-only": "true"})
    assert (response.status_code, fault(response)["code"]) == (400, "local_only_conflict")
    assert len(rig.backends[1].sent) == 1


async def test_deadline_by_header() -> None:
    """A client's deadline ends its request with 504 and no retry."""
    rig = two_tiers(FakeBackend("small", Play(head=HANG)))
    response = await asyncio.wait_for(chat(rig, headers={"x-smallfirst-deadline-ms": "20"}), PATIENCE)
    assert (response.status_code, fault(response)["code"]) == (504, "deadline_exceeded")
    assert response.headers["x-should-retry"] == "false"


async def test_fallback_in_headers() -> None:
    """Who answers for another says so."""
    response = await chat(two_tiers(FakeBackend("small", Play(head=UpstreamTimeout("slow")))))
    assert response.headers["x-smallfirst-final-reason"] == "fallback:timeout"
    assert response.headers["x-smallfirst-attempts"] == "2"
    assert response.headers["x-smallfirst-tier"] == "llm"


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_upstream_faults_are_real_statuses(stream: bool) -> None:
    """Before the first byte a fault has its status and its time to come back, streams included."""
    rig = Rig([("slm", FakeBackend("small", Play(head=UpstreamLoading("The model loads.", retry_after=4.2))))])
    response = await chat(rig, stream=stream)
    assert (response.status_code, fault(response)["code"]) == (503, "model_loading")
    assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("5", "4200")
    assert response.headers["x-smallfirst-backend"] == "small"


async def test_cost_after_a_fallback() -> None:
    """An attempt that was refused before any token cost nothing, and does not hide what the answer cost."""
    rig = two_tiers(FakeBackend("small", Play(head=UpstreamRateLimited("slow down"))))
    response = await chat(rig)
    assert response.headers["x-smallfirst-attempts"] == "2"
    assert response.headers["x-smallfirst-cost-usd"] == "0.000020000"


async def test_rejected_by_the_backend() -> None:
    """What a backend says about the request itself reaches the client."""
    error = UpstreamRejected("temperature is too high", param="temperature", status=422)
    response = await chat(two_tiers(FakeBackend("small", Play(head=error))))
    assert response.status_code == 422
    assert fault(response)["param"] == "temperature"
    assert response.headers["x-should-retry"] == "false"


async def test_rate_limited() -> None:
    """A backend's own limit is passed on as such."""
    rig = Rig([("slm", FakeBackend("small", Play(head=UpstreamRateLimited("slow down", retry_after=1))))])
    assert (await chat(rig)).status_code == 429


async def test_full_house() -> None:
    """No slot and no place in the queue: 503 that says when to come back."""
    rig = Rig([("slm", FakeBackend("small", Play(head=HANG), capacity=Capacity(1, 0, 1.0)))])
    first = asyncio.create_task(chat(rig))
    await rig.backends[0].reached.wait()
    response = await chat(rig)
    first.cancel()
    await asyncio.wait({first})
    assert (response.status_code, fault(response)["code"]) == (503, "overloaded")
    assert 1 <= int(response.headers["retry-after"]) <= 30
    assert rig.inflight() == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "invalid_api_key"),
        ({"authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        ({"x-api-key": "sk-bound", "x-smallfirst-tier": "llm"}, 403, "forbidden"),
        ({"x-api-key": "sk-app", "content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"x-api-key": "sk-app", "x-smallfirst-tier": "huge"}, 400, "unknown_tier"),
        ({"x-api-key": "sk-app", "x-smallfirst-deadline-ms": "soon"}, 400, "invalid_request"),
        ({"x-api-key": "sk-app", "x-smallfirst-local-only": "perhaps"}, 400, "invalid_request"),
    ],
)
async def test_refusals(headers: dict[str, str], status: int, code: str) -> None:
    """Each refusal has its status and code, is counted, and reaches no backend."""
    rig = two_tiers()
    async with calling(an_app(rig, *KEYS)) as client:
        response = await client.post(CHAT, json={"messages": MESSAGES}, headers=headers)
    assert (response.status_code, fault(response)["code"]) == (status, code)
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert rig.record.outcome == "client-error"
    assert rig.backends[0].sent == rig.backends[1].sent == []


@pytest.mark.parametrize(
    ("path", "api"), [(CHAT, "chat"), ("/v1/completions", "completion"), ("/v1/embeddings", "embedding")]
)
@pytest.mark.parametrize("key", ["sk-app", "sk-unknown"])
async def test_refused_at_the_door(path: str, api: str, key: str) -> None:
    """By its key or by its body: the record says at which endpoint, though nobody has read what was asked."""
    rig = two_tiers()
    async with calling(an_app(rig, *KEYS)) as client:
        response = await client.post(path, json={}, headers={"x-api-key": key})
    assert response.status_code == (400 if key == "sk-app" else 401)
    assert (rig.record.api, rig.record.outcome) == (api, "client-error")


async def test_bound_key_stays_local() -> None:
    """A key that is local-only reaches local backends only, whatever the model asked for."""
    rig = two_tiers(FakeBackend("small", Play(head=UpstreamTimeout("slow"))))
    async with calling(an_app(rig, *KEYS)) as client:
        response = await client.post(CHAT, json={"messages": MESSAGES}, headers={"x-api-key": "sk-bound"})
    assert response.status_code == 504
    assert rig.backends[1].sent == []
    assert rig.record.key == "bound"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_post_only(method: str) -> None:
    """Other methods are told which one to use."""
    async with calling(an_app(two_tiers())) as client:
        response = await client.request(method, CHAT)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    error = fault(response)
    assert (error["code"], error["type"]) == ("method_not_allowed", "invalid_request_error")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b"{", b'{"messages": NaN}', b"\xff", b"[" * 100_000, b'{"messages": "\\ud800"}']
)
async def test_broken_bodies(raw: bytes) -> None:
    """A body that cannot be read is a 400."""
    rig = two_tiers()
    async with calling(an_app(rig, max_body=200_000)) as client:
        response = await client.post(CHAT, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 400
    fault(response)
    assert rig.record.status == 400


async def test_bug() -> None:
    """An error nobody foresaw is a 500 without a word about it, and is reported once."""
    rig = two_tiers(FakeBackend("small", Play(head=ZeroDivisionError("secret"))))
    response = await chat(rig)
    assert (response.status_code, fault(response)["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert [(name, type(error)) for name, error in rig.bugs] == [("req-0", ZeroDivisionError)]
    assert (rig.record.outcome, rig.record.status, rig.record.error) == ("internal-error", 500, "internal")
    assert rig.inflight() == 0


async def test_bug_while_deciding() -> None:
    """The same holds before any backend was asked."""
    rig = two_tiers()
    rig.backends[0].capabilities = None  # type: ignore[assignment]  # a bug of an adapter
    response = await chat(rig, n=2)
    assert (response.status_code, fault(response)["code"]) == (500, "internal_error")
    assert len(rig.bugs) == len(rig.records) == 1


# --- bodies that are too large ------------------------------------------------------------------------------


class Measured:
    """An app that counts the bytes its inner app was given."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.taken = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counting() -> Any:
            message = await receive()
            self.taken += len(message.get("body", b""))
            return message

        await self.app(scope, counting, send)


async def too_much() -> Any:
    for _ in range(200):
        yield b"x" * 100_000


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "declared"])
async def test_too_large(chunked: bool) -> None:
    """A real client that sends 20 MB reads its 413, and we took no more than the limit and a piece."""
    rig = two_tiers()
    app = Measured(an_app(rig))
    async with serving(app) as port, httpx.AsyncClient() as client:
        response = await client.post(
            f"http://127.0.0.1:{port}{CHAT}",
            content=too_much() if chunked else b"x" * 20_000_000,
            headers={"content-type": "application/json"},
        )
    assert (response.status_code, fault(response)["code"]) == (413, "body_too_large")
    assert app.taken <= (1_000_000 if chunked else 0)
    assert rig.record.status == 413


async def test_told_before_the_body_is_sent() -> None:
    """The 413 comes as soon as the length is known."""
    rig = two_tiers()
    async with serving(an_app(rig)) as port, connected(port) as client:
        await client.send(post(CHAT, b"").replace(b"content-length: 0", b"content-length: 99999999999"))
        assert (await client.head()).startswith(b"HTTP/1.1 413")


# --- any body at all ----------------------------------------------------------------------------------------

NAMES = [
    *["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "n"],
    *["stop", "logprobs", "tools", "tool_choice", "response_format", "prompt", "input", "user", "logit_bias"],
]
WORDS = ["auto", "none", "required", "function", "json_schema", "text", "image_url", "user", "router-x-0.5", "slm"]
KEYS_WITHIN = ["role", "content", "type", "text", "function", "name", "arguments", "tool_calls", "include_usage"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS_WITHIN) | st.text(max_size=3), inner)
    ),
    max_leaves=6,
)
PARTS = st.fixed_dictionaries({"type": st.sampled_from(WORDS)}, optional={"text": JSON, "image_url": JSON})
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "developer"])},
    optional={"content": JSON | st.lists(PARTS, max_size=2), "tool_calls": JSON, "name": JSON},
)
TOOL = st.fixed_dictionaries({"type": st.just("function"), "function": JSON})
BODIES = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), JSON, max_size=5)
PLAUSIBLE = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=3)},
    optional={
        **dict.fromkeys(("model", "n", "response_format", "tool_choice", "max_tokens", "stop"), JSON),
        "tools": st.lists(TOOL, max_size=2),
        "stream": st.booleans(),
    },
)


@settings(max_examples=100)
@given(body=BODIES | PLAUSIBLE, api=st.sampled_from(get_args(Api)))
async def test_any_body(body: dict[str, Any], api: Api) -> None:
    """Any JSON object gets an answer or a 4xx in the shape that SDKs read: never a 5xx, never a bug."""
    everything = frozenset(get_args(Capability))
    rig = two_tiers(FakeBackend("small", Play(EVENTS), has=everything), embeddings=FakeBackend("embedder"))
    async with calling(HotEndpoint(rig.site(), api, rig.on_bug)) as client:
        response = await client.post("/", content=as_json(body), headers={"content-type": "application/json"})
    assert (rig.bugs, rig.router_failures) == ([], [])
    assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
    if response.status_code != 200:
        fault(response)
    assert rig.inflight() == 0
    assert len(rig.records) == 1
