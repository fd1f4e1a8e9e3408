"""The ledger: every nano-dollar once, by tier, backend and kind. Pure.

Its lines are entries: those of tokens come with the receipts of a settled request, those of time from the meters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from app.core.types import CostKind, Entry, Record

Account = tuple[str, str, str]  # tier, backend, kind


class Ledger:
    """`accounts` holds nano-dollars; what is not there was never charged."""

    __slots__ = ("accounts",)

    def __init__(self) -> None:
        self.accounts: dict[Account, int] = defaultdict(int)

    def book(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.accounts[entry.tier, entry.backend, entry.kind] += entry.nano_usd

    @property
    def total(self) -> int:
        return sum(self.accounts.values())

    def of(self, kind: CostKind) -> int:
        """Nano-dollars of one kind."""
        return sum(nano for (_, _, one), nano in self.accounts.items() if one == kind)


def entries_of(record: Record) -> Iterator[Entry]:
    """What the tokens of a request cost, an entry for each attempt that was charged for them."""
    for receipt in record.receipts:
        if receipt.nano_usd is not None and receipt.kind is not None:
            yield Entry(
                receipt.tier,
                receipt.backend,
                receipt.kind,
                receipt.nano_usd,
                receipt.price_id,
                record.request_id,
                receipt.number,
            )
