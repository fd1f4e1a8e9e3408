"""The OpenAI error envelope and its retry headers."""

from __future__ import annotations

import json

import pytest

from app.api import errors
from app.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    Saturated,
    Unauthenticated,
    UpstreamLoading,
    UpstreamTimeout,
)


def test_all_four_keys() -> None:
    """Message, type, param and code are always there, null where unknown."""
    assert json.loads(errors.envelope(InvalidRequest("no", param="stop"))) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "stop", "code": "invalid_request"}
    }
    assert json.loads(errors.envelope(GatewayError("no")))["error"].keys() == {"message", "type", "param", "code"}


def test_event() -> None:
    """An error within a stream is one event on one line, whatever its message holds."""
    event = errors.event(InvalidRequest("two\nlines\u2028three"))
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Saturated("full", retry_after=1.2), {"retry-after": "2", "retry-after-ms": "1200"}),
        (UpstreamLoading("wakes", retry_after=30), {"retry-after": "30", "retry-after-ms": "30000"}),
        (Saturated("full"), {}),
        (UpstreamTimeout("slow"), {"x-should-retry": "false"}),
        (DeadlineExceeded("late"), {"x-should-retry": "false"}),
        (Unauthenticated("who"), {"www-authenticate": "Bearer"}),
        (InvalidRequest("no"), {}),
    ],
)
def test_retry_headers(error: GatewayError, headers: dict[str, str]) -> None:
    """When to come back in whole seconds and in milliseconds, and not at all where it cannot help."""
    assert {name.decode(): value.decode() for name, value in errors.retry_headers(error)} == headers


def test_unforeseen() -> None:
    """Of a bug the client learns that there was one, and where to look."""
    error = errors.unforeseen()
    assert (error.status, error.code, error.type) == (500, "internal_error", "api_error")
    assert "request id" in error.message
