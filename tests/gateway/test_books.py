"""What the books want to know: the baseline of a request."""

from __future__ import annotations

from app.core.baseline import TokenBaseline
from app.core.prices import TokenPrice
from app.core.types import Plan, Reason, Receipt, Step, Usage
from app.gateway.books import Books
from tests.fakes import a_request

BOOKS = Books(lambda: 0.0, TokenBaseline("all-llm", "llm", TokenPrice(1.0, 2.0)))
SERVED = Receipt("small", "slm", "ok", 0.0, 0.1, 0.2, Usage(1_000, 100), None)


def plan(reason: Reason = "score") -> Plan:
    return Plan((Step("small", "slm"),), reason)


def test_what_it_would_have_cost() -> None:
    """The tokens of the answer at the large model's price."""
    assert BOOKS.baseline_nano(a_request(), plan(), SERVED) == 1_200_000


def test_without_a_baseline_or_tokens_there_is_no_figure() -> None:
    """Not known is not 0."""
    unused = Receipt("small", "slm", "timeout", 0.0, None, 0.2, None, None)
    assert Books(lambda: 0.0).baseline_nano(a_request(), plan(), SERVED) is None
    assert BOOKS.baseline_nano(a_request(), plan(), unused) is None
    assert BOOKS.baseline_nano(a_request(), plan(), None) is None


def test_what_is_outside() -> None:
    """Whatever is no chat, models asked for by name, and what was never planned."""
    assert BOOKS.baseline_nano(a_request("completion"), plan(), SERVED) is None
    assert BOOKS.baseline_nano(a_request("embedding"), plan(), SERVED) is None
    assert BOOKS.baseline_nano(a_request(), plan("explicit-model"), SERVED) is None
    assert BOOKS.baseline_nano(a_request(), None, SERVED) is None
    assert BOOKS.baseline_nano(None, plan(), SERVED) is None
