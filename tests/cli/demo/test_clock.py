"""The simulated clock: how fast it runs when, and who wakes in which order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from app.cli.demo.clock import STEP, SimClock
from app.main.background import running

NINE = 32_400.0


@pytest.fixture
async def clock() -> AsyncIterator[SimClock]:
    one = SimClock(NINE, fast=1000.0, slow=10.0)
    async with running(one.run()):
        yield one


async def test_sleepers_wake_in_the_order_of_their_time(clock: SimClock) -> None:
    """Never before it, whoever lay down first."""
    woken: list[tuple[float, float]] = []

    async def sleeper(seconds: float) -> None:
        due = clock.utc() + seconds
        await clock.sleep(seconds)
        woken.append((due, clock.utc()))

    await asyncio.gather(*(sleeper(seconds) for seconds in (300.0, 100.0, 200.0)))
    assert [due for due, _ in woken] == sorted(due for due, _ in woken)
    assert all(at >= due for due, at in woken)


async def test_a_sleep_that_is_over_before_it_begins(clock: SimClock) -> None:
    """It gives way to others, once."""
    await clock.sleep(0.0)
    await clock.sleep(-5.0)


async def test_nobody_outruns_who_is_awake(clock: SimClock) -> None:
    """While somebody who lives by it does something, or watches, it runs slowly; when all sleep it runs fast."""
    asleep = clock._speed
    await clock.sleep(1.0)
    awake = clock._speed
    with clock.watched(3.0):
        watched = clock._speed
    assert (asleep, awake, watched) == (1000.0, 10.0, 3.0)


async def test_who_is_gone_holds_nobody_up(clock: SimClock) -> None:
    """A task that slept once and ended does not slow the rest of the day."""
    await asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    assert clock._speed == 1000.0


def test_a_stall_of_the_machine_stops_it() -> None:
    """However long nobody looked, it moves at most one step."""
    clock = SimClock(NINE, fast=1000.0)
    time.sleep(5 * STEP)
    assert clock.utc() <= NINE + STEP * 1000.0


async def test_it_never_goes_back(clock: SimClock) -> None:
    """Over every change of speed."""
    seen = [clock.utc()]
    for speed in (1.0, 500.0, 2.0):
        with clock.watched(speed):
            seen.append(clock.utc())
        seen.append(clock.utc())
    clock.stop()
    seen += [clock.utc(), clock.utc()]
    clock.in_real_time()
    seen.append(clock.utc())
    assert seen == sorted(seen)
    assert seen[-3] == seen[-2]
