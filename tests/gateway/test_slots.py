"""Waiting for a slot, in a real loop."""

from __future__ import annotations

import asyncio

import pytest

from app.core.types import BackendSpec, Capacity
from app.errors import DeadlineExceeded, Saturated
from app.gateway.slots import SlotLane, Slots, acquire, release

ROOMY = Capacity(1, 8, 5.0)
HASTY = Capacity(1, 8, 0.01)


def a_spec(concurrent: int = 1, queue: int = 8, host: str | None = None, name: str = "small") -> BackendSpec:
    return BackendSpec(
        name, "openai", "local", f"http://{name}.test", "m", capacity=Capacity(concurrent, queue, 5.0), host=host
    )


@pytest.fixture
def lane() -> SlotLane:
    return Slots().lane(a_spec())


async def waiters(lane: SlotLane, count: int, order: list[int]) -> list[asyncio.Task[None]]:
    """`count` tasks in the queue; each notes its number once it holds a slot."""

    async def wait(number: int) -> None:
        await acquire(lane, ROOMY, None)
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_first_come_first_served(lane: SlotLane) -> None:
    """Slots go to those who waited longest."""
    await acquire(lane, ROOMY, None)
    order: list[int] = []
    tasks = await waiters(lane, 4, order)
    for served in range(4):
        assert order == list(range(served))
        release(lane, 0.1)
        await tasks[served]
    release(lane)
    assert (lane.inflight, len(lane.waiting)) == (0, 0)


async def test_full_queue(lane: SlotLane) -> None:
    """Who finds the queue full is told at once, and when to come back."""
    lane.resize(1, 0)
    await acquire(lane, ROOMY, None)
    with pytest.raises(Saturated) as refused:
        await acquire(lane, ROOMY, None)
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 30
    assert lane.inflight == 1


async def test_waited_too_long(lane: SlotLane) -> None:
    """After max_wait the waiter leaves the queue as saturated."""
    await acquire(lane, ROOMY, None)
    with pytest.raises(Saturated):
        await acquire(lane, HASTY, None)
    assert (lane.inflight, len(lane.waiting)) == (1, 0)


async def test_deadline_in_the_queue(lane: SlotLane) -> None:
    """A deadline before max_wait ends the wait as the client's deadline."""
    await acquire(lane, ROOMY, None)
    with pytest.raises(DeadlineExceeded):
        await acquire(lane, ROOMY, 0.01)
    assert (lane.inflight, len(lane.waiting)) == (1, 0)


async def test_deadline_already_passed(lane: SlotLane) -> None:
    """Nobody takes a slot who has no time left to use it."""
    with pytest.raises(DeadlineExceeded):
        await acquire(lane, ROOMY, 0.0)
    assert lane.inflight == 0


async def test_cancelled_in_the_queue(lane: SlotLane) -> None:
    """A waiter that is cancelled leaves no trace."""
    await acquire(lane, ROOMY, None)
    (task,) = await waiters(lane, 1, [])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (lane.inflight, len(lane.waiting)) == (1, 0)


@pytest.mark.parametrize("first", ["grant", "cancel"])
async def test_cancelled_as_it_was_granted(lane: SlotLane, first: str) -> None:
    """A waiter that is cancelled in the moment of its grant passes the slot on."""
    await acquire(lane, ROOMY, None)
    order: list[int] = []
    early, late = await waiters(lane, 2, order)
    if first == "grant":
        release(lane)
        early.cancel()
    else:
        early.cancel()
        release(lane)
    with pytest.raises(asyncio.CancelledError):
        await early
    await late
    assert order == [1]
    release(lane)
    assert lane.inflight == 0


async def test_granted_as_the_wait_ended(lane: SlotLane) -> None:
    """A grant in the moment of the timeout is taken rather than lost."""
    await acquire(lane, ROOMY, None)
    waiting = asyncio.create_task(acquire(lane, Capacity(1, 8, 0.0), None))
    await asyncio.sleep(0)  # it is in the queue, its timeout is due
    asyncio.get_running_loop().call_soon(release, lane)
    try:
        await waiting
    except Saturated:
        assert lane.inflight == 0
    else:
        assert lane.inflight == 1


async def test_reload_with_more_slots_wakes_waiters() -> None:
    """A larger limit lets waiters in at once; the lane is the same object as before."""
    slots = Slots()
    lane = slots.lane(a_spec(1))
    await acquire(lane, ROOMY, None)
    order: list[int] = []
    tasks = await waiters(lane, 3, order)
    assert slots.lane(a_spec(3)) is lane
    await asyncio.gather(*tasks[:2])
    assert order == [0, 1]
    release(lane)
    await tasks[2]


async def test_reload_with_fewer_slots() -> None:
    """Holders above a smaller limit finish in peace, but nobody new gets in before that."""
    slots = Slots()
    lane = slots.lane(a_spec(2))
    await acquire(lane, ROOMY, None)
    await acquire(lane, ROOMY, None)
    slots.lane(a_spec(1))
    order: list[int] = []
    (task,) = await waiters(lane, 1, order)
    release(lane)
    await asyncio.sleep(0)
    assert order == []
    release(lane)
    await task
    assert lane.inflight == 1


def test_one_box_one_lane() -> None:
    """Backends on one host share a lane; others do not."""
    slots = Slots()
    one = slots.lane(a_spec(host="gpu-1"))
    assert slots.lane(a_spec(host="gpu-1", name="other")) is one
    assert slots.lane(a_spec()) is not slots.lane(a_spec(name="other"))
