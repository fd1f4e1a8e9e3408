"""The ledger's arithmetic: prices, and what tokens and passing time cost under them, in integer nano-dollars.

Tokens are charged per attempt (`charge`). Endpoints billed by the hour and local boxes cost money as time
passes, whether they are used or not: a `Meter` turns time into `compute`, `idle`, `energy` and `capex`.
Nothing is lost to rounding: what is not yet a whole nano-dollar is carried on, so any way to cut an interval
gives the same sum. A backend without a price yields None or nothing at all, never 0.

It knows no clock and adds nothing up over requests; that is for observers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.core.types import CostKind, Usage

NANO = 1_000_000_000
HOUR = 3600 * NANO  # nanoseconds, as all times inside a meter
DAY = 24 * HOUR
HOURS_PER_YEAR = 8760
PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """USD per million tokens. `cached_input` None: cached input costs as much as any other."""

    input: float
    output: float
    cached_input: float | None = None


@dataclass(frozen=True, slots=True)
class HourPrice:
    """USD per hour awake.

    `awake` are (start, end) in seconds of the UTC day; an end before its start lies on the next day.
    The declared hours are billed whether used or not; use outside of them is billed too.
    """

    usd_per_hour: float
    awake: tuple[tuple[float, float], ...] = ((0, 86_400),)


@dataclass(frozen=True, slots=True)
class LocalPrice:
    """A box of one's own: `watts` is drawn and the hardware ages all the time, busy or not."""

    watts: float
    usd_per_kwh: float
    hardware_usd: float
    life_years: float


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Stated by the operator: what this backend costs is not known."""


Price = TokenPrice | HourPrice | LocalPrice | Unpriced


def kinds(price: Price) -> tuple[CostKind, ...]:
    """Where the money of a backend with this price can go; empty without a price."""
    match price:
        case TokenPrice():
            return "tokens", "discarded"
        case HourPrice():
            return "compute", "idle"
        case LocalPrice():
            return "energy", "capex"
    return ()


def charge(price: Price, usage: Usage) -> int | None:
    """Nano-dollars for the tokens of one attempt, rounded once, half up. None without a token price."""
    if not isinstance(price, TokenPrice):
        return None
    cached = min(usage.cached, usage.input)
    cached_price = price.input if price.cached_input is None else price.cached_input
    millionths = (
        (usage.input - cached) * _nano(price.input) + cached * _nano(cached_price) + usage.output * _nano(price.output)
    )
    return (millionths + PER_MILLION // 2) // PER_MILLION


class Meter:
    """Turns the time of one backend into money. Call `advance` on every change between busy and unused."""

    __slots__ = ("_carry", "_last", "_price", "_utc", "_windows")

    def __init__(self, price: Price) -> None:
        self._price = price
        self._windows = _merged(price.awake) if isinstance(price, HourPrice) else ()
        self._last: int | None = None
        self._utc = 0
        self._carry: dict[CostKind, int] = {}

    def advance(self, now: float, utc_seconds: float, busy: bool) -> list[tuple[CostKind, int]]:
        """What the time since the last call cost, as (kind, nano-dollars); the first call only starts it.

        `now` is seconds on a clock that never steps and measures the time; `utc_seconds`, since the epoch,
        places it in the day. `busy` says how the time since the last call was spent.
        """
        end = round(now * NANO)
        spent = 0 if self._last is None else max(0, end - self._last)
        self._last = end
        self._place(spent, round(utc_seconds * NANO))
        return [
            (kind, nano)
            for kind, nano_per_hour, elapsed in self._accruals(spent, self._utc, busy)
            if (nano := self._accrue(kind, nano_per_hour * elapsed))
        ]

    def _place(self, spent: int, utc: int) -> None:
        """Go on from the last place in the day, so that intervals neither gap nor overlap; follow only a step."""
        expected = self._utc + spent
        self._utc = expected if abs(utc - expected) < NANO else utc

    def _accruals(self, spent: int, utc: int, busy: bool) -> Iterable[tuple[CostKind, int, int]]:
        """(kind, nano-dollars per hour, nanoseconds) of an interval of `spent` that ends at `utc`."""
        match self._price:
            case HourPrice(usd_per_hour=usd):
                if busy:
                    yield "compute", _nano(usd), spent
                else:
                    yield "idle", _nano(usd), _awake(self._windows, utc) - _awake(self._windows, utc - spent)
            case LocalPrice(watts=watts, usd_per_kwh=usd, hardware_usd=hardware, life_years=years):
                yield "energy", _nano(watts / 1000 * usd), spent
                yield "capex", _nano(hardware / (years * HOURS_PER_YEAR)), spent

    def _accrue(self, kind: CostKind, owed: int) -> int:
        nano, self._carry[kind] = divmod(self._carry.get(kind, 0) + owed, HOUR)
        return nano


def _nano(usd: float) -> int:
    return round(usd * NANO)


def _merged(windows: Iterable[tuple[float, float]]) -> tuple[tuple[int, int], ...]:
    """The same hours as disjoint, ordered (start, end) nanoseconds of the day, none of them over midnight."""
    split: list[tuple[int, int]] = []
    for start, end in ((_nano(start), _nano(end)) for start, end in windows):
        split += [(start, end)] if start <= end else [(start, DAY), (0, end)]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(split):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _awake(windows: tuple[tuple[int, int], ...], utc: int) -> int:
    """Nanoseconds inside the windows from the epoch to `utc`; between two moments, take the difference."""
    days, clock = divmod(utc, DAY)
    a_day = sum(end - start for start, end in windows)
    today = sum(min(max(clock - start, 0), end - start) for start, end in windows)
    return days * a_day + today
