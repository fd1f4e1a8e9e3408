"""One timer for all who wait, in a loop whose time is moved by hand."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from app.gateway.patience import Patience
from tests.gateway.test_watch import FakeLoop

MOMENT = 0.25


class Waiting:
    """Counts how often it was called, and may do something about it."""

    def __init__(self, then: Callable[[Waiting], None] = lambda _: None) -> None:
        self.calls = 0
        self._then = then

    def late(self) -> None:
        self.calls += 1
        self._then(self)


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def patience(loop: FakeLoop) -> Patience:
    made = Patience(MOMENT)
    made.loop = loop  # type: ignore[assignment]
    return made


def test_called_once_when_due(patience: Patience, loop: FakeLoop) -> None:
    """Nobody is called early, and nobody twice."""
    who = Waiting()
    patience.join(who)
    loop.advance(MOMENT * 0.9)
    assert who.calls == 0
    loop.advance(MOMENT * 0.2)
    assert who.calls == 1
    loop.advance(10 * MOMENT)
    assert who.calls == 1


def test_each_at_its_own_time(patience: Patience, loop: FakeLoop) -> None:
    """Who joins later is called later."""
    everyone = [Waiting() for _ in range(5)]
    for who in everyone:
        patience.join(who)
        loop.advance(MOMENT / 2)
    assert [who.calls for who in everyone] == [1, 1, 1, 1, 0]
    loop.advance(MOMENT / 2 + 0.001)
    assert [who.calls for who in everyone] == [1] * 5


def test_one_timer_for_all(patience: Patience, loop: FakeLoop) -> None:
    """A thousand that come and go make one timer between them."""
    for _ in range(1000):
        who = Waiting()
        patience.join(who)
        patience.leave(who)
    assert len(loop.handles) == 1


def test_who_left_is_not_called(patience: Patience, loop: FakeLoop) -> None:
    """Nor kept alive; those behind are called as if it had never been there."""
    first, second = Waiting(), Waiting()
    patience.join(first)
    patience.join(second)
    patience.leave(first)
    patience.leave(first)
    seen = weakref.ref(first)
    del first
    gc.collect()
    assert seen() is None
    loop.advance(MOMENT)
    assert second.calls == 1


def test_joining_twice(patience: Patience, loop: FakeLoop) -> None:
    """Who has joined already keeps its place."""
    who = Waiting()
    patience.join(who)
    loop.advance(MOMENT / 2)
    patience.join(who)
    loop.advance(MOMENT / 2)
    assert who.calls == 1


def test_joins_again_when_called(patience: Patience, loop: FakeLoop) -> None:
    """As those do who still have to wait."""
    who = Waiting(patience.join)
    patience.join(who)
    loop.advance(MOMENT * 3.5)
    assert who.calls == 3


def test_one_makes_another_leave(patience: Patience, loop: FakeLoop) -> None:
    """Who is called may end the wait of one that is due in the same moment."""
    second = Waiting()
    first = Waiting(lambda _: patience.leave(second))
    patience.join(first)
    patience.join(second)
    loop.advance(MOMENT)
    assert (first.calls, second.calls) == (1, 0)


def test_silent_when_nobody_waits(patience: Patience, loop: FakeLoop) -> None:
    """An idle process is not woken."""
    patience.join(Waiting())
    loop.advance(10 * MOMENT)
    assert loop.armed() == []


async def test_real_loop() -> None:
    """In the loop it is first used in."""
    called = asyncio.Event()
    Patience(0.001).join(Waiting(lambda _: called.set()))
    await asyncio.wait_for(called.wait(), 5.0)
