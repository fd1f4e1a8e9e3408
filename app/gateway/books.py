"""What the books want to know of each request beside what happened: when, under which baseline, with which text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.core.baseline import TokenBaseline, counts
from app.core.chat import ChatRequest
from app.core.features import features
from app.core.types import Plan, Receipt


@dataclass(frozen=True, slots=True)
class Books:
    """`utc` are the seconds since the epoch that ledger and records go by."""

    utc: Callable[[], float] = time.time
    baseline: TokenBaseline | None = None
    keep_text: bool = False
    keep_local_text: bool = False
    keep_vector: bool = False
    keep_local_vector: bool = False

    def baseline_nano(self, request: ChatRequest | None, plan: Plan | None, receipt: Receipt | None) -> int | None:
        """What a served chat request would have cost at the large model; None if it stands outside the baseline."""
        if self.baseline is None or request is None or plan is None or receipt is None or receipt.usage is None:
            return None
        if not counts(request.api, plan.reason):
            return None
        return self.baseline.nano(receipt.usage, receipt.tier)

    def text(self, request: ChatRequest, local_only: bool) -> str | None:
        """The request's body as JSON, if the config wants it kept; what is local-only needs a second yes."""
        if not self.keep_text or (local_only and not self.keep_local_text):
            return None
        return json.dumps(request.body, ensure_ascii=False)

    def vector(self, request: ChatRequest, local_only: bool) -> bytes | None:
        """What the router sees of a request, if the config wants it kept; the second yes is as for text: counters of
        words tell something of the words."""
        if not self.keep_vector or request.api == "embedding" or (local_only and not self.keep_local_vector):
            return None
        return features(request.body).packed()
