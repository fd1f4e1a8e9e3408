"""One simulated clock for the ledger, the probes and the fakes: eight hours of a working day in about a minute.

While somebody who lives by it is awake (an answer is being made, a probe is under way), it runs at most `SLOW` times
as fast as ours, between that `FAST` times. The gateway itself works in real time, so its own milliseconds appear on
this clock as so many times more: a first token that took 2 ms of gateway shows 60 ms too much at `SLOW` = 30. A
stall of the machine stops the clock: it moves at most `STEP` real seconds at a time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

FAST, SLOW = 1000.0, 30.0
STEP = 0.02  # real seconds
TICK = 0.002  # real seconds between looks at who is due


class SimClock:
    """Implements `app.ports.Clock`; `run` must be running. `start` is in seconds since the epoch."""

    def __init__(self, start: float, *, fast: float = FAST, slow: float = SLOW) -> None:
        self._at = start
        self._real = time.monotonic()
        self._fast, self._slow = fast, slow
        self._watched: list[float] = []  # speeds that somebody asked for
        self._awake: set[asyncio.Task[object]] = set()  # of those who have slept by this clock
        self._known: set[asyncio.Task[object]] = set()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def utc(self) -> float:
        real = time.monotonic()
        self._at += min(real - self._real, STEP) * self._speed
        self._real = real
        return self._at

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.utc() + seconds, next(self._number), future))
        task = asyncio.current_task()
        assert task is not None
        if task not in self._known:
            self._known.add(task)
            task.add_done_callback(self._gone)
        self._awake.discard(task)
        await future
        self._awake.add(task)

    @contextmanager
    def watched(self, speed: float = SLOW) -> Iterator[None]:
        """In here it runs at most so fast: somebody waits for an answer."""
        self.utc()
        self._watched.append(speed)
        try:
            yield
        finally:
            self.utc()
            self._watched.remove(speed)

    def stop(self) -> None:
        """Nothing happens any more: time to count."""
        self.utc()
        self._fast = self._slow = 0.0

    def in_real_time(self) -> None:
        """From now on a second is a second."""
        self.utc()
        self._fast = self._slow = 1.0

    async def run(self) -> None:
        """Wake who is due, until cancelled."""
        while True:
            now = self.utc()
            while self._sleepers and self._sleepers[0][0] <= now:
                future = heapq.heappop(self._sleepers)[2]
                if not future.done():
                    future.set_result(None)
            await asyncio.sleep(TICK)

    def _gone(self, task: asyncio.Task[object]) -> None:
        self._known.discard(task)
        self._awake.discard(task)

    @property
    def _speed(self) -> float:
        speed = min(self._watched, default=self._fast)
        return min(speed, self._slow) if self._awake or self._watched else speed
