"""Admission to one backend or host: slots and a bounded first-in-first-out queue, as a pure state machine.

A ticket is any hashable object the driver can wake later. Each method changes state and returns the tickets
that now hold a slot; the driver does the waking. Invariant: nobody waits while a slot is free.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Entry(Enum):
    GRANTED = "granted"
    QUEUED = "queued"
    FULL = "full"


class Lane(Generic[T]):
    """`slots` tickets run at once, at most `queue` wait."""

    __slots__ = ("_mean", "inflight", "queue", "slots", "waiting")

    def __init__(self, slots: int, queue: int) -> None:
        self.slots = slots
        self.queue = queue
        self.inflight = 0
        self.waiting: OrderedDict[T, None] = OrderedDict()
        self._mean = 1.0

    def take(self) -> bool:
        """Hold a slot if that takes no waiting."""
        if self.inflight < self.slots and not self.waiting:
            self.inflight += 1
            return True
        return False

    def enter(self, ticket: T) -> Entry:
        if self.take():
            return Entry.GRANTED
        if len(self.waiting) >= self.queue:
            return Entry.FULL
        self.waiting[ticket] = None
        return Entry.QUEUED

    def leave(self, seconds: float | None = None) -> list[T]:
        """A holder is done; its slot goes to the one that waited longest. `seconds` of service teach
        `expected_wait`; None if the slot was never used."""
        self.inflight -= 1
        if seconds is not None:
            self._mean += 0.2 * (seconds - self._mean)
        return self._fill()

    def abandon(self, ticket: T) -> bool:
        """A waiter gives up. False if it had been granted a slot already: then it must `leave`."""
        return self.waiting.pop(ticket, self) is None

    def resize(self, slots: int, queue: int) -> list[T]:
        """New limits, at once for newcomers; holders above a smaller limit finish in peace."""
        self.slots, self.queue = slots, queue
        return self._fill()

    def expected_wait(self) -> float:
        """Seconds a newcomer would wait, from the smoothed service time of those before."""
        return self._mean * (len(self.waiting) + 1) / max(self.slots, 1)

    def _fill(self) -> list[T]:
        granted = []
        while self.waiting and self.inflight < self.slots:
            ticket, _ = self.waiting.popitem(last=False)
            self.inflight += 1
            granted.append(ticket)
        return granted
