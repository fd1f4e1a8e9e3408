"""A meter turns the time of one box into money: entries of the ledger, in integer nano-dollars. Pure.

It is told who uses the box from when to when, and how many replicas of an endpoint are awake; each clock minute
that is over becomes entries:

- An endpoint's minute is billed whole and per replica if it was awake in it: by the samples taken in it; without
  one, by the last sample or because a call went there (that wakes it). Where nobody ever said how many are awake,
  by its declared hours, and outside of them if it was used. A minute that was used is `compute`, shared by those who
  used it; one that was not is `idle` and nobody's.
- A box of one's own costs `energy` and `capex` every nanosecond. What it was busy is shared by those who kept it
  busy, the rest is nobody's.

Shares go by busy time and sum exactly. Nothing is lost to rounding: what is not yet a whole nano-dollar is carried
on. The clock is the caller's, in seconds since the epoch; if it steps back the meter waits until it is past again, so
that nothing is ever billed twice.

A box that the config has dropped may still be at work for requests that began before. Its meter retires: what is
used is paid as before, what is not used is nobody's business any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from app.core.prices import NANO, HourPrice, TimePrice, to_nano
from app.core.types import CostKind, Entry

MINUTE = 60 * NANO  # nanoseconds, as all times in here
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Use(NamedTuple):
    """One attempt at one backend of the box."""

    request_id: str
    attempt: int
    backend: str
    tier: str


@dataclass(slots=True)
class _Minute:
    """`busy` nanoseconds of each use, `occupied` of all together; `replicas` by samples in it, `known` from before."""

    start: int
    known: int | None
    end: int = 0
    busy: dict[Use, int] = field(default_factory=dict)
    occupied: int = 0
    replicas: int | None = None

    @property
    def number(self) -> int:
        return self.start // MINUTE


class Meter:
    """Of one box or endpoint. `owner` names its tier and backend where no use does; `minutes` counts those billed."""

    __slots__ = (
        "_carry",
        "_known",
        "_minute",
        "_now",
        "_over",
        "_paid",
        "_using",
        "minutes",
        "owner",
        "price",
        "retired",
    )

    def __init__(self, price: TimePrice, backend: str, tier: str) -> None:
        self.price = price
        self.minutes = 0
        self.owner = (tier, backend)
        self.retired = False
        self._now = 0
        self._minute: _Minute | None = None
        self._over: list[_Minute] = []
        self._using: dict[Use, int] = {}  # in the order they came; how often, as ids are the clients' and may be reused
        self._known: int | None = None  # replicas at the last sample
        self._paid = -1  # the last minute of an endpoint that was billed
        self._carry: dict[CostKind, int] = {}

    def enter(self, use: Use, at: float) -> None:
        """This attempt uses the box from now on."""
        self._advance(at)
        self._using[use] = self._using.get(use, 0) + 1
        assert self._minute is not None
        self._minute.busy.setdefault(use, 0)

    def leave(self, use: Use, at: float) -> None:
        """And not any more."""
        self._advance(at)
        left = self._using.get(use, 0) - 1
        if left > 0:
            self._using[use] = left
        else:
            self._using.pop(use, None)

    def sample(self, at: float, replicas: int | None) -> None:
        """How many replicas are billed right now; None teaches nothing."""
        if replicas is None:
            return
        self._advance(at)
        assert self._minute is not None
        self._known = replicas
        self._minute.replicas = max(self._minute.replicas or 0, replicas)

    def settle(self, at: float) -> list[Entry]:
        """What the clock minutes cost that are over."""
        self._advance(at)
        over, self._over = self._over, []
        return [entry for minute in over for entry in self._entries(minute)]

    def close(self, at: float) -> list[Entry]:
        """Everything up to now: of an endpoint also the begun minute, which is billed whole and only once."""
        entries = self.settle(at)
        if self._minute is not None:
            self._minute.end = self._now
            entries += self._entries(self._minute)
            self._minute = self._begun(self._now)
        return entries

    def reprice(self, price: TimePrice, at: float) -> list[Entry]:
        """Settle under the old price; the new one holds from now on, also for a box that comes back."""
        entries = self.close(at)
        self.price, self.retired = price, False
        return entries

    def retire(self, at: float) -> list[Entry]:
        """Settle; from now on only what is used is paid."""
        entries = self.close(at)
        self.retired = True
        return entries

    def _advance(self, at: float) -> None:
        now = round(at * NANO)
        if self._minute is None:
            self._now, self._minute = now, self._begun(now)
        while now > self._now:
            minute = self._minute
            until = min(now, (minute.number + 1) * MINUTE)
            self._spend(minute, until - self._now)
            self._now = until
            if until % MINUTE == 0:
                minute.end = until
                self._over.append(minute)
                self._minute = self._begun(until)

    def _begun(self, start: int) -> _Minute:
        return _Minute(start, self._known, busy=dict.fromkeys(self._using, 0))

    def _spend(self, minute: _Minute, spent: int) -> None:
        for use, times in self._using.items():
            minute.busy[use] += spent * times
        minute.occupied += spent if self._using else 0

    def _entries(self, minute: _Minute) -> Iterator[Entry]:
        if isinstance(self.price, HourPrice):
            yield from self._of_endpoint(minute, self.price)
        else:
            spent = minute.occupied if self.retired else minute.end - minute.start
            rates: dict[CostKind, float] = {"energy": self.price.energy_per_hour, "capex": self.price.capex_per_hour}
            for kind, usd in rates.items():
                cost = self._accrue(kind, to_nano(usd) * spent, HOUR)
                busy = cost * minute.occupied // spent if spent else 0
                yield from self._shared(kind, busy, minute)
                yield from self._nobodys(kind, cost - busy, minute)

    def _of_endpoint(self, minute: _Minute, price: HourPrice) -> Iterator[Entry]:
        replicas = self._awake(minute, price)
        if minute.number <= self._paid or not replicas:
            return
        self._paid = minute.number
        self.minutes += replicas
        cost = self._accrue("compute", to_nano(price.usd_per_hour) * replicas, 60)
        if minute.busy:
            yield from self._shared("compute", cost, minute)
        else:
            yield from self._nobodys("idle", cost, minute)

    def _awake(self, minute: _Minute, price: HourPrice) -> int:
        """Replicas to bill for this minute."""
        used = 1 if minute.busy else 0
        if self.retired and not used:
            return 0
        if minute.replicas is not None:
            return max(minute.replicas, used)
        if minute.known is not None:
            return max(minute.known, used)
        return used or int(_declared(price, minute.number * MINUTE))

    def _shared(self, kind: CostKind, nano: int, minute: _Minute) -> Iterator[Entry]:
        weights = [busy or 1 for busy in minute.busy.values()]
        for use, part in zip(minute.busy, split(nano, weights), strict=True):
            if part:
                yield self._entry(use.tier, use.backend, kind, part, minute, use)

    def _nobodys(self, kind: CostKind, nano: int, minute: _Minute) -> Iterator[Entry]:
        if nano:
            yield self._entry(*self.owner, kind, nano, minute, None)

    def _entry(self, tier: str, backend: str, kind: CostKind, nano: int, minute: _Minute, use: Use | None) -> Entry:
        whose = use.request_id if use else None
        return Entry(tier, backend, kind, nano, self.price.id, whose, use.attempt if use else None, minute.number)

    def _accrue(self, kind: CostKind, owed: int, unit: int) -> int:
        nano, self._carry[kind] = divmod(self._carry.get(kind, 0) + owed, unit)
        return nano


def split(amount: int, weights: list[int]) -> list[int]:
    """`amount` in parts that go by `weights` and sum exactly."""
    total, seen, given, parts = sum(weights), 0, 0, []
    for weight in weights:
        seen += weight
        upto = amount * seen // total
        parts.append(upto - given)
        given = upto
    return parts


def _declared(price: HourPrice, start: int) -> bool:
    """Does a declared hour overlap the minute that begins there?"""
    clock = start % DAY
    for begin, end in ((to_nano(begin), to_nano(end)) for begin, end in price.awake):
        spans = [(begin, end)] if begin <= end else [(begin, DAY), (0, end)]
        if any(first < clock + MINUTE and clock < last for first, last in spans):
            return True
    return False
