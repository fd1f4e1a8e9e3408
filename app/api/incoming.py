"""From an ASGI scope to a Caller and a ChatRequest: headers, key, body. Each fault names its cure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.api.live import Live
from app.core.chat import ChatRequest
from app.core.rules import heard
from app.core.types import Api, Caller
from app.errors import BodyTooLarge, Forbidden, InvalidRequest, UnsupportedMediaType

Scope = Mapping[str, Any]
RawHeaders = Mapping[bytes, bytes]
Pairs = Sequence[tuple[bytes, bytes]]

_ID = re.compile(rb"[\w.:@+/=-]{1,128}\Z")
_SESSION = re.compile(rb"[\x21-\x7e]{1,256}\Z")
_LOCAL_ONLY = b"x-smallfirst-local-only"
_FLAGS = {b"true": True, b"1": True, b"false": False, b"0": False}
_MAX_DEADLINE_MS = 24 * 3600 * 1000
_DEPTH = 240  # levels that any body may have


class Gone(Exception):
    """The client left before its request was complete."""


def headers(scope: Scope) -> RawHeaders:
    """By name; of one that comes twice the last counts, except where that could let data out."""
    found: dict[bytes, bytes] = dict(scope["headers"])
    if _LOCAL_ONLY in found:
        found[_LOCAL_ONLY] = b", ".join([value for name, value in scope["headers"] if name == _LOCAL_ONLY])
    return found


def request_id(headers: RawHeaders) -> str | None:
    """The client's own id, if it is harmless enough to repeat in headers and logs."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _ID.match(given) else None


def caller(headers: RawHeaders, live: Live, request_id: str, now: float, pairs: Pairs = ()) -> Caller:
    """`pairs` are the headers as they came: rules hear each of those that come twice. Raises Unauthenticated,
    Forbidden or InvalidRequest."""
    key = live.keys.find(headers)
    tier = headers.get(b"x-smallfirst-tier")
    if tier is not None and key is not None and not key.may_force_tier:
        raise Forbidden("This key may not choose a tier. Drop the header x-smallfirst-tier.", param="x-smallfirst-tier")
    return Caller(
        request_id=request_id,
        key=key.name if key else None,
        local_only=live.local_only or (key is not None and key.local_only) or _local_only(headers),
        may_force_tier=key is None or key.may_force_tier,
        tier=tier.decode("latin-1") if tier is not None else None,
        deadline=_deadline(headers, now),
        session=_session(headers),
        headers=heard(live.rule_headers, pairs) if live.rule_headers else (),
    )


def _local_only(headers: RawHeaders) -> bool:
    given = headers.get(_LOCAL_ONLY)
    if given is None:
        return False
    flag = _FLAGS.get(given.strip().lower())
    if flag is None:  # a typo must never let data out
        raise InvalidRequest("x-smallfirst-local-only must be true or false.", param="x-smallfirst-local-only")
    return flag


def _deadline(headers: RawHeaders, now: float) -> float | None:
    given = headers.get(b"x-smallfirst-deadline-ms")
    if given is None:
        return None
    if not given.isdigit() or not 0 < len(given) <= 9 or not 0 < int(given) <= _MAX_DEADLINE_MS:
        raise InvalidRequest(
            "x-smallfirst-deadline-ms must be a whole number of milliseconds from 1 to 86400000.",
            param="x-smallfirst-deadline-ms",
        )
    return now + int(given) / 1000


def _session(headers: RawHeaders) -> str | None:
    given = headers.get(b"x-session-id", b"")
    return given.decode("ascii") if _SESSION.match(given) else None


async def body(headers: RawHeaders, receive: Any, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge as soon as that is known, Gone, UnsupportedMediaType."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise UnsupportedMediaType("Send the header 'Content-Type: application/json'.")
    if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise UnsupportedMediaType("Compressed request bodies are not supported. Send it without Content-Encoding.")
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    if not message.get("more_body"):
        only: bytes = message.get("body", b"")
        if len(only) > limit:
            raise _too_large(limit)
        return only
    return await _rest(message.get("body", b""), receive, limit)


async def _rest(first: bytes, receive: Any, limit: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limit} bytes. Send less, or raise server.max_body_mb.")


def parse(api: Api, raw: bytes) -> ChatRequest:
    """Raises InvalidRequest for anything that is not a usable JSON object."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.", code="invalid_json") from None
    if raw.count(b"[") + raw.count(b"{") > _DEPTH:  # else it cannot be that deep
        _check_depth(value)
    return ChatRequest(api, value, len(raw))


def _check_depth(value: object) -> None:
    """orjson reads deeper nesting (1024) than it writes (254), and adapters add a few levels of their own."""
    try:
        orjson.dumps([[[[value]]]])
    except TypeError:
        raise InvalidRequest("The request body is nested too deeply.", code="invalid_json") from None
