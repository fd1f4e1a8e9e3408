"""The arithmetic of the statement and the comparison of all counts, on records made by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from app.backends.scripted import Seen
from app.cli.demo.client import Outcome
from app.cli.demo.day import Arrival
from app.cli.demo.requests import Request
from app.cli.demo.statement import Book, differences, state
from app.core.types import Entry, Receipt, Record, Usage
from app.stores import Totals
from tests.telemetry.examples import a_record


def request(kind: str, text: str) -> Request:
    return Request(kind, {"messages": [{"role": "user", "content": text}], "stream": True})


REQUESTS = (request("chat-en", "hi"), request("chat-en", "bye"), request("math", "prove it"))


def record(number: int, tier: str, backend: str, **more: object) -> Record:
    """Ten tokens in, five out; the math question scores high. The large model costs 0.5 USD a request."""
    nano = 500_000_000 if backend == "large" else None
    receipt = Receipt(backend, tier, "ok", 0.0, 0.1, 0.2, Usage(10, 5), nano, "tokens" if nano else None)
    given = {"key": None, "score": 0.9 if number == 2 else 0.1, "threshold": 0.5, "overhead": 0.001, "baseline_nano": 7}
    return a_record(request_id=f"r-{number}", tier=tier, backend=backend, receipts=(receipt,), **{**given, **more})


def outcomes(*more: dict[str, object]) -> list[Outcome]:
    """Three people who were answered, unless `more` says otherwise."""
    made = []
    for number, one in enumerate(REQUESTS):
        outcome = Outcome(Arrival(0.0, number, one), [f"r-{number}"], True, tier="slm", first_token=0.25 * (number + 1))
        made.append(replace(outcome, **more[number]) if number < len(more) else outcome)  # type: ignore[arg-type]
    return made


def book(*records: Record) -> Book:
    made = Book()
    for one in records or (record(0, "slm", "small"), record(1, "slm", "small"), record(2, "llm", "large")):
        made.on_settled(one)
    made.on_entries([Entry("slm", "small", "energy", 250_000_000, "p", minute=9)])
    made.on_entries([Entry("llm", "large", "idle", 1_000_000_000, "p", minute=10)])
    made.on_baseline("all-llm", 2_000_000_000, 10, 1)
    return made


def test_the_sums() -> None:
    """Three requests, one of them by the large model; costs of time and of tokens, and what they are compared with."""
    statement = state(outcomes(), book(), "llm")
    assert (statement.requests, statement.complete, statement.failed, statement.tokens) == (3, 3, 0, (30, 15))
    assert statement.usd == {"energy": 0.25, "idle": 1.0, "tokens": 0.5}
    assert (statement.cost_usd, statement.idle_usd) == (1.75, 1.0)
    assert statement.baseline_usd == pytest.approx(2.000000021)
    assert statement.saved_usd == pytest.approx(0.250000021)
    assert statement.threshold == 0.5
    assert statement.overhead == (1.0, 1.0)
    assert statement.first_token == {"slm": 500.0}


def test_shares() -> None:
    """Of what the score decided, of all, and what a coin would have to send to catch the one hard question."""
    statement = state(outcomes(), book(), "llm")
    assert statement.llm_share == statement.llm_share_total == pytest.approx(1 / 3)
    assert statement.llm_share_under_random == 1.0


def test_only_the_score_has_a_share() -> None:
    """Explicit wishes and fallbacks stand outside of the share, inside of the total."""
    told = book(
        record(0, "slm", "small"),
        record(1, "llm", "large", reason="explicit-tier", score=None),
        record(2, "llm", "large", final_reason="fallback:saturated"),
    )
    statement = state(outcomes(), told, "llm")
    assert (statement.llm_share, statement.llm_share_under_random) == (0, None)
    assert statement.llm_share_total == pytest.approx(2 / 3)
    assert dict(statement.kinds[1].reasons) == {"fallback:saturated": 1}


def test_each_kind_has_its_line() -> None:
    """With tiers, reasons and the request of the highest score."""
    chat, hard = state(outcomes(), book(), "llm").kinds
    assert (chat.name, chat.requests, dict(chat.tiers), dict(chat.reasons)) == ("chat-en", 2, {"slm": 2}, {"score": 2})
    assert chat.median == 0.1
    assert hard.hardest == (0.9, "prove it")


def test_who_came_back_who_left_who_failed() -> None:
    """Each is counted on a line of its own, and each person once."""
    people = outcomes(
        {"ids": ["r-x", "r-y", "r-0"]}, {"complete": False, "left": True}, {"complete": False, "first_token": None}
    )
    statement = state(people, book(), "llm")
    assert (statement.complete, statement.shed, statement.left, statement.failed) == (1, 2, 1, 1)


METRICS = """
smallfirst_requests_total{tier="slm"} 2.0
smallfirst_requests_total{tier="llm"} 1.0
smallfirst_tokens_total{backend="small",kind="input"} 20.0
smallfirst_tokens_total{backend="small",kind="output"} 10.0
smallfirst_tokens_total{backend="large",kind="input"} 10.0
smallfirst_tokens_total{backend="large",kind="output"} 5.0
smallfirst_cost_usd_total{kind="tokens"} 0.5
smallfirst_cost_usd_total{kind="idle"} 1.0
smallfirst_cost_usd_total{kind="energy"} 0.25
smallfirst_baseline_cost_usd_total{baseline="all-llm"} 2.000000021
"""
SEEN = {
    "small": Seen(requests=2, completed=2, prompt_tokens=20, completion_tokens=10),
    "large": Seen(requests=1, completed=1, prompt_tokens=10, completion_tokens=5, management_calls=9, minutes_billed=1),
}


def kept(**changes: object) -> Totals:
    accounts = Counter({("llm", "large", "tokens"): 500_000_000, ("llm", "large", "idle"): 1_000_000_000})
    accounts["slm", "small", "energy"] = 250_000_000
    totals = Totals(accounts, 2_000_000_021, Counter(ok=3), (30, 15))
    return replace(totals, **changes)  # type: ignore[arg-type]


def test_equal_books() -> None:
    """Nothing to say when all agree."""
    assert differences(outcomes(), book(), SEEN, METRICS, kept()) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"requests": 3}, "small: attempts recorded, requests seen by the backend: 2 and 3"),
        ({"completed": 1}, "small: answers recorded, completed by the backend: 2 and 1"),
        ({"aborted": 1}, "small: cancelled, aborts seen by the backend: 0 and 1"),
        ({"prompt_tokens": 21}, "small: input tokens of answers"),
        ({"completion_tokens": 9}, "small: output tokens of answers"),
        ({"management_calls": 1, "minutes_billed": 2}, "small: minutes paid, billed by the endpoint: 1 and 2"),
    ],
)
def test_a_backend_that_counted_otherwise(changed: dict[str, int], told: str) -> None:
    """One line, with both numbers."""
    seen = {**SEEN, "small": replace(SEEN["small"], **changed)}  # type: ignore[arg-type]
    [line] = differences(outcomes(), book(), seen, METRICS, kept())
    assert told in line


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("} 2.0\n", "} 3.0\n", "requests: recorded, in /metrics: 3 and 4"),
        ("} 20.0", "} 19.0", "small: tokens recorded, in /metrics: 30 and 29"),
        ("} 0.5", "} 0.6", "cost: in the ledger, in /metrics: 1.75 and 1.85"),
        ("} 2.000000021", "} 3.0", "baseline: told, in /metrics: 2 and 3"),
    ],
)
def test_metrics_that_counted_otherwise(old: str, new: str, told: str) -> None:
    """Likewise."""
    [line] = differences(outcomes(), book(), SEEN, METRICS.replace(old, new, 1), kept())
    assert told in line


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"accounts": Counter()}, "cost: in the ledger, in the database: 1.75 and 0"),
        ({"outcomes": Counter(ok=2)}, "requests: recorded, in the database: 3 and 2"),
        ({"baseline_nano": 0}, "baseline: told, in the database: 2 and 0"),
    ],
)
def test_a_database_that_counted_otherwise(changed: dict[str, object], told: str) -> None:
    """Likewise."""
    [line] = differences(outcomes(), book(), SEEN, METRICS, kept(**changed))
    assert told in line


def test_a_person_who_was_not_served_as_recorded() -> None:
    """What a client saw counts, not what was meant."""
    people = outcomes({"complete": False})
    assert differences(people, book(), SEEN, METRICS, kept()) == ["whole answers: received, recorded: 2 and 3"]


def test_who_left_too_late_was_answered() -> None:
    """Then the whole answer had been sent already, and nothing was cancelled."""
    people = outcomes({"complete": False, "left": True})
    assert differences(people, book(), SEEN, METRICS, kept()) == []


def test_a_closed_book_keeps_nothing() -> None:
    """What comes after the run does not add up, and does not fill the memory."""
    told = book()
    before = (told.settled, len(told.records), told.ledger.total, told.baseline_nano)
    told.closed = True
    told.on_settled(record(3, "llm", "large"))
    told.on_entries([Entry("slm", "small", "energy", 1, "p", minute=11)])
    told.on_baseline("all-llm", 5, 11, 1)
    assert (told.settled, len(told.records), told.ledger.total, told.baseline_nano) == before
