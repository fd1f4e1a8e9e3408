from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.backends.llama.launch import Cannot, Launch
from app.backends.llama.server import LONGEST, STABLE, TRIES, Server, World

LAUNCH = Launch("hf://a/b/c.gguf", "tiny", "127.0.0.1", 8081)


@dataclass
class FakeRunning:
    """Runs until `end` is set to an exit code."""

    pid: int = 7
    journal: Path = Path("server.log")
    loaded: bool = True
    stopped: int = 0
    busy: bool = False
    end: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def wait(self) -> int:
        return await asyncio.shield(self.end)

    async def healthy(self) -> bool:
        await asyncio.sleep(0.001)
        return self.loaded and not self.end.done()

    async def idle(self) -> bool:
        return not self.busy

    async def cut_journal(self) -> None:
        """Nothing is written."""

    async def stop(self) -> None:
        self.stopped += 1


@dataclass
class FakeMachine:
    """Each start takes the next of `plays`: a running server, or what is raised. The last one lasts."""

    plays: list[FakeRunning | Exception]
    part: Path | None = None
    hidden: frozenset[str] = frozenset()
    fetched: asyncio.Event = field(default_factory=asyncio.Event)

    async def file(self, launch: Launch, tell: Callable[[dict[str, Any]], None]) -> Path:
        if self.part is not None:
            tell({"name": "c.gguf", "bytes": 2_000_000_000, "part": str(self.part)})
            await self.fetched.wait()
        return Path("c.gguf")

    async def start(self, launch: Launch, file: Path) -> FakeRunning:
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        if isinstance(play, Exception):
            raise play
        return play


class Rig:
    """A server in a world whose pauses take no time and are remembered; `now` is set by the test."""

    def __init__(self, *plays: FakeRunning | Exception, part: Path | None = None, dice: float = 1.0) -> None:
        self.machine = FakeMachine(list(plays), part)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.pauses: list[float] = []
        self.now = 0.0
        world = World(self.machine, self._tell, lambda: dice, lambda: self.now, self._sleep)
        self.server = Server(LAUNCH, world)
        self.life = asyncio.create_task(self.server.run())

    def _tell(self, event: str, **words: Any) -> None:
        self.told.append((words["what"], words))

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.001)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0)

    async def end(self) -> None:
        self.life.cancel()
        await asyncio.wait({self.life})


async def test_its_way_to_being_ready() -> None:
    """What it does is said, and each step is news."""
    running = FakeRunning(loaded=False)
    rig = Rig(running)
    assert rig.server.facts().state == "loading"
    await rig.until(lambda: rig.server.facts().problem == "loads its model")
    assert not rig.server.up
    rig.server.news.clear()
    running.loaded = True
    await rig.server.news.wait()
    await rig.until(lambda: rig.server.up)
    [(what, words)] = rig.told
    assert what == "started"
    assert words == {"what": what, "at": LAUNCH.at, "model": "tiny", "pid": 7, "file": "c.gguf", "log": "server.log"}
    await rig.end()
    assert running.stopped == 1
    assert not rig.server.up


async def test_pauses_double_up_to_a_minute() -> None:
    """And the third end in a row is down, with the reason and the log."""
    runs = [FakeRunning() for _ in range(9)]
    for one in runs[:8]:
        one.end.set_result(1)
    rig = Rig(*runs)
    await rig.until(lambda: len(rig.pauses) == TRIES - 1)
    assert rig.server.facts().state == "loading"
    await rig.until(lambda: len(rig.pauses) == TRIES)
    assert rig.server.facts().state == "down"
    assert rig.server.facts().problem == "llama-server ended with exit code 1, see server.log"
    await rig.until(lambda: rig.server.up)
    assert rig.pauses == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST]
    await rig.end()


async def test_pauses_differ_by_chance() -> None:
    """Between half and the whole: servers that ended together are not all started together."""
    first, second = FakeRunning(), FakeRunning()
    first.end.set_result(1)
    rig = Rig(first, second, dice=0.0)
    await rig.until(lambda: rig.server.up)
    assert rig.pauses == [0.5]
    await rig.end()


async def test_after_a_good_while_an_end_counts_as_the_first() -> None:
    """However often it ended before."""
    runs = [FakeRunning() for _ in range(4)]
    for one in runs[:2]:
        one.end.set_result(-9)
    rig = Rig(*runs)
    await rig.until(lambda: rig.server.up)
    rig.now += STABLE
    runs[2].end.set_result(0)
    await rig.until(lambda: len(rig.pauses) == 3)
    assert rig.pauses == [1, 2, 1]
    reasons = [words["problem"] for what, words in rig.told if what == "paused"]
    assert reasons[0] == "llama-server was ended by signal 9, see server.log"
    assert reasons[2] == "llama-server ended with exit code 0, see server.log"
    await rig.end()


async def test_what_cannot_be_had_is_down_at_once() -> None:
    """The sentence stays until it is there; meanwhile it is tried again."""
    rig = Rig(Cannot("there is no llama-server on PATH"), Cannot("there is no llama-server on PATH"), FakeRunning())
    await rig.until(lambda: len(rig.pauses) == 1)
    assert rig.server.facts().state == "down"
    assert rig.server.facts().problem == "there is no llama-server on PATH"
    await rig.until(lambda: rig.server.up)
    assert [what for what, _ in rig.told] == ["paused", "paused", "started"]
    await rig.end()


async def test_what_nobody_foresaw_is_not_the_end(tmp_path: Path) -> None:
    """It is down, says what it was, and is tried again."""
    rig = Rig(RuntimeError("no home"), FakeRunning())
    await rig.until(lambda: len(rig.pauses) == 1)
    assert rig.server.facts().state == "down"
    assert "RuntimeError('no home')" in str(rig.server.facts().problem)
    await rig.until(lambda: rig.server.up)
    await rig.end()


async def test_fetching_is_told_with_its_size(tmp_path: Path) -> None:
    """In the log before it begins; how far it is can be seen at any time."""
    part = tmp_path / "part"
    rig = Rig(FakeRunning(), part=part)
    await rig.until(lambda: bool(rig.told))
    what, words = rig.told[0]
    assert (what, words["file"], words["size"]) == ("fetching", "c.gguf", "2.00 GB")
    assert rig.server.facts().problem == "fetches c.gguf: 0.0 MB of 2.00 GB"
    part.write_bytes(bytes(1_500_000))
    assert rig.server.facts().problem == "fetches c.gguf: 1.5 MB of 2.00 GB"
    assert rig.server.facts().state == "loading"
    rig.machine.fetched.set()
    await rig.until(lambda: rig.server.up)
    await rig.end()


async def test_whether_it_is_idle() -> None:
    """As the running server says; without one nobody waits for it."""
    running = FakeRunning(busy=True)
    rig = Rig(running)
    assert await rig.server.idle()
    await rig.until(lambda: rig.server.up)
    assert not await rig.server.idle()
    await rig.end()
    assert await rig.server.idle()
