"""A backend's refusal in one of our words: whose fault it is, and whether another backend may do better. Pure.

Every server says "too long" differently, and some say it with the wrong status. Only a status that is about the
request itself is the client's fault; what names a key, a path, a model or a server's flags is the operator's.
What a client sees of the upstream's text is cleaned: no keys, no page, one paragraph, bounded.
"""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
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
SHORTEST, LONGEST = 1.0, 120.0  # seconds to come back in; SDKs do not come back at all after longer
_ABOUT_THE_REQUEST = frozenset({400, 409, 413, 414, 415, 422, 431})
_NO_SUCH_THING = frozenset({404, 405, 410, 501})
_NOT_LET_IN = frozenset({401, 402, 403, 407})

_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|exceeds? the (?:available )?context"
    r"|context (?:size|length|window).{0,40}exceed|exceed.{0,40}context (?:size|length|window)"
    r"|inputs?`? tokens.{0,30}max_new_tokens|`?inputs`? must have less than|prompt is too long|too many tokens"
    r"|input length exceeds|longer than the (?:maximum|model)|too large to process",
    re.IGNORECASE | re.DOTALL,
)
_BUSY = re.compile(
    r"overloaded|server busy|maximum pending requests|engine is currently busy|too many requests|rate_limit", re.I
)
_LOADING = re.compile(r"loading model|model is (?:currently )?loading|scaled? to zero|scaling up|initializing", re.I)
_DEAD = re.compile(r"\b(?:worker|engine)\b.{0,30}\b(?:died|dead|not alive)\b|EngineDeadError", re.I)
_PAUSED = re.compile(r"endpoint is paused", re.I)
_SETUP = re.compile(r"--enable-auto-tool-choice|--tool-call-parser", re.I)  # vLLM started without tools
_SECRET = re.compile(r"\b(?:sk|hf|gsk|pk|key)[-_][A-Za-z0-9_\-]{6,}|\bBearer\s+\S+", re.I)


def from_response(status: int, retry_after: str | None, body: bytes, date: str | None = None) -> UpstreamFault:
    """`body` is the start of what came with a status that is not 200; `date` the answer's header of that name."""
    message, code, param = _read(body)
    return _fault(status, message, code, param, seconds(retry_after, date))


def from_stream(error: Any) -> UpstreamFault:
    """`error` is what stood under "error" in an event or a 200 answer: an object or a text."""
    message, code, param = _words(error)
    status = error.get("http_status_code") or error.get("code") if isinstance(error, dict) else None
    return _fault(status if isinstance(status, int) and 400 <= status < 600 else 500, message, code, param, None)


def seconds(retry_after: str | None, date: str | None = None) -> float | None:
    """Seconds from SHORTEST to LONGEST, of a number or of two dates, both by the backend's own clock.

    A date without the answer's own `date`, or nonsense, counts as not given.
    """
    if not retry_after:
        return None
    try:
        wait = float(retry_after)
    except ValueError:
        wait = _between(date, retry_after)
    return None if math.isnan(wait) else min(max(wait, SHORTEST), LONGEST)


def _between(start: str | None, end: str) -> float:
    try:
        return (parsedate_to_datetime(end) - parsedate_to_datetime(start or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no date, or only one of them with a time zone
        return math.nan


def _fault(status: int, message: str, code: str, param: str | None, retry_after: float | None) -> UpstreamFault:
    """What is said comes before the status, which is often the wrong one."""
    words = f"{message} {code}"
    if status in _NOT_LET_IN:
        return UpstreamRefused("The backend does not accept the gateway's key. The operator has to mend that.")
    if status != 429 and _OVERFLOW.search(words):
        return UpstreamOverflow(_overflow_message(_clean(message)), param=param or "messages")
    if _PAUSED.search(message):
        return UpstreamUnavailable("The endpoint is paused.")
    if _SETUP.search(message):
        return UpstreamRefused("The backend was started without support for tools. The operator has to mend that.")
    if status == 429 or (status >= 424 and _BUSY.search(words)):
        return UpstreamRateLimited("The backend has too many requests.", retry_after=retry_after or 2.0)
    if status == 503:
        return _not_ready(message, code, retry_after)
    return _by_status(status, message, param)


def _not_ready(message: str, code: str, retry_after: float | None) -> UpstreamFault:
    """A proxy's 503 has no error code and means that a replica is coming; an engine's own has one, or is its end."""
    if _LOADING.search(message):
        return UpstreamLoading("The backend is loading its model.", retry_after=retry_after or LOADING_RETRY)
    if code or _DEAD.search(message):
        return UpstreamUnavailable("The backend failed with status 503.", retry_after=retry_after)
    return UpstreamLoading("The backend is not ready.", retry_after=retry_after or LOADING_RETRY)


def _by_status(status: int, message: str, param: str | None) -> UpstreamFault:
    if status in _NO_SUCH_THING:
        what = "the configured model" if "model" in message.lower() else "this API or model"
        return UpstreamRefused(f"The backend does not have {what}. The operator has to mend that.")
    if status in _ABOUT_THE_REQUEST:
        return UpstreamRejected(_clean(message) or "The backend rejected the request.", param=param, status=status)
    if status in (408, 504):
        return UpstreamTimeout("The backend gave up on the request.")
    if 300 <= status < 400:
        return UpstreamMalformed("The backend redirects, which is not followed: mend its base_url.")
    return UpstreamUnavailable(f"The backend failed with status {status}.")


def _read(body: bytes) -> tuple[str, str, str | None]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[:2000].decode("utf-8", "replace")
        return "" if text.lstrip().startswith("<") else text, "", None  # a proxy's page says nothing to a client
    if isinstance(value, dict):
        if value.get("error"):
            return _words(value["error"], str(value.get("error_type") or ""))
        if "detail" in value:
            return _words(value["detail"])
        return _words(value)
    return str(value)[:2000], "", None


def _words(error: Any, code: str = "") -> tuple[str, str, str | None]:
    """Message, code and param of an error in any of the shapes there are."""
    if isinstance(error, list):  # FastAPI's list of what is wrong; the rest of each repeats the input
        error = "; ".join(str(one.get("msg") or "") if isinstance(one, dict) else str(one) for one in error[:9])
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
