"""Response headers: what was decided, for the client to see. Values are made safe for a header line."""

from __future__ import annotations

from functools import lru_cache

from app.api.errors import Headers
from app.gateway import Story

SCHEMA = (b"x-smallfirst-schema", b"1")
JSON = (b"content-type", b"application/json")
STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


@lru_cache(maxsize=1024)
def _safe(value: str) -> bytes:
    """Names of tiers, backends and models; few, so they are cached."""
    return "".join(char if " " <= char <= "~" else "?" for char in value).encode()


def identity(request_id: str) -> Headers:
    return [(b"x-request-id", request_id.encode("latin-1", "replace")), SCHEMA]


def decision(story: Story) -> Headers:
    """Headers known so far: from the plan at first, more once a backend answered."""
    headers = identity(story.caller.request_id)
    plan, attempt = story.plan, story.attempt
    if plan is None:
        return headers
    headers.append((b"x-smallfirst-reason", plan.reason.encode()))
    if plan.score is not None:
        headers.append((b"x-smallfirst-score", b"%.4f" % plan.score))
    if plan.threshold is not None:
        headers.append((b"x-smallfirst-threshold", b"%.4f" % plan.threshold))
    if attempt is None:
        return headers
    headers.append((b"x-smallfirst-tier", _safe(attempt.step.tier)))
    headers.append((b"x-smallfirst-backend", _safe(attempt.step.backend)))
    headers.append((b"x-smallfirst-attempts", b"%d" % attempt.number))
    if story.model is not None:
        headers.append((b"x-smallfirst-model", _safe(story.model)))
    if attempt.number > 1 and story.final_reason:
        headers.append((b"x-smallfirst-final-reason", story.final_reason.encode()))
    return headers


def cost(story: Story) -> Headers:
    """What the tokens of all attempts cost, and what they would have without routing. Nothing where that is not known,
    which is not 0: an attempt without a token price, or one that was answered and not counted."""
    headers = []
    amounts = [receipt.nano_usd for receipt in story.receipts]
    if amounts and None not in amounts:
        headers.append((b"x-smallfirst-cost-usd", b"%.9f" % (sum(amount or 0 for amount in amounts) / 1e9)))
    baseline = story.baseline_nano
    if baseline is not None:
        headers.append((b"x-smallfirst-baseline-cost-usd", b"%.9f" % (baseline / 1e9)))
    return headers
