"""The OpenAI error envelope: the only place that knows it."""

from __future__ import annotations

import math

import orjson

from app.errors import GatewayError, Unauthenticated

Headers = list[tuple[bytes, bytes]]


def envelope(error: GatewayError) -> bytes:
    return orjson.dumps(
        {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    )


def unforeseen() -> GatewayError:
    """What a client may know of an error that nobody foresaw."""
    return GatewayError("The gateway failed on this request. Its log has the details under this request id.")


def event(error: GatewayError) -> bytes:
    """What ends a broken stream; no [DONE] follows, since clients read that as success."""
    return b"data: " + envelope(error) + b"\n\n"


def retry_headers(error: GatewayError) -> Headers:
    """Tell SDKs when to come back, and not to where it cannot help (whole seconds, as RFC 9110 has it)."""
    headers: Headers = []
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
        headers.append((b"retry-after-ms", b"%d" % round(error.retry_after * 1000)))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    return headers
