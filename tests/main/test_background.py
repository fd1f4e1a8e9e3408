"""Probes and the cost clock, on hand-written parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.core.ledger import HourPrice, LocalPrice, Price, TokenPrice
from app.core.types import Facts, Record
from app.gateway import Post, Slots
from app.main.background import CostClock, Probes, running
from app.ports import Backend
from tests.fakes import FakeBackend


@dataclass
class Asked:
    """A probe that answers from a list, and counts."""

    backend: Backend
    answers: list[Facts]
    asked: int = 0

    async def probe(self) -> Facts:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@dataclass
class Till:
    """An observer that keeps the costs."""

    costs: list[tuple[str, str, str, int]] = field(default_factory=list)

    def on_settled(self, record: Record) -> None:
        raise AssertionError("no request here")

    def on_cost(self, tier: str, backend: str, kind: str, nano_usd: int) -> None:
        self.costs.append((tier, backend, kind, nano_usd))


def backend() -> FakeBackend:
    return FakeBackend(state="unknown")


async def test_newcomers_are_asked_before_follow_returns() -> None:
    """The first request already meets what the first probe found; a change of state is told once."""
    told: list[str] = []
    one = Asked(backend(), [Facts("ready", context_window=8192)])
    probes = Probes(lambda backend, facts: told.append(f"{backend.spec.name} {facts.state}"))
    await probes.follow([one])
    assert one.backend.facts.context_window == 8192
    await probes.follow([one])  # nobody new, so nobody is asked
    assert one.asked == 1
    assert told == ["small ready"]
    await probes.stop()


async def test_those_who_left_are_not_asked_any_more() -> None:
    """After a reload without them their tasks are gone."""
    one = Asked(backend(), [Facts("down", problem="cannot be reached")])
    probes = Probes(lambda backend, facts: None)
    await probes.follow([one])
    await probes.follow([])
    await probes.stop()
    assert one.asked == 1


async def test_what_runs_beside_ends_with_the_body() -> None:
    """No task outlives the block."""
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(forever()):
        await asyncio.sleep(0)
    assert ended.is_set()


def post(price: Price) -> Post:
    one = backend()
    return Post(one, "slm", Slots().lane(one.spec), price)


def spent(observer: Till) -> dict[str, int]:
    """Nano-dollars by kind."""
    total: dict[str, int] = {}
    for _, _, kind, nano in observer.costs:
        total[kind] = total.get(kind, 0) + nano
    return total


def test_an_idle_endpoint_costs_as_idle_and_a_busy_one_as_compute() -> None:
    """3.6 USD an hour are a thousandth a second, under one kind or the other."""
    observer = Till()
    clock, one = CostClock([observer]), post(HourPrice(3.6))
    clock.tick([one], 100.0, 1000.0)
    clock.tick([one], 110.0, 1010.0)
    one.lane.inflight = 1
    clock.tick([one], 115.0, 1015.0)
    assert spent(observer) == {"idle": 10_000_000, "compute": 5_000_000}


def test_posts_on_one_box_are_charged_once() -> None:
    """Two models on one machine do not draw its power twice."""
    observer = Till()
    clock = CostClock([observer])
    first, second = post(LocalPrice(1000, 3.6, 0, 1)), post(LocalPrice(1000, 3.6, 0, 1))
    clock.tick([first, second], 0.0, 0.0)
    clock.tick([first, second], 10.0, 10.0)
    assert spent(observer) == {"energy": 10_000_000}


def test_tokens_are_not_the_clocks_business() -> None:
    """A token price costs nothing while time passes."""
    observer = Till()
    clock, one = CostClock([observer]), post(TokenPrice(1, 1))
    clock.tick([one], 0.0, 0.0)
    clock.tick([one], 3600.0, 3600.0)
    assert observer.costs == []
