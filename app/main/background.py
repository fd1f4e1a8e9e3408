"""What runs beside the requests: probes of each backend."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Protocol

from app.core.types import Facts
from app.ports import Backend, Clock

PROBE_READY = 30.0  # seconds between probes of a backend that is fine, so that each minute of an endpoint has one
PROBE_TROUBLED = 5.0  # and of one that is not: it should be noticed soon when it comes back

OnState = Callable[[Backend, Facts], None]


class Probed(Protocol):
    """A backend and the way to ask how it is; it never raises."""

    @property
    def backend(self) -> Backend: ...

    @property
    def news(self) -> asyncio.Event | None:
        """Set when something has happened that the next probe will show; None where nobody can tell."""
        ...

    async def probe(self) -> Facts: ...


class Probes:
    """One probing task per backend object; `follow` starts and stops them as the config changes.

    `on_facts` is told what each probe found, `on_state` when that is a change.
    """

    def __init__(self, clock: Clock, on_facts: OnState, on_state: OnState) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._clock = clock
        self._on_facts = on_facts
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
            # Asleep is no trouble: whoever wakes it goes through here, and is told.
            calm = one.backend.facts.state in ("ready", "asleep")
            await self._pause(PROBE_READY if calm else PROBE_TROUBLED, one.news)
            await self._once(one)

    async def _pause(self, seconds: float, news: asyncio.Event | None) -> None:
        if news is None:
            return await self._clock.sleep(seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # what has news is a process of this machine: it lives in real time
                await news.wait()
        news.clear()

    async def _once(self, one: Probed) -> None:
        backend, facts = one.backend, await one.probe()
        if facts.context_window is None:  # Ollama tells it of a loaded model only, but cuts prompts as before
            facts = replace(facts, context_window=backend.facts.context_window)
        changed = facts.state != backend.facts.state or facts.problem != backend.facts.problem
        backend.facts = facts
        self._on_facts(backend, facts)
        if changed:
            self._on_state(backend, facts)


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
