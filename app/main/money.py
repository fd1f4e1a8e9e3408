"""Meters and the baseline, kept over reloads: what turns passing time into entries, and tells the observers.

A meter belongs to a box, not to a name in the config: backends on one host share one, so that its power is drawn
once, and it is kept when the config drops the box: requests may still be at work there, and it may come back within
the minute that was paid. When a config changes the price, the time before is settled first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from app.core.baseline import Baseline, HourBaseline, Spent, TokenBaseline, counts
from app.core.meter import Meter
from app.core.prices import HourPrice, LocalPrice, Price
from app.core.types import BackendSpec, Entry, Record
from app.ports import Backend, Clock, Observer

EVERY = 1.0  # seconds between looks at the clock; minutes are told within one of their end


class Money:
    """Itself an observer: the baseline by the hour counts arrivals."""

    def __init__(self, clock: Clock, observers: Sequence[Observer]) -> None:
        self.clock = clock
        self.baseline: Baseline | None = None
        self._observers = observers
        self._meters: dict[str, Meter] = {}
        self._named: set[str] = set()  # boxes that the config which is being built has named

    def meter(self, spec: BackendSpec, tier: str, price: Price) -> Meter | None:
        """The meter of this backend's box; None where tokens are paid for, or nothing."""
        if not isinstance(price, HourPrice | LocalPrice):
            return None
        meter = self._meters.get(spec.identity)
        if meter is None:
            meter = self._meters[spec.identity] = Meter(price, spec.name, tier)
        elif meter.retired or meter.price.id != price.id:
            self._tell(meter.reprice(price, self.clock.utc()))
        if spec.identity not in self._named:
            self._named.add(spec.identity)
            meter.owner = (tier, spec.name)
        return meter

    def keep(self, meters: Iterable[Meter | None]) -> None:
        """Only these boxes are in the config now."""
        kept = {id(meter) for meter in meters}
        self._named.clear()
        for meter in self._meters.values():
            if id(meter) not in kept and not meter.retired:
                self._tell(meter.retire(self.clock.utc()))

    def follow(self, baseline: Baseline | None) -> None:
        """The baseline of a new config; one of the same tier goes on, under other parameters if it has others."""
        old, at = self.baseline, self.clock.utc()
        if isinstance(old, HourBaseline) and isinstance(baseline, HourBaseline) and _same(old, baseline):
            if old.params != baseline.params:
                self._compare(old, old.follow(baseline.params, at))
            return
        if isinstance(old, HourBaseline):
            self._compare(old, old.settle(at))
        if isinstance(baseline, HourBaseline):
            self._compare(baseline, baseline.settle(at))  # its time begins with the begun minute, which it tells
        self.baseline = baseline

    @property
    def by_tokens(self) -> TokenBaseline | None:
        return self.baseline if isinstance(self.baseline, TokenBaseline) else None

    def sample(self, backend: Backend, replicas: int | None) -> None:
        """What a probe found: how many replicas are billed."""
        meter = self._meters.get(backend.spec.identity)
        if meter is not None:
            meter.sample(self.clock.utc(), replicas)

    def on_settled(self, record: Record) -> None:
        if isinstance(self.baseline, HourBaseline) and record.outcome == "ok" and counts(record.api, record.reason):
            own = record.tier == self.baseline.tier
            self.baseline.arrive(record.at, record.receipts[-1].seconds if own else None)

    def on_entries(self, entries: Sequence[Entry]) -> None:
        """Nothing: they come from here."""

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        """Nothing: it comes from here."""

    async def run(self) -> None:
        while True:
            self.settle()
            at = self.clock.utc()
            await self.clock.sleep(max(EVERY, math.floor(at / 60 + 1) * 60 - at))

    def settle(self) -> None:
        """Tell what the minutes cost that are over."""
        at = self.clock.utc()
        for meter in self._meters.values():
            self._tell(meter.settle(at))
        if isinstance(self.baseline, HourBaseline):
            self._compare(self.baseline, self.baseline.settle(at))

    def close(self) -> None:
        """The end of the process: the begun minutes too."""
        at = self.clock.utc()
        for meter in self._meters.values():
            self._tell(meter.close(at))
        self._meters.clear()
        if isinstance(self.baseline, HourBaseline):
            self._compare(self.baseline, self.baseline.close(at))

    def _tell(self, entries: Sequence[Entry]) -> None:
        if entries:
            for observer in self._observers:
                observer.on_entries(entries)

    def _compare(self, baseline: HourBaseline, minutes: Iterable[Spent]) -> None:
        for spent in minutes:
            for observer in self._observers:
                observer.on_baseline(baseline.name, spent.nano_usd, spent.minute, spent.replicas)


def _same(one: HourBaseline, other: HourBaseline) -> bool:
    """Of one large model? Another price or other limits change nothing about what was awake and who has arrived."""
    return (one.name, one.tier) == (other.name, other.tier)
