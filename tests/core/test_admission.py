"""The lane: slots and queue under tables of moves and under random sequences of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from app.core.admission import Entry, Lane


def test_slots_then_queue_then_full() -> None:
    """Slots are given first, then places in the queue, then nothing."""
    lane: Lane[str] = Lane(slots=1, queue=1)
    assert [lane.enter(ticket) for ticket in "abc"] == [Entry.GRANTED, Entry.QUEUED, Entry.FULL]
    assert lane.leave(1.0) == ["b"]
    assert lane.leave(1.0) == []
    assert lane.inflight == 0


def test_a_lane_without_slots_only_queues() -> None:
    """Zero slots grant nothing, and estimating the wait there does not divide by zero."""
    lane: Lane[str] = Lane(slots=0, queue=1)
    assert lane.enter("a") is Entry.QUEUED
    assert lane.enter("b") is Entry.FULL
    assert lane.expected_wait() > 0


def test_abandoning_tells_who_held_a_slot() -> None:
    """True for a waiter that is gone now; False for one that was granted in between and must leave."""
    lane: Lane[str] = Lane(slots=1, queue=5)
    for ticket in "abc":
        lane.enter(ticket)
    assert lane.abandon("b")
    assert lane.leave(1.0) == ["c"]
    assert not lane.abandon("c")
    assert not lane.abandon("b")


def test_growing_wakes_the_oldest() -> None:
    """New slots go to those who waited longest, in their order."""
    lane: Lane[str] = Lane(slots=1, queue=5)
    for ticket in "abcd":
        lane.enter(ticket)
    assert lane.resize(slots=3, queue=5) == ["b", "c"]
    assert list(lane.waiting) == ["d"]


def test_shrinking_lets_holders_finish() -> None:
    """After a shrink nobody is granted until enough have left."""
    lane: Lane[str] = Lane(slots=3, queue=5)
    for ticket in "abcd":
        lane.enter(ticket)
    assert lane.resize(slots=1, queue=0) == []
    assert (lane.inflight, lane.enter("e")) == (3, Entry.FULL)
    assert [lane.leave(1.0), lane.leave(1.0), lane.leave(1.0)] == [[], [], ["d"]]


def test_expected_wait_follows_service_time() -> None:
    """It grows with the queue, nears the time that service takes, and ignores slots that were never used."""
    lane: Lane[int] = Lane(slots=2, queue=50)
    for _ in range(60):
        lane.enter(0)
        lane.leave(8.0)
    assert lane.expected_wait() == pytest.approx(4.0, rel=0.01)
    lane.enter(1)
    lane.leave()
    assert lane.expected_wait() == pytest.approx(4.0, rel=0.01)
    for ticket in range(5):
        lane.enter(ticket)
    assert lane.expected_wait() == pytest.approx(16.0, rel=0.01)


class LaneMachine(RuleBasedStateMachine):
    """Drives a lane and a naive model of it side by side."""

    tickets = Bundle("tickets")

    @initialize(slots=st.integers(0, 3), queue=st.integers(0, 4))
    def start(self, slots: int, queue: int) -> None:
        self.lane: Lane[int] = Lane(slots, queue)
        self.holding: list[int] = []
        self.waiting: list[int] = []
        self.next = 0
        self.ceiling = slots  # inflight may stay above the slots after a shrink, never above this

    def granted(self, tickets: list[int]) -> None:
        assert tickets == self.waiting[: len(tickets)], "first in, first out"
        del self.waiting[: len(tickets)]
        self.holding += tickets

    @rule(target=tickets)
    def enter(self) -> int:
        self.next += 1
        entry = self.lane.enter(self.next)
        if entry is Entry.GRANTED:
            assert not self.waiting, "nobody overtakes"
            self.holding.append(self.next)
        elif entry is Entry.QUEUED:
            self.waiting.append(self.next)
            assert len(self.waiting) <= self.lane.queue
        return self.next

    @rule(ticket=consumes(tickets))
    def go(self, ticket: int) -> None:
        """A client gives up or is done: it abandons, and leaves if it turns out to hold a slot."""
        was_waiting = self.lane.abandon(ticket)
        assert was_waiting is (ticket in self.waiting)
        if was_waiting:
            self.waiting.remove(ticket)
        elif ticket in self.holding:
            self.holding.remove(ticket)
            self.granted(self.lane.leave(0.5))

    @rule(slots=st.integers(0, 3), queue=st.integers(0, 4))
    def resize(self, slots: int, queue: int) -> None:
        self.ceiling = max(slots, len(self.holding))
        self.granted(self.lane.resize(slots, queue))

    @invariant()
    def agrees_with_the_model(self) -> None:
        if hasattr(self, "lane"):
            assert self.lane.inflight == len(self.holding) <= self.ceiling
            assert list(self.lane.waiting) == self.waiting
            assert not self.waiting or self.lane.inflight >= self.lane.slots, "nobody waits while a slot is free"
            assert self.lane.expected_wait() > 0


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 30))
def test_all_are_served_in_order(slots: int, queue: int, clients: int) -> None:
    """Those let in are served first come, first served, and at the end the lane is empty."""
    lane: Lane[int] = Lane(slots, queue)
    entries = {ticket: lane.enter(ticket) for ticket in range(clients)}
    served = [ticket for ticket, entry in entries.items() if entry is Entry.GRANTED]
    for _ in range(clients):
        if lane.inflight:
            served += lane.leave(1.0)
    assert served == list(range(min(clients, slots + queue)))
    assert (lane.inflight, len(lane.waiting)) == (0, 0)
