"""The adapter over a hand-written client: what is sent, what is judged, what is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import orjson
import pytest

from app.backends.http_client import HttpClient
from app.backends.openai_http import ERROR_BODY, MISSING_KEY, OpenAIBackend, Wiring
from app.backends.quirks import BY_KIND
from app.core.chat import ChatRequest
from app.core.types import Api, BackendSpec, Facts
from app.errors import (
    UpstreamFault,
    UpstreamLoading,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.ports import Give
from tests.fakes import collect

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
WHOLE = b'{"id":"x","model":"m","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
EVENTS = (
    b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n',
    b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)

STREAM = "text/event-stream"
STREAMED: dict[str, Any] = {**CHAT, "stream": True}
STALL = b"(nothing, for ever)"


class FakeReply:
    def __init__(self, status: int, pieces: tuple[bytes | UpstreamFault, ...], headers: Mapping[str, str]) -> None:
        self.status = status
        self.closed = False
        self._pieces = list(pieces)
        self._headers = headers

    def header(self, name: str) -> str | None:
        return self._headers.get(name)

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self._rest()])

    async def _rest(self) -> AsyncIterator[bytes]:
        while piece := await self.chunk():
            yield piece

    async def chunk(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, UpstreamFault):
            raise piece
        if piece is STALL:
            await asyncio.Event().wait()
        return piece

    async def relay(self, give: Give) -> bool:
        while piece := await self.chunk():
            if not give(piece):
                return False
        return True

    def close(self) -> None:
        self.closed = True


class FakeClient:
    """Gives one reply, and keeps what was posted. A piece may be a fault to raise, or STALL."""

    def __init__(
        self, status: int = 200, *pieces: bytes | UpstreamFault, kind: str = "application/json", **headers: str
    ) -> None:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = FakeReply(status, pieces, {"content-type": kind, **said})
        self.posted: list[tuple[str, Mapping[str, str], dict[str, Any]]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> FakeReply:
        self.posted.append((url, headers, orjson.loads(body)))
        return self.reply


def backend(
    client: FakeClient, base_url: str = "http://box:1", kind: str = "vllm", key: str = "its-key", **facts: Any
) -> OpenAIBackend:
    async def warming() -> bool:
        return True

    wiring = Wiring(cast(HttpClient, client), BY_KIND[kind], key, lambda name, field: None, warming)
    return OpenAIBackend(BackendSpec("one", kind, "local", base_url, "m"), wiring, Facts("ready", **facts))


@pytest.mark.parametrize("base", ["http://box:1", "http://box:1/", "http://box:1/v1", "http://box:1/v1/"])
async def test_the_address_is_right_however_the_base_is_written(base: str) -> None:
    """With or without /v1; each API at its own path."""
    client = FakeClient(200, WHOLE)
    await backend(client, base).send(ChatRequest("chat", CHAT), "rid")
    assert client.posted[0][0] == "http://box:1/v1/chat/completions"


@pytest.mark.parametrize(
    ("api", "body", "path"),
    [
        ("chat", CHAT, "chat/completions"),
        ("completion", {"prompt": "x"}, "completions"),
        ("embedding", {"input": "x"}, "embeddings"),
    ],
)
async def test_each_api_has_its_path(api: Api, body: dict[str, Any], path: str) -> None:
    """And the model is the backend's own name for it."""
    client = FakeClient(200, WHOLE)
    await backend(client).send(ChatRequest(api, body), "rid")
    url, _, sent = client.posted[0]
    assert url == f"http://box:1/v1/{path}"
    assert sent["model"] == "m"


async def test_it_sends_its_own_key_and_the_request_id() -> None:
    """Nothing of the client's headers."""
    client = FakeClient(200, WHOLE)
    await backend(client).send(ChatRequest("chat", CHAT), "rid")
    headers = client.posted[0][1]
    assert headers["authorization"] == "Bearer its-key"
    assert headers["x-request-id"] == "rid"


async def test_a_whole_answer_is_given_once() -> None:
    """Then the end; model and usage are known."""
    reply = await backend(FakeClient(200, WHOLE)).send(ChatRequest("chat", CHAT), "rid")
    assert await reply.first() == WHOLE
    assert await reply.relay(pytest.fail)
    assert reply.model == "m"
    assert reply.usage is not None
    assert reply.usage.estimated


async def test_a_stream_is_given_as_it_comes() -> None:
    """Up to one [DONE], and a clean end after it."""
    client = FakeClient(200, *EVENTS, kind="text/event-stream")
    reply = await backend(client).send(ChatRequest("chat", {**CHAT, "stream": True}), "rid")
    given: list[bytes] = []
    await collect(reply, given)
    assert b"".join(given) == b"".join(EVENTS)
    assert client.posted[0][2]["stream_options"] == {"include_usage": True}


async def test_a_client_without_room_gets_the_rest_later() -> None:
    """As often as it likes; [DONE] included."""
    reply = await backend(FakeClient(200, *EVENTS, kind=STREAM)).send(ChatRequest("chat", STREAMED), "rid")
    given = [await reply.first()]
    rounds = 0
    while not await reply.relay(lambda piece: given.append(piece) is not None):
        rounds += 1
    assert b"".join(given) == b"".join(EVENTS)
    assert (rounds, reply.pieces) == (1, 3)


async def test_it_knows_when_it_gave_what() -> None:
    """The end too: whoever waits for a token must not count the moment behind it."""
    reply = await backend(FakeClient(200, *EVENTS, STALL, kind=STREAM)).send(ChatRequest("chat", STREAMED), "rid")
    await reply.first()
    loop = asyncio.get_running_loop()
    given: list[float] = []
    assert await reply.relay(lambda piece: given.append(loop.time()) is None)
    assert len(given) == 2
    assert given[-1] <= reply.last < loop.time()


async def test_what_goes_wrong_in_the_socket_is_told_to_who_waits() -> None:
    """An error of whoever takes the pieces, for instance: it must not end in the event loop."""
    reply = await backend(FakeClient(200, *EVENTS, kind=STREAM)).send(ChatRequest("chat", STREAMED), "rid")
    await reply.first()
    with pytest.raises(ZeroDivisionError):
        await reply.relay(lambda piece: bool(1 // 0))


async def given_by(client: FakeClient) -> tuple[list[bytes], UpstreamFault | None]:
    """The pieces of a stream, and the fault it ended in."""
    pieces: list[bytes] = []
    try:
        reply = await backend(client).send(ChatRequest("chat", STREAMED), "rid")
        await collect(reply, pieces)
    except UpstreamFault as fault:
        return pieces, fault
    return pieces, None


async def test_a_fault_comes_after_what_was_good() -> None:
    """Also when both arrived in one read."""
    bad = b'data: {"error":{"message":"boom"}}\n\n'
    for pieces in ([EVENTS[0], bad], [EVENTS[0] + bad, STALL], [EVENTS[0], UpstreamUnavailable("lost")]):
        given, fault = await given_by(FakeClient(200, *pieces, kind=STREAM))
        assert given == [EVENTS[0]]
        assert type(fault) is UpstreamUnavailable


async def test_a_stream_that_is_cut_off_never_ends_well() -> None:
    """What came is given, and no [DONE]."""
    given, fault = await given_by(FakeClient(200, EVENTS[0], kind=STREAM))
    assert given == [EVENTS[0]]
    assert type(fault) is UpstreamMalformed


@pytest.mark.parametrize("behind", [(), (b": bye\n\n",), (STALL,), (UpstreamUnavailable("reset"),)])
async def test_nothing_behind_done_matters(behind: tuple[bytes | UpstreamFault, ...]) -> None:
    """Not an end that does not come, nor a connection that breaks."""
    given, fault = await given_by(FakeClient(200, *EVENTS, *behind, kind=STREAM))
    assert (b"".join(given), fault) == (b"".join(EVENTS), None)


async def test_who_says_when_to_come_back_is_believed() -> None:
    """In seconds, or by a date on its own clock."""
    dates = {"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    for headers, wait in ({"retry_after": "7"}, 7.0), (dates, 30.0):
        with pytest.raises(UpstreamRateLimited) as raised:
            await backend(FakeClient(429, b"{}", **headers)).send(ChatRequest("chat", CHAT), "rid")
        assert raised.value.retry_after == wait


async def test_a_refusal_that_breaks_off_is_judged_by_its_status() -> None:
    """The words are lost, the status is not."""
    client = FakeClient(503, b'{"err', UpstreamUnavailable("lost"))
    with pytest.raises(UpstreamLoading):
        await backend(client).send(ChatRequest("chat", CHAT), "rid")
    assert client.reply.closed


async def test_of_an_endless_refusal_only_the_start_is_read() -> None:
    """An error page is no reason to fill memory."""
    client = FakeClient(500, *[b"x" * ERROR_BODY] * 3)
    with pytest.raises(UpstreamUnavailable):
        await backend(client).send(ChatRequest("chat", CHAT), "rid")
    assert len(client.reply._pieces) == 2
    assert client.reply.closed


async def test_a_refusal_whose_reader_leaves_is_dropped() -> None:
    """Its connection does not outlive the call."""
    client = FakeClient(500, STALL)
    sending = asyncio.create_task(backend(client).send(ChatRequest("chat", CHAT), "rid"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert client.reply.closed


async def test_a_refusal_is_judged_and_its_connection_dropped() -> None:
    """Before anything was given out."""
    client = FakeClient(422, b'{"error":{"message":"stop must be a list"}}')
    with pytest.raises(UpstreamRejected, match="stop must be a list"):
        await backend(client).send(ChatRequest("chat", CHAT), "rid")
    assert client.reply.closed


async def test_our_key_goes_no_further_than_the_server() -> None:
    """Whatever it looks like, and in the error that a client may read."""
    client = FakeClient(400, b'{"error":{"message":"no such user for its-key"}}')
    with pytest.raises(UpstreamRejected) as raised:
        await backend(client).send(ChatRequest("chat", CHAT), "rid")
    assert raised.value.message == "no such user for ***"


LONG_KEY = "wholly-ours-0123456789"
ECHO = (
    EVENTS[0],
    b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"Bearer wholly',
    b'-ours-0123456789"},"finish_reason":null}]}\n\n',
    *EVENTS[1:],
)
KEY_IN_ERROR = b'data: {"error":{"message":"no user \\u0077holly-ours-0123456789","code":400,"param":"x"}}\n\n'


async def test_our_key_is_in_no_answer() -> None:
    """Nor in one that was given; events are whole, so it is found where the network has cut it."""
    for request, client in (
        ({**CHAT, "stream": True}, FakeClient(200, *ECHO, kind=STREAM)),
        (CHAT, FakeClient(200, WHOLE.replace(b'"a"', b'"' + LONG_KEY.encode() + b'"'))),
    ):
        reply = await backend(client, key=LONG_KEY).send(ChatRequest("chat", request), "rid")
        given: list[bytes] = []
        await collect(reply, given)
        assert LONG_KEY.encode() not in b"".join(given)
        assert b"***" in b"".join(given)


async def test_our_key_is_in_no_error_of_a_stream() -> None:
    """However JSON has spelled it."""
    client = FakeClient(200, KEY_IN_ERROR, kind=STREAM)
    reply = await backend(client, key=LONG_KEY).send(ChatRequest("chat", {**CHAT, "stream": True}), "rid")
    with pytest.raises(UpstreamRejected, match=r"^no user \*\*\*$"):
        await reply.first()


async def test_a_key_that_is_a_word_may_stand_in_an_answer() -> None:
    """Local servers are often given one such as "none"."""
    client = FakeClient(200, WHOLE.replace(b'"a"', b'"none"'))
    reply = await backend(client, key="none").send(ChatRequest("chat", CHAT), "rid")
    assert b"none" in await reply.first()


async def test_a_missing_key_is_not_tried() -> None:
    """The backend starts down and says why."""
    client = FakeClient(200, WHOLE)
    one = backend(client)
    one.facts = Facts("down", problem=MISSING_KEY)
    with pytest.raises(UpstreamUnavailable):
        await one.send(ChatRequest("chat", CHAT), "rid")
    assert not client.posted


@pytest.mark.parametrize("body", [b'{"error":{"message":"x"}}', WHOLE, b""])
async def test_json_where_a_stream_was_asked_for_is_a_fault(body: bytes) -> None:
    """Under a 200 too."""
    with pytest.raises(UpstreamFault):
        await backend(FakeClient(200, body)).send(ChatRequest("chat", {**CHAT, "stream": True}), "rid")


async def test_a_page_where_events_should_be_is_a_fault() -> None:
    """It ends without a finish reason."""
    client = FakeClient(200, b"<html></html>", kind="text/html")
    reply = await backend(client).send(ChatRequest("chat", {**CHAT, "stream": True}), "rid")
    with pytest.raises(UpstreamMalformed):
        await reply.first()


def test_capabilities_are_narrowed_by_what_was_learned() -> None:
    """A model without vision has none, whatever its kind can do; what the kind cannot, no model adds."""
    assert "vision" in backend(FakeClient(), kind="ollama").capabilities
    assert "vision" not in backend(FakeClient(), kind="ollama", capabilities=frozenset({"tools"})).capabilities
    assert "n" not in backend(FakeClient(), kind="ollama", capabilities=frozenset({"n"})).capabilities


async def test_closing_reaches_the_connection() -> None:
    """At once, and as often as one likes."""
    client = FakeClient(200, *EVENTS, kind="text/event-stream")
    reply = await backend(client).send(ChatRequest("chat", {**CHAT, "stream": True}), "rid")
    reply.close()
    reply.close()
    assert client.reply.closed
    assert await backend(client).warming()
