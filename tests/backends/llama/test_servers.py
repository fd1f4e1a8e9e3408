from __future__ import annotations

import asyncio
from dataclasses import replace

from app.backends.llama.server import Server, World
from app.backends.llama.servers import Servers
from tests.backends.llama.test_server import LAUNCH, FakeMachine, FakeRunning

OTHER = replace(LAUNCH, slots=4)
NONE: frozenset[str] = frozenset()


class Turns:
    """Sleeping takes turns of the loop, not time."""

    async def sleep(self, seconds: float) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


def servers(*plays: FakeRunning) -> tuple[Servers, FakeMachine]:
    machine = FakeMachine(list(plays))
    return Servers(World(machine, lambda event, **words: None, lambda: 0.0, sleep=Turns().sleep)), machine


async def up(server: Server, up: bool = True) -> None:
    async with asyncio.timeout(5):
        while server.up is not up:
            await asyncio.sleep(0.005)


async def test_equal_launches_are_one_server() -> None:
    """A reload that wants the same finds it running, and its process is not touched."""
    running = FakeRunning()
    all_of_them, _ = servers(running)
    one = all_of_them.of(LAUNCH)
    all_of_them.follow([one], frozenset({"A_KEY"}))
    await up(one)
    again = all_of_them.of(replace(LAUNCH))
    all_of_them.follow([again], NONE)
    await asyncio.sleep(0.02)
    assert again is one
    assert one.up
    assert running.stopped == 0
    await all_of_them.close()
    assert running.stopped == 1


async def test_secrets_are_hidden_before_anything_starts() -> None:
    """Those of the config that is followed."""
    all_of_them, machine = servers(FakeRunning())
    all_of_them.follow([all_of_them.of(LAUNCH)], frozenset({"A_KEY"}))
    assert machine.hidden == {"A_KEY"}
    await all_of_them.close()


async def test_a_new_one_waits_for_the_answers_of_the_old() -> None:
    """At the same address only one can listen; what is being answered is answered."""
    old, new = FakeRunning(busy=True), FakeRunning()
    all_of_them, _ = servers(old, new)
    first = all_of_them.of(LAUNCH)
    all_of_them.follow([first], NONE)
    await up(first)
    second = all_of_them.of(OTHER)
    all_of_them.follow([second], NONE)
    await asyncio.sleep(0.05)
    assert first.up
    assert not second.up
    assert second.facts().state == "loading"
    assert "waits until the server before it" in str(second.facts().problem)
    old.busy = False
    await up(second)
    assert old.stopped == 1
    await all_of_them.close()
    assert new.stopped == 1


async def test_another_address_waits_for_nobody() -> None:
    """Both run until the old one is done."""
    old, new = FakeRunning(busy=True), FakeRunning()
    all_of_them, _ = servers(old, new)
    first = all_of_them.of(LAUNCH)
    all_of_them.follow([first], NONE)
    await up(first)
    second = all_of_them.of(replace(LAUNCH, port=8082))
    all_of_them.follow([second], NONE)
    await up(second)
    assert first.up
    await all_of_them.close()
    assert (old.stopped, new.stopped) == (1, 1)


async def test_one_that_nobody_wants_ends() -> None:
    """And one that was never followed was never started."""
    running = FakeRunning()
    all_of_them, _ = servers(running)
    one = all_of_them.of(LAUNCH)
    assert all_of_them.of(OTHER) is not one
    all_of_them.follow([one], NONE)
    await up(one)
    all_of_them.follow([], NONE)
    await up(one, up=False)
    assert running.stopped == 1
    assert all_of_them.of(LAUNCH) is not one
    await all_of_them.close()
