"""Headers and bodies on their way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from app.api import incoming
from app.api.auth import Key, digest
from app.api.live import Live
from app.core.types import Caller
from app.errors import BodyTooLarge, Forbidden, InvalidRequest, Unauthenticated, UnsupportedMediaType
from tests.fakes import Rig, two_tiers

JSON = {b"content-type": b"application/json"}
APP = Key("app", digest("sk-app"))
BOUND = Key("bound", digest("sk-bound"), local_only=True, may_force_tier=False)


@pytest.fixture
def rig() -> Rig:
    return two_tiers()


def call(live: Live, headers: Mapping[bytes, bytes]) -> Caller:
    return incoming.caller(headers, live, "req-1", 100.0)


# --- headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [b"abc", b"A-1_b.c:d@e+f/g=", b"x" * 128])
def test_request_id_is_kept(given: bytes) -> None:
    """A harmless id of the client is used."""
    assert incoming.request_id({b"x-request-id": given}) == given.decode()


@pytest.mark.parametrize("given", [b"", b"a b", b"a\r\nset-cookie: x", b"a\n", b"\xe4\xbd\xa0", b"x" * 129, b"<b>"])
def test_request_id_is_not_kept(given: bytes) -> None:
    """Anything that could hurt a header or a log is replaced by an id of ours."""
    assert incoming.request_id({b"x-request-id": given}) is None


def test_defaults(rig: Rig) -> None:
    """Without headers a caller has all rights and no wishes."""
    assert call(rig.site().live, {}) == Caller("req-1")


def test_wishes(rig: Rig) -> None:
    """Tier, locality, deadline and session are read."""
    caller = call(
        rig.site().live,
        {
            b"x-smallfirst-tier": b"llm",
            b"x-smallfirst-local-only": b"TRUE",
            b"x-smallfirst-deadline-ms": b"1500",
            b"x-session-id": b"chat-7",
        },
    )
    assert (caller.tier, caller.local_only, caller.deadline, caller.session) == ("llm", True, 101.5, "chat-7")


def test_key_terms(rig: Rig) -> None:
    """The key's own terms hold whatever the headers say."""
    live = rig.site(APP, BOUND).live
    caller = call(live, {b"x-api-key": b"sk-bound", b"x-smallfirst-local-only": b"false"})
    assert (caller.key, caller.local_only, caller.may_force_tier) == ("bound", True, False)
    with pytest.raises(Forbidden):
        call(live, {b"x-api-key": b"sk-bound", b"x-smallfirst-tier": b"llm"})
    assert call(live, {b"x-api-key": b"sk-app", b"x-smallfirst-tier": b"llm"}).tier == "llm"
    with pytest.raises(Unauthenticated):
        call(live, {})


def test_local_by_default(rig: Rig) -> None:
    """Where the operator says local, no header opens it."""
    assert call(rig.site(local_only=True).live, {b"x-smallfirst-local-only": b"false"}).local_only


@pytest.mark.parametrize("flag", [b"", b"yes", b"tru", b"true, false", b"\xff"])
def test_doubtful_locality(rig: Rig, flag: bytes) -> None:
    """A flag that is not understood is refused: a typo must not let data out."""
    with pytest.raises(InvalidRequest):
        call(rig.site().live, {b"x-smallfirst-local-only": flag})


def test_locality_given_twice(rig: Rig) -> None:
    """Two answers to that question are no answer, in whatever order they come."""
    scope = {"headers": [(b"x-smallfirst-local-only", b"true"), (b"x-smallfirst-local-only", b"false")]}
    with pytest.raises(InvalidRequest):
        call(rig.site().live, incoming.headers(scope))


@pytest.mark.parametrize("given", [b"", b"0", b"-5", b"1.5", b"1e3", b"86400001", b"9" * 40, b"\xb2", b"abc"])
def test_bad_deadline(rig: Rig, given: bytes) -> None:
    """A deadline is whole milliseconds within a day."""
    with pytest.raises(InvalidRequest):
        call(rig.site().live, {b"x-smallfirst-deadline-ms": given})


def test_strange_session_is_ignored(rig: Rig) -> None:
    """A session id that could hurt a log is as good as none."""
    assert call(rig.site().live, {b"x-session-id": b"a b\xff"}).session is None


# --- body ---------------------------------------------------------------------------------------------------


class Pieces:
    """A `receive` that gives the pieces and counts how many were taken; the client leaves after the last."""

    def __init__(self, *pieces: bytes, more: bool = False) -> None:
        last = len(pieces) - 1
        self._messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": more or number < last}
            for number, piece in enumerate(pieces)
        ]
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}


@pytest.mark.parametrize("kind", [b"application/json", b"Application/JSON; charset=utf-8", b"application/x+json"])
async def test_body(kind: bytes) -> None:
    """All pieces in order, for any spelling of JSON."""
    assert await incoming.body({b"content-type": kind}, Pieces(b"{", b"", b"}"), 100) == b"{}"
    assert await incoming.body({b"content-type": kind}, Pieces(b"{}"), 100) == b"{}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-type": b"text/plain"},
        {b"content-type": b"multipart/form-data; boundary=x"},
        {b"content-type": b"application/x-www-form-urlencoded"},
        {**JSON, b"content-encoding": b"gzip"},
    ],
)
async def test_not_json(headers: dict[bytes, bytes]) -> None:
    """Other kinds are refused before anything is read."""
    pieces = Pieces(b"{}")
    with pytest.raises(UnsupportedMediaType):
        await incoming.body(headers, pieces, 100)
    assert pieces.taken == 0


async def test_declared_too_large() -> None:
    """A body that says it is too large is not read at all."""
    pieces = Pieces(b"x")
    with pytest.raises(BodyTooLarge):
        await incoming.body({**JSON, b"content-length": b"101"}, pieces, 100)
    assert pieces.taken == 0


@pytest.mark.parametrize("declared", [{}, {b"content-length": b"5"}, {b"content-length": b"-1"}])
async def test_grows_too_large(declared: dict[bytes, bytes]) -> None:
    """A body that grows too large is not read further, whatever it said."""
    pieces = Pieces(*[b"x" * 40] * 100)
    with pytest.raises(BodyTooLarge):
        await incoming.body({**JSON, **declared}, pieces, 100)
    assert pieces.taken == 3
    with pytest.raises(BodyTooLarge):
        await incoming.body(JSON, Pieces(b"x" * 101), 100)


async def test_largest_body() -> None:
    """The limit itself is allowed."""
    assert len(await incoming.body({**JSON, b"content-length": b"100"}, Pieces(b"x" * 60, b"x" * 40), 100)) == 100


@pytest.mark.parametrize("pieces", [Pieces(), Pieces(b"{", more=True)], ids=["before", "within"])
async def test_client_leaves_early(pieces: Pieces) -> None:
    """A client that leaves before its body is complete asked nothing."""
    with pytest.raises(incoming.Gone):
        await incoming.body(JSON, pieces, 100)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a": 1}}',
    ],
    ids=range(15),
)
def test_broken_json(raw: bytes) -> None:
    """What is not JSON is the client's fault, and the message repeats nothing of it."""
    with pytest.raises(InvalidRequest) as refused:
        incoming.parse("chat", raw)
    assert refused.value.code == "invalid_json"
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"text"', b"true", b"[" * 200 + b"]" * 200])
def test_no_object(raw: bytes) -> None:
    """JSON that is no object is refused as that."""
    with pytest.raises(InvalidRequest, match="object"):
        incoming.parse("chat", raw)


def test_parse() -> None:
    """The size of the body goes with the request."""
    raw = b'{"messages": [{"role": "user", "content": "hi"}], "x": 123456789012345678901234567890}'
    request = incoming.parse("chat", raw)
    assert (request.size, request.model) == (len(raw), "auto")


def nested(levels: int) -> bytes:
    inner = b"[" * levels + b"]" * levels
    return b'{"messages": [{"role": "user", "content": "hi"}], "x": ' + inner + b"}"


@pytest.mark.parametrize("levels", [1, 100, 245])
def test_deep(levels: int) -> None:
    """Any sane nesting is passed on, and can still be written when an adapter has wrapped it."""
    request = incoming.parse("chat", nested(levels))
    assert orjson.loads(orjson.dumps({"a": {"b": request.body}}))["a"]["b"] == request.body


@pytest.mark.parametrize("levels", [252, 254, 300, 1000, 1021])
def test_too_deep(levels: int) -> None:
    """What could be read but not written again is refused here rather than failing there."""
    with pytest.raises(InvalidRequest, match="deep"):
        incoming.parse("chat", nested(levels))


def test_many_brackets_are_not_deep() -> None:
    """A long conversation with many tools is flat."""
    assert incoming.parse("chat", b'{"messages": [' + b'{"role": "user"},' * 1000 + b'{"role": "user"}]}').messages
