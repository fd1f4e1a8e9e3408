"""Shares, tokens and money from records; and no difference goes unnoticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.backends.scripted import Seen
from app.cli.demo.requests import Request
from app.cli.demo.statement import Book, differences, state
from app.core.types import Entry, Receipt, Record, Usage

METRICS = """\
# HELP smallfirst_requests_total Settled requests.
smallfirst_requests_total{tier="slm",reason="score",outcome="ok"} 2.0
smallfirst_requests_total{tier="llm",reason="score",outcome="ok"} 1.0
smallfirst_tokens_total{tier="slm",backend="small",kind="input"} 20.0
smallfirst_tokens_total{tier="slm",backend="small",kind="output"} 10.0
smallfirst_tokens_total{tier="llm",backend="large",kind="input"} 10.0
smallfirst_tokens_total{tier="llm",backend="large",kind="output"} 5.0
smallfirst_cost_usd_total{tier="llm",backend="large",kind="tokens"} 0.5
smallfirst_cost_usd_total{tier="slm",backend="small",kind="energy"} 7.0
"""
SEEN = {
    "small": Seen(requests=2, prompt_tokens=20, completion_tokens=10),
    "large": Seen(requests=1, prompt_tokens=10, completion_tokens=5),
}
REQUESTS = [Request("chat-en", {"messages": [{"role": "user", "content": f"text {n}"}]}) for n in range(2)]
REQUESTS += [Request("maths", {"messages": [{"role": "user", "content": "prove it"}]})]


def record(number: int, tier: str, backend: str, **changes: object) -> Record:
    nano = 500_000_000 if tier == "llm" else None
    receipt = Receipt(backend, tier, "ok", 0.0, 0.1, 0.2, Usage(10, 5), nano)
    score = 0.9 if tier == "llm" else 0.1
    made = Record(
        request_id=f"demo-{number:03d}",
        api="chat",
        stream=False,
        key=None,
        local_only=False,
        tier=tier,
        backend=backend,
        model="m",
        reason="score",
        final_reason=None,
        score=score,
        threshold=0.5,
        outcome="ok",
        status=200,
        error=None,
        receipts=(receipt,),
        classify=0.0,
        first_token=0.1,
        seconds=0.2,
        overhead=0.0,
    )
    return replace(made, **changes)


def book(*records: Record) -> Book:
    made = Book()
    for one in records or (record(0, "slm", "small"), record(1, "slm", "small"), record(2, "llm", "large")):
        made.on_settled(one)
    return made


def test_the_sums() -> None:
    """Three requests, one of them by the large model; costs of time and of tokens are added."""
    told = book()
    told.on_entries([Entry("slm", "small", "energy", 250_000_000, "p")])
    statement = state(REQUESTS, told, "llm")
    assert (statement.requests, statement.failed, statement.tokens) == (3, 0, (30, 15))
    assert statement.llm_share == statement.llm_share_total == pytest.approx(1 / 3)
    assert statement.usd == {"energy": 0.25, "tokens": 0.5}
    assert statement.cost_usd == 0.75
    assert statement.threshold == 0.5


def test_each_kind_has_its_line() -> None:
    """With tiers, reasons and the request of the highest score."""
    chat, maths = state(REQUESTS, book(), "llm").kinds
    assert (chat.name, chat.requests, dict(chat.tiers), dict(chat.reasons)) == ("chat-en", 2, {"slm": 2}, {"score": 2})
    assert chat.median == 0.1
    assert maths.hardest == (0.9, "prove it")


def test_only_the_score_has_a_share() -> None:
    """Explicit wishes and fallbacks stand outside of the share, inside of the total."""
    told = book(
        record(0, "slm", "small"),
        record(1, "llm", "large", reason="explicit-tier", score=None),
        record(2, "llm", "large", final_reason="fallback:saturated"),
    )
    statement = state(REQUESTS, told, "llm")
    assert statement.llm_share == 0
    assert statement.llm_share_total == pytest.approx(2 / 3)
    assert dict(statement.kinds[1].reasons) == {"fallback:saturated": 1}


def test_what_failed_or_is_missing_is_a_failure() -> None:
    """A shed request has no tier, the two others have no record; none of them has a share."""
    nothing = {"tier": None, "reason": None, "score": None, "receipts": ()}
    shed = replace(record(0, "slm", "small"), outcome="shed", error="saturated", **nothing)
    statement = state(REQUESTS, book(shed), "llm")
    assert statement.failed == 3
    assert statement.llm_share is None
    assert dict(statement.kinds[0].tiers) == {"none": 1}
    assert dict(statement.kinds[0].reasons) == {"saturated": 1}


def test_equal_books() -> None:
    """Nothing to say when all agree."""
    assert differences([True] * 3, book(), SEEN, METRICS) == []


@pytest.mark.parametrize(
    ("sent", "changed", "metrics", "told"),
    [
        ([True, True, True, False], {}, METRICS, "requests: sent, recorded: 4 and 3"),
        ([True, True, False], {}, METRICS, "whole answers: received, recorded: 2 and 3"),
        ([True] * 3, {"requests": 3}, METRICS, "small: attempts recorded"),
        ([True] * 3, {"prompt_tokens": 21}, METRICS, "small: input tokens"),
        ([True] * 3, {"completion_tokens": 9}, METRICS, "small: output tokens"),
        ([True] * 3, {}, METRICS.replace("} 2.0", "} 3.0"), "requests: recorded, in /metrics: 3 and 4"),
        ([True] * 3, {}, METRICS.replace("} 20.0", "} 19.0"), "small: tokens recorded, in /metrics: 30 and 29"),
        ([True] * 3, {}, METRICS.replace("} 0.5", "} 0.6"), "cost of tokens: recorded, in /metrics: 0.5 and 0.6"),
    ],
)
def test_each_difference_is_named(sent: list[bool], changed: dict[str, int], metrics: str, told: str) -> None:
    """One line, with both numbers."""
    seen = {**SEEN, "small": replace(SEEN["small"], **changed)}
    found = differences(sent, book(), seen, metrics)
    assert len(found) == 1
    assert told in found[0]


def test_a_request_settled_twice_is_a_difference() -> None:
    """It would be paid twice."""
    told = book()
    told.on_settled(record(2, "llm", "large", receipts=()))
    assert any("settled: 3 and 4" in line for line in differences([True] * 3, told, SEEN, METRICS))


def test_a_closed_book_keeps_nothing() -> None:
    """What comes after the run does not add up, and does not fill the memory."""
    told = book()
    told.closed = True
    told.on_settled(record(3, "llm", "large"))
    told.on_entries([Entry("slm", "small", "energy", 1, "p")])
    assert (told.settled, len(told.records), dict(told.nano_usd)) == (3, 3, {"tokens": 500_000_000})
