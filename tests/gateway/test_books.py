"""What the books want to know: the baseline of a request."""

from __future__ import annotations

import pytest

from app.core.baseline import TokenBaseline
from app.core.prices import TokenPrice
from app.core.types import Plan, Reason, Receipt, Step, Usage
from app.gateway.books import Books, counts
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


@pytest.mark.parametrize("reason", ["score", "explicit-tier", "rule", "local-only", "capability"])
def test_routed_chat_counts(reason: Reason) -> None:
    """Whatever decided the tier: without a router all of it had gone to the large model."""
    assert counts(a_request(), plan(reason))


def test_what_is_outside() -> None:
    """Embeddings, models asked for by name, and what was never planned."""
    assert not counts(a_request("embedding"), plan())
    assert not counts(a_request(), plan("explicit-model"))
    assert not counts(a_request(), None)
    assert not counts(None, plan())
