"""The demo's day under two prices of its endpoint: the bill follows the arithmetic to the nano-dollar.

Two played days differ by milliseconds, and so by whom a minute belongs to. So the day is walked through here: the
demo's own config, requests, endpoint, meters and baseline, on a clock that is set by hand and without a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from app.backends.scripted import Endpoint
from app.cli.demo.day import END, START, Arrival, arrivals, midnight
from app.cli.demo.house import CONFIG, LARGE, LLM, SHARE, SMALL, USD_PER_HOUR
from app.cli.demo.requests import load
from app.cli.demo.statement import NANO, Book, Statement, state
from app.core.baseline import HourBaseline
from app.core.meter import Meter, Use
from app.main.background import PROBE_READY
from app.main.money import Money
from app.settings import GatewayConfig, Source
from tests.fakes import FakeBackend
from tests.telemetry.examples import a_receipt, a_record

HARD = frozenset({"math", "code", "image", "over-long"})
SECONDS = {SMALL: 3.0, LARGE: 2.0}  # of an answer


@dataclass
class Hands:
    """A clock."""

    at: float

    def utc(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


class Walk:
    """One day at one price."""

    def __init__(self, usd_per_hour: float) -> None:
        config = config_at(usd_per_hour)
        self.hands, self.book = Hands(midnight() + START), Book()
        self.money = Money(self.hands, [self.book])
        self.backends = {spec.name: FakeBackend(spec.name) for spec in config.backend_specs()}
        self.meters: dict[str, Meter] = {}
        for name, price in config.prices().items():
            meter = self.money.meter(self.backends[name].spec, config.tier_of()[name], price)
            assert meter is not None
            self.meters[name] = meter
        self.money.follow(config.baseline_to_core())
        utc, sleep = self.hands.utc, self.hands.sleep
        self.endpoint = Endpoint("team", "large", state="scaledToZero", wake=240.0, idle=900.0, now=utc, sleep=sleep)
        self.money.settle()

    async def day(self) -> None:
        for arrival in arrivals(load()):
            self.until(midnight() + arrival.at)
            await self.serve(arrival)
        self.until(midnight() + END)
        self.money.settle()

    def until(self, at: float) -> None:
        """Time passes, and the endpoint is asked how it is."""
        while self.hands.at < at:
            replicas = int(self.endpoint.state in ("initializing", "running"))
            self.money.sample(self.backends[LARGE], replicas)
            self.hands.at = min(self.hands.at + PROBE_READY, at)
            self.money.settle()

    async def serve(self, arrival: Arrival) -> None:
        """What is hard goes up; who meets the endpoint asleep is answered by the small model."""
        began, id = self.hands.at, f"r-{arrival.number}"
        name, tier, tries = SMALL, "slm", 1
        if arrival.request.kind in HARD:
            if await self.endpoint.let_through({}, _nobody_hears):
                name, tier = LARGE, LLM
            else:
                self._use(Use(id, 1, LARGE, LLM), 0.0)  # and it was woken
                tries = 2
        self._use(Use(id, tries, name, tier), SECONDS[name])
        receipt = a_receipt(backend=name, tier=tier, seconds=SECONDS[name], number=tries)
        record = a_record(request_id=id, at=began, tier=tier, backend=name, receipts=(receipt,))
        self.book.on_settled(record)
        self.money.on_settled(record)

    def _use(self, use: Use, seconds: float) -> None:
        meter = self.meters[use.backend]
        meter.enter(use, self.hands.at)
        self.hands.at += seconds
        meter.leave(use, self.hands.at)


def config_at(usd_per_hour: float) -> GatewayConfig:
    text = CONFIG.format(
        small="http://127.0.0.1:1", large="http://127.0.0.1:2", records="r.db", share=SHARE, usd_per_hour=usd_per_hour
    )
    return Source(None, {"HF_TOKEN": "scripted"}, text).load().config


async def _nobody_hears(message: Any) -> None:
    pass


async def walked(usd_per_hour: float) -> tuple[Statement, Walk]:
    walk = Walk(usd_per_hour)
    await walk.day()
    return state([], walk.book, LLM), walk


def nano(usd: float) -> int:
    return round(usd * NANO)


@pytest.mark.parametrize("usd_per_hour", [USD_PER_HOUR, 6.0, 0.0375])
async def test_twice_the_price_is_twice_the_endpoint_and_twice_the_baseline(usd_per_hour: float) -> None:
    """The endpoint's minutes and those of the baseline are the same ones; the small box does not care."""
    (one, walk), (double, other) = await walked(usd_per_hour), await walked(2 * usd_per_hour)
    for statement, day, usd in ((one, walk, usd_per_hour), (double, other, 2 * usd_per_hour)):
        minutes = day.endpoint.minutes_billed
        assert len(day.book.minutes[LARGE]) == minutes > 60
        endpoint = nano(statement.usd["compute"]) + nano(statement.usd["idle"])
        assert endpoint == minutes * nano(usd) // 60
        assert day.book.baseline_nano == nano(statement.baseline_usd)
    minutes = walk.endpoint.minutes_billed
    assert other.book.minutes == walk.book.minutes
    assert (double.usd["energy"], double.usd["capex"]) == (one.usd["energy"], one.usd["capex"])
    assert double.cost_usd - one.cost_usd == pytest.approx(minutes * usd_per_hour / 60, abs=2e-9)
    assert double.baseline_usd == pytest.approx(2 * one.baseline_usd, abs=2e-9)
    assert double.saved_usd - one.saved_usd == pytest.approx(one.baseline_usd - minutes * usd_per_hour / 60, abs=4e-9)


async def test_at_a_price_without_fractions_it_is_exactly_twice() -> None:
    """A tenth and a fifth of a dollar a minute: not a nano-dollar more."""
    (_, one), (_, double) = await walked(6.0), await walked(12.0)
    for kind in ("compute", "idle"):
        assert double.book.ledger.of(kind) == 2 * one.book.ledger.of(kind) > 0
    for kind in ("energy", "capex"):
        assert double.book.ledger.of(kind) == one.book.ledger.of(kind) > 0
    assert double.book.baseline_nano == 2 * one.book.baseline_nano > 0


async def test_the_baseline_is_that_of_the_config() -> None:
    """By the hour, at the endpoint's own price, for the tier that the demo calls large."""
    baseline = config_at(7.5).baseline_to_core()
    assert isinstance(baseline, HourBaseline)
    assert (baseline.tier, baseline.params.usd_per_hour) == (LLM, 7.5)
