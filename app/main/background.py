"""What runs beside the requests: probes of each backend, and the clock of costs that time causes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Protocol

from app.core.ledger import HourPrice, LocalPrice, Meter, Price
from app.core.types import Facts
from app.gateway import Post
from app.ports import Backend, Observer

PROBE_READY = 30.0  # seconds between probes of a backend that is fine
PROBE_TROUBLED = 5.0  # and of one that is not: it should be noticed soon when it comes back

OnState = Callable[[Backend, Facts], None]


class Probed(Protocol):
    """A backend and the way to ask how it is; it never raises."""

    @property
    def backend(self) -> Backend: ...

    async def probe(self) -> Facts: ...


class Probes:
    """One probing task per backend object; `follow` starts and stops them as the config changes."""

    def __init__(self, on_state: OnState) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._on_state = on_state

    async def follow(self, probes: Iterable[Probed]) -> None:
        """Ask each newcomer once before returning (together), then go on in the background."""
        wanted = {id(one.backend): one for one in probes}
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
        fresh = {key: wanted[key] for key in wanted.keys() - self._tasks.keys()}
        await asyncio.gather(*(self._once(one) for one in fresh.values()))
        for key, one in fresh.items():
            self._tasks[key] = asyncio.create_task(self._forever(one))

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forever(self, one: Probed) -> None:
        while True:
            await asyncio.sleep(PROBE_READY if one.backend.facts.state == "ready" else PROBE_TROUBLED)
            await self._once(one)

    async def _once(self, one: Probed) -> None:
        backend, facts = one.backend, await one.probe()
        changed = facts.state != backend.facts.state or facts.problem != backend.facts.problem
        backend.facts = facts
        if changed:
            self._on_state(backend, facts)


class CostClock:
    """Once a second, charges what time costs: endpoint hours, capex and watts of local boxes."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._meters: dict[str, tuple[Price, Meter]] = {}

    async def run(self, posts: Callable[[], Iterable[Post]]) -> None:
        while True:
            self.tick(posts(), time.monotonic(), time.time())
            await asyncio.sleep(1.0)

    def tick(self, posts: Iterable[Post], now: float, utc_seconds: float) -> None:
        """Posts on one host share one box: it is charged once, to the first of them."""
        seen: set[str] = set()
        for post in posts:
            identity = post.backend.spec.identity
            if identity in seen:
                continue
            seen.add(identity)
            running = self._meter(identity, post.price)
            if running is None:
                continue
            for kind, nano in running.advance(now, utc_seconds, post.lane.inflight > 0):
                for observer in self._observers:
                    observer.on_cost(post.tier, post.backend.spec.name, kind, nano)

    def _meter(self, identity: str, price: Price) -> Meter | None:
        if not isinstance(price, HourPrice | LocalPrice):
            return None
        known = self._meters.get(identity)
        if known is None or known[0] != price:
            known = self._meters[identity] = (price, Meter(price))
        return known[1]


@contextlib.asynccontextmanager
async def running(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run them beside the body, end them with it."""
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
