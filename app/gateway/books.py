"""What the books want to know of each request beside what happened: when, under which baseline, with which text."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.core.baseline import TokenBaseline
from app.core.chat import ChatRequest
from app.core.types import Plan, Receipt

BYPASSED = "explicit-model"  # asked for by name: without a router it would have gone there as well


@dataclass(frozen=True, slots=True)
class Books:
    """`utc` are the seconds since the epoch that ledger and records go by."""

    utc: Callable[[], float] = time.time
    baseline: TokenBaseline | None = None

    def baseline_nano(self, request: ChatRequest | None, plan: Plan | None, receipt: Receipt | None) -> int | None:
        """What a served chat request would have cost at the large model; None if it stands outside the baseline."""
        if self.baseline is None or receipt is None or receipt.usage is None or not counts(request, plan):
            return None
        return self.baseline.nano(receipt.usage, receipt.tier)


def counts(request: ChatRequest | None, plan: Plan | None) -> bool:
    """Is it routed chat? Embeddings and models asked for by name are outside of every comparison."""
    return request is not None and request.api != "embedding" and plan is not None and plan.reason != BYPASSED
