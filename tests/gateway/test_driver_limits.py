"""Limits and leaving: whatever ends an attempt, its slot comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.core.types import Capacity, Timeouts
from app.errors import (
    DeadlineExceeded,
    UpstreamUnavailable,
)
from tests.fakes import ANSWER, HANG, FakeBackend, Play, Rig, two_tiers
from tests.gateway.asking import answer, ask, failing, outcomes
from tests.serving import PATIENCE


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_in_the_queue() -> None:
    """A client that leaves the queue costs nothing and is recorded as cancelled."""
    rig = Rig([("slm", FakeBackend("small", capacity=Capacity(1, 4, 5.0)))])
    held = await ask(rig)
    task = asyncio.create_task(ask(rig))
    await asyncio.sleep(0)
    await cancelled(task)
    assert (rig.record.outcome, rig.record.status, rig.record.receipts) == ("cancelled", 499, ())
    held.close()
    assert rig.inflight() == 0


@pytest.mark.parametrize("play", [Play(head=HANG), Play((HANG,))], ids=["head", "first read"])
async def test_cancelled_before_the_first_token(play: Play) -> None:
    """A client that leaves while a backend thinks frees it at once; nobody else is asked."""
    rig = two_tiers(FakeBackend("small", play))
    task = asyncio.create_task(ask(rig, stream=True))
    await rig.backends[0].reached.wait()
    await asyncio.sleep(0)
    await cancelled(task)
    assert rig.backends[0].running == 0
    assert rig.backends[1].sent == []
    assert outcomes(rig.record) == [("small", "cancelled")]
    assert rig.inflight() == 0


def limits(**changes: float) -> Timeouts:
    return Timeouts(**{"connect": 0.02, "first_token": 5.0, "inter_token": 5.0, "total": 5.0, "load": 5.0, **changes})


@pytest.mark.parametrize("play", [Play(head=HANG), Play((HANG,))], ids=["head", "first read"])
@pytest.mark.parametrize("short", ["first_token", "total"])
async def test_too_slow_falls_back(play: Play, short: str) -> None:
    """A backend that does not answer in time is closed, and the next one answers."""
    small = FakeBackend("small", play, timeouts=limits(**{short: 0.02}))
    rig = two_tiers(small)
    assert await asyncio.wait_for(answer(rig), PATIENCE) == ANSWER
    assert small.running == 0
    assert outcomes(rig.record) == [("small", "timeout"), ("large", "ok")]
    assert rig.inflight() == 0


async def test_deadline_ends_all_attempts() -> None:
    """The client's deadline is not a backend's fault: no fallback, no retry."""
    small = FakeBackend("small", Play(head=HANG))
    rig = two_tiers(small)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(ask(rig, {"deadline": rig.now() + 0.02}), PATIENCE)
    assert rig.backends[1].sent == []
    assert (rig.record.outcome, rig.record.status) == ("shed", 504)
    assert rig.inflight() == small.running == 0


async def test_deadline_passed_between_attempts() -> None:
    """No second attempt starts after the deadline."""
    clock = iter(range(1000))
    rig = two_tiers(failing(UpstreamUnavailable("no")), now=lambda: float(next(clock)))
    with pytest.raises(DeadlineExceeded):
        await ask(rig, {"deadline": 5.5})
    assert rig.backends[1].sent == []


@pytest.mark.parametrize("state", ["loading", "asleep"])
async def test_known_to_be_loading(state: Any) -> None:
    """A backend that is known to load has the allowance from the start and is not asked again."""
    wake = asyncio.Event()
    small = FakeBackend("small", Play(head=wake), state=state, timeouts=limits(first_token=0.01))
    rig = Rig([("slm", small)])
    task = asyncio.create_task(answer(rig))
    await asyncio.sleep(0.05)
    wake.set()
    assert await asyncio.wait_for(task, PATIENCE) == ANSWER
    assert small.asked == 0


async def test_found_to_be_loading() -> None:
    """At the first-token limit the backend is asked once whether it loads, and then given its allowance."""
    wake = asyncio.Event()
    small = FakeBackend("small", Play(head=wake), warm=True, timeouts=limits(first_token=0.01))
    rig = Rig([("slm", small)])
    task = asyncio.create_task(answer(rig))
    await asyncio.sleep(0.05)
    wake.set()
    assert await asyncio.wait_for(task, PATIENCE) == ANSWER
    assert small.asked == 1


async def test_allowance_ends() -> None:
    """Loading for longer than the allowance is a timeout."""
    small = FakeBackend("small", Play(head=HANG), warm=True, timeouts=limits(first_token=0.01, load=0.01))
    rig = two_tiers(small)
    assert await asyncio.wait_for(answer(rig), PATIENCE) == ANSWER
    assert (small.asked, rig.record.final_reason) == (1, "fallback:timeout")


@pytest.mark.parametrize("warm", [HANG, UpstreamUnavailable("no")], ids=["hangs", "fails"])
async def test_nobody_knows_whether_it_loads(warm: Any) -> None:
    """A backend that cannot even say whether it loads is not waited for."""
    small = FakeBackend("small", Play(head=HANG), warm=warm, timeouts=limits(first_token=0.01))
    rig = two_tiers(small)
    assert await asyncio.wait_for(answer(rig), PATIENCE) == ANSWER
    assert rig.record.final_reason == "fallback:timeout"


@pytest.mark.parametrize("at", ["head", "first read"])
async def test_bug_in_a_backend(at: str) -> None:
    """An error that nobody foresaw is not tried elsewhere, but frees its slot and is recorded."""
    rig = two_tiers(failing(ZeroDivisionError("oops"), at=at))
    with pytest.raises(ZeroDivisionError):
        await ask(rig)
    assert rig.backends[0].running == 0
    assert outcomes(rig.record) == [("small", "internal")]
    assert rig.inflight() == 0
