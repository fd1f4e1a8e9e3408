"""Prices: what a backend costs, and what the tokens of one attempt cost under them, in integer nano-dollars. Pure.

Tokens are charged per attempt (`charge`). Endpoints billed by the hour and boxes of one's own cost money as time
passes, whether they are used or not: that is the meter's business (`app.core.meter`). A backend without a price
yields None or nothing at all, never 0. Each price has an id made of its figures and what the operator says of them,
so that every receipt tells which price it was written under.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import ClassVar

from app.core.types import CostKind, Usage

NANO = 1_000_000_000
PER_MILLION = 1_000_000
HOURS_PER_YEAR = 8760


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """USD per million tokens. `cached_input` None: cached input costs as much as any other."""

    kind: ClassVar[str] = "tokens"
    input: float
    output: float
    cached_input: float | None = None
    source: str | None = None
    as_of: str | None = None
    id: str = field(init=False, repr=False, compare=False)
    nano: tuple[int, int, int] = field(init=False, repr=False, compare=False)  # per million: input, cached, output

    def __post_init__(self) -> None:
        cached = self.input if self.cached_input is None else self.cached_input
        object.__setattr__(self, "nano", (to_nano(self.input), to_nano(cached), to_nano(self.output)))
        object.__setattr__(self, "id", _id(self))


@dataclass(frozen=True, slots=True)
class HourPrice:
    """USD per hour and replica while awake, billed by begun clock minutes.

    `awake` are (start, end) in seconds of the UTC day; an end before its start lies on the next day. They count only
    where nobody can say whether the endpoint is awake.
    """

    kind: ClassVar[str] = "compute-hour"
    usd_per_hour: float
    awake: tuple[tuple[float, float], ...] = ((0, 86_400),)
    source: str | None = None
    as_of: str | None = None
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _id(self))


@dataclass(frozen=True, slots=True)
class LocalPrice:
    """A box of one's own: `watts` is drawn and the hardware ages all the time, busy or not."""

    kind: ClassVar[str] = "local"
    watts: float
    usd_per_kwh: float
    hardware_usd: float
    life_years: float
    source: str | None = None
    as_of: str | None = None
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _id(self))

    @property
    def energy_per_hour(self) -> float:
        """USD."""
        return self.watts / 1000 * self.usd_per_kwh

    @property
    def capex_per_hour(self) -> float:
        """USD."""
        return self.hardware_usd / (self.life_years * HOURS_PER_YEAR)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Stated by the operator: what this backend costs is not known."""

    kind: ClassVar[str] = "unpriced"
    id: str = field(default="unpriced", init=False, repr=False, compare=False)


TimePrice = HourPrice | LocalPrice
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


def terms(price: Price) -> dict[str, object]:
    """What its id stands for, as plain values: kind, currency, each figure, source and date. Enough to price anew what
    was booked under it."""
    return {
        "kind": price.kind,
        "currency": "USD",
        **{one.name: getattr(price, one.name) for one in fields(price) if one.init},
    }


def charge(price: Price, usage: Usage) -> int | None:
    """Nano-dollars for the tokens of one attempt, rounded once, half up. None without a token price."""
    if price.__class__ is not TokenPrice:
        return None
    fresh, again, made = price.nano
    cached = min(usage.cached, usage.input)
    millionths = (usage.input - cached) * fresh + cached * again + usage.output * made
    return (millionths + PER_MILLION // 2) // PER_MILLION


def to_nano(usd: float) -> int:
    return round(usd * NANO)


def _id(price: TokenPrice | TimePrice) -> str:
    return f"{price.kind}-{sha256(repr(price).encode()).hexdigest()[:8]}"
