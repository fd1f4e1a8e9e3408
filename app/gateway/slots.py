"""Slots and queues in asyncio's terms: waits for what the pure `Lane` grants.

Lanes are keyed by backend identity and live as long as the process, so a config reload neither forgets who
runs nor who waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from app.core.admission import Entry, Lane
from app.core.types import BackendSpec, Capacity
from app.errors import DeadlineExceeded, Saturated

Ticket = asyncio.Future[None]
SlotLane = Lane[Ticket]


class Slots:
    """All lanes of the process."""

    def __init__(self) -> None:
        self._lanes: dict[str, SlotLane] = {}

    def lane(self, spec: BackendSpec) -> SlotLane:
        """The lane of this backend's box, made on first use, resized if the config changed it."""
        lane = self._lanes.get(spec.identity)
        capacity = spec.capacity
        if lane is None:
            lane = self._lanes[spec.identity] = Lane(capacity.concurrent, capacity.queue)
        elif (lane.slots, lane.queue) != (capacity.concurrent, capacity.queue):
            _wake(lane.resize(capacity.concurrent, capacity.queue))
        return lane


async def acquire(lane: SlotLane, capacity: Capacity, limit: float | None) -> None:
    """Hold a slot on return. `limit` is what the client's deadline leaves, in seconds.

    Raises Saturated when the queue is full or the wait was too long, DeadlineExceeded when `limit` passed.
    """
    if limit is not None and limit <= 0:
        raise _too_late()
    if lane.take():
        return
    ticket: Ticket = asyncio.get_running_loop().create_future()
    if lane.enter(ticket) is Entry.FULL:
        raise _saturated(lane, "its queue is full")
    wait = capacity.max_wait if limit is None else min(capacity.max_wait, limit)
    try:
        async with asyncio.timeout(wait):
            await ticket
    except TimeoutError:
        if lane.abandon(ticket):
            late = limit is not None and limit < capacity.max_wait
            raise (_too_late() if late else _saturated(lane, "no slot became free in time")) from None
    except asyncio.CancelledError:
        if not lane.abandon(ticket):
            release(lane)
        raise


def release(lane: SlotLane, seconds: float | None = None) -> None:
    """Give the slot back after `seconds` of service (None: it was not used)."""
    _wake(lane.leave(seconds))


def _wake(granted: Iterable[Ticket]) -> None:
    for ticket in granted:
        if not ticket.done():  # a cancelled waiter holds its slot until it notices, then releases it
            ticket.set_result(None)


def _saturated(lane: SlotLane, why: str) -> Saturated:
    retry_after = min(max(lane.expected_wait(), 1.0), 30.0)
    return Saturated(f"All slots are busy and {why}. Retry in {retry_after:.0f} s.", retry_after=retry_after)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The deadline of the request passed while it waited for a slot.")
