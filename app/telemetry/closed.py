"""The closed sets behind labels and log fields: a word outside of them is shown as "other".

Errors carry messages and clients send names; no mistake elsewhere may turn them into a label or a log field.
Tiers and backends are not listed: they are names of the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from app.core.types import CostKind, Reason
from app.errors import GatewayError, OurFault

OTHER = "other"
NONE = "none"  # nothing was decided, because the request ended before that


def _kinds(error: type[GatewayError]) -> Iterator[str]:
    yield error.kind
    for narrower in error.__subclasses__():
        yield from _kinds(narrower)


ERRORS = frozenset(_kinds(GatewayError))
SHED = frozenset(_kinds(OurFault)) - {OurFault.kind}
REASONS = frozenset(get_args(Reason))
OUTCOMES = frozenset({"ok", "client-error", "upstream-error", "internal-error", "shed", "cancelled", "aborted"})
ATTEMPTS = frozenset({"ok", "cancelled"}) | ERRORS
FINAL_REASONS = frozenset(f"fallback:{kind}" for kind in ERRORS)
COSTS: frozenset[str] = frozenset(get_args(CostKind))


def clamp(word: str | None, allowed: frozenset[str]) -> str:
    """`word` if it belongs to the set, "none" for None, else "other"."""
    return NONE if word is None else word if word in allowed else OTHER
