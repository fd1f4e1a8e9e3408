"""From a record to its rows. Pure; the columns follow `app.stores.schema`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from app.core.features import FEATURE_VERSION
from app.core.prices import Price, terms
from app.core.types import Entry, Receipt, Record

Row = tuple[Any, ...]
REQUEST_COLUMNS = 33
ATTEMPT_COLUMNS = 15


def request_row(number: int, record: Record, salt: bytes, text: str | None, vector: bytes | None) -> Row:
    return (
        number,
        _clean(record.request_id),
        record.at,
        record.api,
        record.stream,
        _hashed(record.key, salt),
        _hashed(record.session, salt),
        record.local_only,
        record.tier,
        record.backend,
        _clean(record.model),
        record.reason,
        record.final_reason,
        record.rule,
        record.score,
        record.threshold,
        json.dumps(dict(record.why)),
        record.router,
        FEATURE_VERSION,
        " ".join(sorted(record.needs)),
        record.estimate,
        record.truncated,
        record.outcome,
        record.status,
        record.error,
        record.classify,
        record.first_token,
        record.inter_token,
        record.seconds,
        record.overhead,
        record.baseline_nano,
        vector,
        _clean(text),
    )


def attempt_row(number: int, receipt: Receipt) -> Row:
    usage = receipt.usage
    tokens = (None,) * 4 if usage is None else (usage.input, usage.cached, usage.output, usage.estimated)
    return (
        number,
        receipt.number,
        receipt.backend,
        receipt.tier,
        receipt.outcome,
        receipt.queued,
        receipt.first_token,
        receipt.seconds,
        *tokens,
        receipt.kind,
        receipt.nano_usd,
        receipt.price_id,
    )


def entry_rows(entries: Sequence[Entry]) -> list[Row]:
    return [
        (
            entry.minute,
            entry.tier,
            entry.backend,
            entry.kind,
            entry.nano_usd,
            entry.price_id,
            _clean(entry.request_id),
            entry.attempt,
        )
        for entry in entries
    ]


def price_row(price: Price) -> Row:
    return price.id, json.dumps(terms(price))


def _hashed(name: str | None, salt: bytes) -> bytes | None:
    """Tells two apart, and says nothing to whoever has only the file of another gateway."""
    return None if name is None else hashlib.blake2b(name.encode("utf-8", "replace"), key=salt, digest_size=16).digest()


def _clean(text: str | None) -> str | None:
    """Half of a surrogate pair is no text that can be written."""
    return None if text is None else text.encode("utf-8", "replace").decode()
