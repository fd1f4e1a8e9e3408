"""An ordinary settled request, and the process at an ordinary moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.core.types import Receipt, Record, Usage
from app.telemetry.metrics import BackendNow, LaneNow, Now

RECEIPT = Receipt(
    backend="ollama",
    tier="slm",
    outcome="ok",
    queued=0.002,
    first_token=0.3,
    seconds=0.5,
    usage=Usage(120, 80),
    nano_usd=None,
)
RECORD = Record(
    request_id="r-1",
    api="chat",
    stream=True,
    key="app",
    local_only=False,
    tier="slm",
    backend="ollama",
    model="qwen3:4b",
    reason="score",
    final_reason=None,
    score=0.125,
    threshold=0.75,
    outcome="ok",
    status=200,
    error=None,
    receipts=(RECEIPT,),
    classify=0.0001,
    first_token=0.31,
    seconds=0.51,
    overhead=0.0004,
    inter_token=0.02,
)
NOW = Now(
    router="default",
    threshold=0.75,
    llm_share=0.05,
    lanes=(LaneNow("ollama", 1, 3, 1, 16), LaneNow("box", 0, 0, 32, 64)),
    backends=(
        BackendNow("ollama", ("slm",), "ready", ("energy", "capex")),
        BackendNow("endpoint", ("llm",), "asleep", ("compute", "idle")),
    ),
)


def a_receipt(**changes: Any) -> Receipt:
    return replace(RECEIPT, **changes)


def a_record(**changes: Any) -> Record:
    return replace(RECORD, **changes)
