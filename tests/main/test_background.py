"""Probes, on hand-written parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.core.types import Facts
from app.main.application import SystemClock
from app.main.background import Probes, running
from app.ports import Backend
from tests.fakes import FakeBackend


@dataclass
class Asked:
    """A probe that answers from a list, and counts."""

    backend: Backend
    answers: list[Facts]
    asked: int = 0
    news: asyncio.Event | None = None

    async def probe(self) -> Facts:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def backend() -> FakeBackend:
    return FakeBackend(state="unknown")


async def test_newcomers_are_asked_before_follow_returns() -> None:
    """The first request already meets what the first probe found; a change of state is told once."""
    told: list[str] = []
    one = Asked(backend(), [Facts("ready", context_window=8192)])
    found: list[Facts] = []
    clock = SystemClock()
    probes = Probes(
        clock,
        lambda backend, facts: found.append(facts),
        lambda backend, facts: told.append(f"{backend.spec.name} {facts.state}"),
    )
    await probes.follow([one])
    assert one.backend.facts.context_window == 8192
    await probes.follow([one])  # nobody new, so nobody is asked
    assert one.asked == 1
    assert told == ["small ready"]
    assert found == one.answers
    await probes.stop()


async def test_a_window_once_known_stays_known() -> None:
    """A model that was unloaded meanwhile will be loaded with the same one: what does not fit must not be cut."""
    one = Asked(backend(), [Facts("ready", context_window=4096), Facts("ready"), Facts("ready", context_window=8192)])
    windows: list[int | None] = []
    probes = Probes(SystemClock(), lambda _, facts: windows.append(facts.context_window), lambda _, facts: None)
    for _ in one.answers:
        await probes.follow([one])
        await probes.follow([])
    assert windows == [4096, 4096, 8192]
    await probes.stop()


async def test_those_who_left_are_not_asked_any_more() -> None:
    """After a reload without them their tasks are gone."""
    one = Asked(backend(), [Facts("down", problem="cannot be reached")])
    probes = Probes(SystemClock(), lambda backend, facts: None, lambda backend, facts: None)
    await probes.follow([one])
    await probes.follow([])
    await probes.stop()
    assert one.asked == 1


async def test_what_runs_beside_ends_with_the_body() -> None:
    """No task outlives the block."""
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(forever()):
        await asyncio.sleep(0)
    assert ended.is_set()
