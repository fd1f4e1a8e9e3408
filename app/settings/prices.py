"""What a backend costs, as the config says it: four kinds, each becomes a price of the core.

Leaving the price out is an error and `unpriced` has to be written: no price is ever taken for 0.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from app.core import prices
from app.settings.fields import Model, Money

_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)\Z")


def _window(text: str) -> tuple[float, float] | None:
    found = _HOURS.match(text)
    if found is None:
        return None
    start, end = (3600.0 * int(found[i]) + 60.0 * int(found[i + 1]) for i in (1, 3))
    return (start, end) if start != end and max(start, end) <= 86_400 else None


def _check_awake(text: str) -> str:
    if text != "always" and _window(text) is None:
        raise ValueError("write 'always' or the hours in UTC, like '08:00-20:00'")
    return text


class _Priced(Model):
    kind: str
    currency: Literal["USD"] = "USD"
    source: str | None = None
    as_of: datetime.date | None = None

    @property
    def dated(self) -> str | None:
        return self.as_of.isoformat() if self.as_of else None


class LocalPrice(_Priced):
    """A box of one's own: power and wear."""

    kind: Literal["local"]
    watts: Money
    usd_per_kwh: Money
    hardware_usd: Money
    life_years: Annotated[float, Field(gt=0)]

    def to_core(self) -> prices.Price:
        return prices.LocalPrice(
            self.watts, self.usd_per_kwh, self.hardware_usd, self.life_years, self.source, self.dated
        )


class HourPrice(_Priced):
    """Billed while awake, used or not."""

    kind: Literal["compute-hour"]
    usd_per_hour: Money
    awake: Annotated[str, AfterValidator(_check_awake)] = "always"

    def to_core(self) -> prices.Price:
        window = _window(self.awake) or (0.0, 86_400.0)
        return prices.HourPrice(self.usd_per_hour, (window,), self.source, self.dated)


class TokenPrice(_Priced):
    """USD per million tokens."""

    kind: Literal["tokens"]
    input: Money
    output: Money
    cached_input: Money | None = None

    def to_core(self) -> prices.Price:
        return prices.TokenPrice(self.input, self.output, self.cached_input, self.source, self.dated)


class Unpriced(Model):
    kind: Literal["unpriced"]

    def to_core(self) -> prices.Price:
        return prices.Unpriced()


def _spelled_out(value: object) -> object:
    return {"kind": "unpriced"} if value == "unpriced" else value


Price = Annotated[
    Annotated[LocalPrice | HourPrice | TokenPrice | Unpriced, Field(discriminator="kind")],
    BeforeValidator(_spelled_out),
]
