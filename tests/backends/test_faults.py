"""Every backend's words, as one of our faults: class, status, code, when to come back, and what is never shown."""

from __future__ import annotations

import orjson
import pytest

from app.backends.faults import MAX_MESSAGE, from_response, from_stream, seconds
from app.errors import (
    UpstreamFault,
    UpstreamLoading,
    UpstreamMalformed,
    UpstreamOverflow,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

OLLAMA_RAW = orjson.dumps({"error": {"message": '{"error":{"type":"exceed_context_size_error"}}', "code": None}})
OVERFLOWS = [
    (400, OLLAMA_RAW),
    (
        400,
        b'{"error":{"message":"This model\'s maximum context length is 4096 tokens. However, your prompt","code":400}}',
    ),
    (400, b'{"error":{"code":400,"type":"exceed_context_size_error","message":"request exceeds","n_ctx":4096}}'),
    (422, b'{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096","error_type":"x"}'),
    (400, b'{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}'),
]


@pytest.mark.parametrize(("status", "body"), OVERFLOWS, ids=["ollama", "vllm", "llama-cpp", "tgi", "openai"])
def test_overflow_in_every_servers_words(status: int, body: bytes) -> None:
    """It keeps the code and the phrase that agents look for."""
    fault = from_response(status, None, body)
    assert type(fault) is UpstreamOverflow
    assert fault.code == "context_length_exceeded"
    assert "maximum context length" in fault.message
    assert not fault.final  # a backend with a larger window may take it


CASES: list[tuple[int, bytes, type[UpstreamFault]]] = [
    (401, b'{"error":"Unauthorized"}', UpstreamRefused),
    (403, b"", UpstreamRefused),
    (404, b'{"error":{"message":"model \'x\' not found"}}', UpstreamRefused),
    (404, b"404 page not found", UpstreamRejected),
    (400, b"Bad Request: The endpoint is paused, ask a maintainer to restart it", UpstreamUnavailable),
    (429, b'{"error":"Model is overloaded","error_type":"overloaded"}', UpstreamRateLimited),
    (503, b'{"error":{"message":"server busy, please try again.  maximum pending requests"}}', UpstreamRateLimited),
    (503, b'{"error":{"code":503,"message":"Loading model"}}', UpstreamLoading),
    (503, b"", UpstreamLoading),
    (400, b'{"error":{"message":"temperature must be at most 2","param":"temperature"}}', UpstreamRejected),
    (422, b'{"detail":"Unexpected fields in the request"}', UpstreamRejected),
    (413, b"", UpstreamRejected),
    (408, b"", UpstreamTimeout),
    (504, b"<html>", UpstreamTimeout),
    (500, b'{"error":{"message":"CUDA error"}}', UpstreamUnavailable),
    (502, b"<html>", UpstreamUnavailable),
    (424, b'{"error":"generation failed","error_type":"generation"}', UpstreamUnavailable),
    (307, b"", UpstreamMalformed),
]


@pytest.mark.parametrize(("status", "body", "expected"), CASES)
def test_status_and_words_decide(status: int, body: bytes, expected: type[UpstreamFault]) -> None:
    """A 4xx is the client's fault only if it is about the request itself."""
    assert type(from_response(status, None, body)) is expected


def test_a_rejection_keeps_status_param_and_words() -> None:
    """The client reads what the backend had against its request."""
    fault = from_response(422, None, b'{"error":{"message":"stop must be a list","param":"stop"}}')
    assert (fault.status, fault.param, fault.message, fault.final) == (422, "stop", "stop must be a list", True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("1.5", 1.5),
        ("9999", 120.0),
        ("inf", 120.0),
        ("nan", 120.0),
        (None, None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_within_bounds(given: str | None, expected: float | None) -> None:
    """Above 120 s SDKs do not come back at all."""
    assert seconds(given) == expected


def test_who_may_come_back_is_told_when() -> None:
    """The upstream's own word first, else ours."""
    assert from_response(429, "7", b"").retry_after == 7.0
    assert (from_response(503, None, b"Loading model").retry_after or 0) > 0


@pytest.mark.parametrize("secret", ["sk-abcdef1234567", "hf_abcdefghij", "Bearer abc.def"])
@pytest.mark.parametrize("status", [400, 401, 500])
def test_keys_in_an_upstreams_text_are_never_shown(secret: str, status: int) -> None:
    """Some servers repeat the key they refuse."""
    body = b'{"error":{"message":"Incorrect API key provided: %s"}}' % secret.encode()
    assert secret.split()[-1] not in from_response(status, None, body).message


def test_an_upstreams_text_is_bounded() -> None:
    """A page of HTML does not become a page of error."""
    assert len(from_response(400, None, b"x" * 100_000).message) <= MAX_MESSAGE


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "out of memory", "type": "InternalServerError", "code": 500}, UpstreamUnavailable),
        ("the engine died", UpstreamUnavailable),
        ({"message": "Model is overloaded", "http_status_code": 429}, UpstreamRateLimited),
        ({"message": "This model's maximum context length is 10 tokens"}, UpstreamOverflow),
        ({"message": "bad tool", "http_status_code": 422}, UpstreamRejected),
        ({"code": True, "message": None}, UpstreamUnavailable),
        ([1, 2], UpstreamUnavailable),
    ],
)
def test_errors_inside_a_stream(error: object, expected: type[UpstreamFault]) -> None:
    """Objects or texts, with a status of their own or without."""
    assert type(from_stream(error)) is expected
