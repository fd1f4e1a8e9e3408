"""The baseline: what the same traffic would have cost if all of it had gone to the large model. Pure.

Only chat that was routed (`counts`) and completed is compared. With a token price each request has its own figure:
its input as counted, its output times a verbosity ratio where the small model wrote it. With a price by the hour the
traffic of each clock minute decides how many replicas would have run:

    wanted = ceil(arrivals per second * service seconds / (concurrency * utilisation)), within min..max replicas

A replica is paid from the minute it is ordered in, serves after `scale_up_delay` and is given back after another
`stabilisation` at the earliest; all of them go after `scale_to_zero_after` without use. A large model on a box of
one's own is one replica at the box's hourly cost. Every figure that enters is in `HourParams`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from app.core.prices import PER_MILLION, TokenPrice, to_nano
from app.core.types import Api, Usage

BYPASSED = "explicit-model"  # asked for by name: without a router it would have gone there as well
MEASURED = 20  # answers of the large model after which their mean service time replaces the assumed one


def counts(api: Api, reason: str | None) -> bool:
    """Is it routed chat? All else is outside of every baseline: text completions, embeddings, models asked for by name,
    and what was never decided."""
    return api == "chat" and reason not in (None, BYPASSED)


@dataclass(frozen=True, slots=True)
class TokenBaseline:
    """`verbosity`: output tokens of the large model for one of the small model; 1.0 unless measured."""

    name: str
    tier: str
    price: TokenPrice
    verbosity: float = 1.0

    def nano(self, usage: Usage, tier: str) -> int:
        """What this answer, given by `tier`, would have cost at the large model: nothing of it from a cache."""
        fresh, again, made = self.price.nano
        if tier == self.tier:
            cached = min(usage.cached, usage.input)
            millionths = (usage.input - cached) * fresh + cached * again + usage.output * made
        else:
            millionths = usage.input * fresh + round(usage.output * self.verbosity * made)
        return (millionths + PER_MILLION // 2) // PER_MILLION


@dataclass(frozen=True, slots=True)
class HourParams:
    """Seconds, USD. `service` is assumed until MEASURED answers of the large model were timed."""

    usd_per_hour: float
    concurrency: int
    utilisation: float = 0.7
    service: float = 10.0
    min_replicas: int = 1
    max_replicas: int = 1
    scale_up_delay: float = 300.0
    stabilisation: float = 300.0
    scale_to_zero_after: float | None = None


class Spent(NamedTuple):
    """One clock minute of the baseline."""

    minute: int
    replicas: int
    nano_usd: int


class HourBaseline:
    """`arrive` for each request, `settle` as time passes."""

    def __init__(self, name: str, tier: str, params: HourParams) -> None:
        self.name = name
        self.tier = tier
        self.params = params
        self._minute: int | None = None  # the first that is not settled
        self._arrivals: dict[int, int] = {}
        self._recent: deque[int] = deque(maxlen=_held(params))
        self._replicas = params.min_replicas
        self._used_until: int | None = None  # the minute in which the last request was served
        self._timed = (0, 0.0)  # how many answers, and their mean seconds
        self._carry = 0

    @property
    def service(self) -> float:
        """Seconds one request keeps a place of the large model busy."""
        count, mean = self._timed
        return mean if count >= MEASURED else self.params.service

    def arrive(self, at: float, seconds: float | None) -> None:
        """One request that began at `at`; `seconds` of service if the large model answered it."""
        minute = int(at // 60)
        if self._minute is None:
            self._minute = minute
        minute = max(minute, self._minute)  # one that took longer than its minute counts where it still can
        self._arrivals[minute] = self._arrivals.get(minute, 0) + 1
        if seconds is not None:
            count, mean = self._timed
            self._timed = (count + 1, mean + (seconds - mean) / (count + 1))

    def follow(self, params: HourParams, at: float) -> list[Spent]:
        """Settle the minutes that are over; from the begun one on it goes by these, awake or asleep as it is."""
        spent = self.settle(at)
        self.params = params
        self._recent = deque((min(one, params.max_replicas) for one in self._recent), maxlen=_held(params))
        return spent

    def settle(self, at: float) -> list[Spent]:
        """The minutes that are over."""
        now = int(at // 60)
        if self._minute is None:
            self._minute = now
        spent = [self._spend(minute) for minute in range(self._minute, now)]
        self._minute = max(self._minute, now)
        return spent

    def close(self, at: float) -> list[Spent]:
        """The minutes that are over and the begun one."""
        spent = self.settle(at)
        assert self._minute is not None
        self._minute += 1
        return [*spent, self._spend(self._minute - 1)]

    def _spend(self, minute: int) -> Spent:
        arrivals = self._arrivals.pop(minute, 0)
        if arrivals:
            start = 0 if self._replicas else ceil(self.params.scale_up_delay / 60)
            self._used_until = max(minute + start, self._used_until or 0)
        self._recent.append(self._wanted(arrivals))
        self._replicas = max(self._recent, default=0) if self._awake(minute) else 0
        nano, self._carry = divmod(self._carry + to_nano(self.params.usd_per_hour) * self._replicas, 60)
        return Spent(minute, self._replicas, nano)

    def _wanted(self, arrivals: int) -> int:
        params = self.params
        load = arrivals / 60 * self.service / (params.concurrency * params.utilisation)
        return min(max(ceil(load), params.min_replicas, 1), params.max_replicas)

    def _awake(self, minute: int) -> bool:
        after = self.params.scale_to_zero_after
        if self.params.min_replicas > 0 or after is None:
            return True
        return self._used_until is not None and (minute - self._used_until) * 60 <= after


def _held(params: HourParams) -> int:
    """For how many minutes a replica stays that was ordered once."""
    return max(1, ceil((params.scale_up_delay + params.stabilisation) / 60))


Baseline = TokenBaseline | HourBaseline
