"""A backend's refusal in one of our words: whose fault it is, and whether another backend may do better. Pure.

Every server says "too long" differently, and some say it with the wrong status. What a client sees of the
upstream's text is cleaned: no keys, one paragraph, bounded.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

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

MAX_MESSAGE = 1000
LOADING_RETRY = 15.0  # seconds; a model loads in tens of seconds, an endpoint wakes in minutes

_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|exceeds? the (?:available )?context"
    r"|context (?:size|length|window).{0,40}exceed|exceed.{0,40}context (?:size|length|window)"
    r"|inputs?`? tokens.{0,30}max_new_tokens|`?inputs`? must have less than|prompt is too long|too many tokens"
    r"|input length exceeds|longer than the maximum",
    re.IGNORECASE | re.DOTALL,
)
_BUSY = re.compile(r"overloaded|server busy|maximum pending requests|engine is currently busy|too many requests", re.I)
_LOADING = re.compile(r"loading model|model is (?:currently )?loading|scaled? to zero|scaling up|initializing", re.I)
_PAUSED = re.compile(r"endpoint is paused", re.I)
_SECRET = re.compile(r"(?:sk|hf|gsk|pk|key)[-_][A-Za-z0-9_\-]{6,}|Bearer\s+\S+", re.I)


def from_response(status: int, retry_after: str | None, body: bytes) -> UpstreamFault:
    """`body` is the start of what came with a status that is not 200."""
    message, code, param = _read(body)
    return _fault(status, message, code, param, seconds(retry_after))


def from_stream(error: Any) -> UpstreamFault:
    """`error` is what stood under "error" in an event or a 200 answer: an object or a text."""
    message, code, param = _words(error)
    status = error.get("http_status_code") or error.get("code") if isinstance(error, dict) else None
    found = _fault(status if isinstance(status, int) and 400 <= status < 600 else 500, message, code, param, None)
    return found


def seconds(retry_after: str | None) -> float | None:
    """Whole or broken seconds, 1 to 120; a date or nonsense counts as not given."""
    try:
        return max(1.0, min(120.0, float(retry_after or "")))  # in this order a NaN becomes 120
    except ValueError:
        return None


def _fault(status: int, message: str, code: str, param: str | None, retry_after: float | None) -> UpstreamFault:
    clean = _clean(message)
    if status not in (401, 403) and _OVERFLOW.search(f"{message} {code}"):
        return UpstreamOverflow(_overflow_message(clean), param=param or "messages")
    if _PAUSED.search(message):
        return UpstreamUnavailable("The endpoint is paused.")
    if status in (401, 403):
        return UpstreamRefused("The backend does not accept the gateway's key. The operator has to mend that.")
    if status == 404 and "model" in message.lower():
        return UpstreamRefused("The backend does not have the configured model. The operator has to mend that.")
    if status == 429 or (status >= 424 and _BUSY.search(message)):
        return UpstreamRateLimited("The backend has too many requests.", retry_after=retry_after or 2.0)
    if status == 503:
        what = "loading its model" if _LOADING.search(message) else "not ready"
        return UpstreamLoading(f"The backend is {what}.", retry_after=retry_after or LOADING_RETRY)
    if status in (408, 504):
        return UpstreamTimeout("The backend gave up on the request.")
    if 300 <= status < 400:
        return UpstreamMalformed("The backend redirects, which is not followed: mend its base_url.")
    if 400 <= status < 500 and status not in (405, 409, 424, 425):
        return UpstreamRejected(clean or "The backend rejected the request.", param=param, status=status)
    return UpstreamUnavailable(f"The backend failed with status {status}.")


def _read(body: bytes) -> tuple[str, str, str | None]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:2000].decode("utf-8", "replace"), "", None
    if isinstance(value, dict):
        if value.get("error"):
            return _words(value["error"], str(value.get("error_type") or ""))
        if "detail" in value:
            return _words(value["detail"])
        return _words(value)
    return str(value)[:2000], "", None


def _words(error: Any, code: str = "") -> tuple[str, str, str | None]:
    if not isinstance(error, dict):
        return str(error)[:2000], code, None
    message = error.get("message") or error.get("msg") or ""
    name = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
    param = error.get("param")
    return str(message)[:2000], str(name or code), param if isinstance(param, str) else None


def _overflow_message(clean: str) -> str:
    said = "" if "maximum context length" in clean else "This model's maximum context length is exceeded. "
    return (said + clean).strip()


def _clean(message: str) -> str:
    return _SECRET.sub("***", " ".join(message.split()))[:MAX_MESSAGE]
