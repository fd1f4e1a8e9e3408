"""The ledger: sums by tier, backend and kind."""

from __future__ import annotations

from app.core.ledger import Ledger, entries_of
from app.core.types import Entry, Usage
from tests.telemetry.examples import a_receipt, a_record


def test_lines_add_up_in_their_accounts() -> None:
    """Each line is in one account, and the total is all of them."""
    ledger = Ledger()
    ledger.book([Entry("llm", "endpoint", "idle", 5, "p"), Entry("llm", "endpoint", "idle", 6, "p")])
    ledger.book([Entry("slm", "ollama", "energy", 7, "p")])
    assert ledger.accounts == {("llm", "endpoint", "idle"): 11, ("slm", "ollama", "energy"): 7}
    assert (ledger.total, ledger.of("idle"), ledger.of("compute")) == (18, 11, 0)


def test_receipts_with_a_token_price_are_lines() -> None:
    """Each attempt has its own, under its own kind; one paid by time has none."""
    receipts = (
        a_receipt(nano_usd=3, kind="discarded", number=1, price_id="tokens-1"),
        a_receipt(usage=Usage(1, 1), nano_usd=None, number=2),
        a_receipt(backend="endpoint", tier="llm", nano_usd=4, kind="tokens", number=3, price_id="tokens-2"),
    )
    assert list(entries_of(a_record(receipts=receipts))) == [
        Entry("slm", "ollama", "discarded", 3, "tokens-1", "r-1", 1),
        Entry("llm", "endpoint", "tokens", 4, "tokens-2", "r-1", 3),
    ]
