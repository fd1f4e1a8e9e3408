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
    (422, b'{"error":"Input validation error: `inputs` must have less than 1000 tokens. Given: 2000"}'),
    (400, b'{"detail":"Input length exceeds the window: 70 is longer than the maximum"}'),
    (400, b'{"message":"The input (70 tokens) is longer than the model\'s context length (64 tokens)."}'),
    (500, b'{"error":{"message":"input is too large to process. increase the physical batch size"}}'),
]


@pytest.mark.parametrize(
    ("status", "body"),
    OVERFLOWS,
    ids=["ollama", "vllm", "llama-cpp", "tgi", "openai", "tgi-inputs", "transformers", "sglang", "llama-cpp-embedding"],
)
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
    (404, b"404 page not found", UpstreamRefused),
    (404, b'{"detail":"Not Found"}', UpstreamRefused),
    (405, b"", UpstreamRefused),
    (501, b'{"error":{"type":"not_supported_error","message":"no embeddings"}}', UpstreamRefused),
    (400, b'{"error":{"message":"\\"auto\\" tool choice requires --enable-auto-tool-choice and"}}', UpstreamRefused),
    (429, b'{"error":{"message":"too many tokens per minute"}}', UpstreamRateLimited),
    (500, b'{"error":"Model is overloaded","error_type":"overloaded"}', UpstreamRateLimited),
    (503, b'{"error":"503 Service Unavailable: the endpoint is scaling up"}', UpstreamLoading),
    (503, b"<html>503 Service Temporarily Unavailable</html>", UpstreamLoading),
    (503, b'{"error":{"message":"down","type":"ServiceUnavailableError","code":503}}', UpstreamUnavailable),
    (503, b'{"error":"The generation worker has died"}', UpstreamUnavailable),
    (204, b"", UpstreamUnavailable),
    (422, b'{"error":"Template error: x","error_type":"template_error"}', UpstreamRejected),
    (400, b"Bad Request: The endpoint is paused, ask a maintainer to restart it", UpstreamUnavailable),
    (429, b'{"error":"Model is overloaded","error_type":"overloaded"}', UpstreamRateLimited),
    (503, b'{"error":{"message":"server busy, please try again.  maximum pending requests"}}', UpstreamRateLimited),
    (503, b'{"error":{"code":503,"message":"Loading model"}}', UpstreamLoading),
    (503, b"", UpstreamLoading),
    (400, b'{"error":{"message":"temperature must be at most 2","param":"temperature"}}', UpstreamRejected),
    (422, b'{"detail":"Unexpected fields in the request"}', UpstreamRejected),
    (402, b'{"error":"You have exceeded your monthly credits"}', UpstreamRefused),
    (409, b'{"error":{"message":"conflict"}}', UpstreamRejected),
    (413, b"", UpstreamRejected),
    (499, b"", UpstreamUnavailable),
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
        ("nan", None),
        ("-5", 1.0),
        ("soon", None),
        (None, None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_within_bounds(given: str | None, expected: float | None) -> None:
    """Above 120 s SDKs do not come back at all."""
    assert seconds(given) == expected


@pytest.mark.parametrize(
    ("until", "date", "expected"),
    [
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
        ("Thu, 22 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 120.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "today", None),
    ],
)
def test_a_date_to_come_back_at_is_measured_on_the_backends_clock(
    until: str, date: str, expected: float | None
) -> None:
    """Ours may go otherwise."""
    assert seconds(until, date) == expected


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


def test_words_that_only_look_like_keys_are_shown() -> None:
    """A key begins a word."""
    fault = from_response(400, None, b'{"error":{"message":"bad task-description in risk-assessment"}}')
    assert fault.message == "bad task-description in risk-assessment"


def test_a_proxys_page_is_not_shown() -> None:
    """nginx says 413 in HTML."""
    fault = from_response(413, None, b"\n<html><center>413 Request Entity Too Large</center></html>")
    assert type(fault) is UpstreamRejected
    assert "<" not in fault.message


def test_words_that_look_a_little_like_keys_stay() -> None:
    """A key stands on its own."""
    assert from_response(400, None, b"task-specific monkey_patching").message == "task-specific monkey_patching"


def test_an_upstreams_text_is_bounded() -> None:
    """However much it says, and a page says nothing."""
    assert len(from_response(400, None, b"x" * 100_000).message) <= MAX_MESSAGE
    assert from_response(413, None, b"<html>Too Large</html>").message == "The backend rejected the request."


def test_a_list_of_what_is_wrong_becomes_one_sentence() -> None:
    """FastAPI's way; what it repeats of the input is left out."""
    detail = [{"loc": ["body", "stop"], "msg": "a list is required", "input": "secret"}, {"msg": "n is odd"}]
    fault = from_response(422, None, orjson.dumps({"detail": detail}))
    assert fault.message == "a list is required; n is odd"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "out of memory", "type": "InternalServerError", "code": 500}, UpstreamUnavailable),
        ("the engine died", UpstreamUnavailable),
        ({"message": "Model is overloaded", "http_status_code": 429}, UpstreamRateLimited),
        ({"message": "This model's maximum context length is 10 tokens"}, UpstreamOverflow),
        ({"message": "bad tool", "http_status_code": 422}, UpstreamRejected),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, UpstreamRateLimited),
        ("server busy, please try again", UpstreamRateLimited),
        ("the prompt is too long", UpstreamOverflow),
        ({"message": {"odd": 1}, "code": "503"}, UpstreamUnavailable),
        ({}, UpstreamUnavailable),
        ({"code": True, "message": None}, UpstreamUnavailable),
        ([1, 2], UpstreamUnavailable),
    ],
)
def test_errors_inside_a_stream(error: object, expected: type[UpstreamFault]) -> None:
    """Objects or texts, with a status of their own or without."""
    assert type(from_stream(error)) is expected
