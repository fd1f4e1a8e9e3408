"""The life of one server: its model is fetched, it is started, loads, is ready, ends, and is started again.

After each end a longer pause, unless it was ready for a good while before. `facts` say how it is whenever it cannot
be asked itself; `news` is set at each change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.backends.llama.launch import Cannot, Launch
from app.core.types import Facts

FIRST, LONGEST = 1.0, 60.0  # seconds of pause before a start; each is twice the one before
STABLE = 60.0  # seconds of being ready after which an end counts as the first
TRIES = 3  # ends in a row after which it is said to be down: until then it is on its way
LOOK = 0.2  # seconds between looks at whether it has loaded
CUT = 10.0  # and between looks at how long its log is


class Running(Protocol):
    """A started server."""

    @property
    def pid(self) -> int: ...

    @property
    def journal(self) -> Path: ...

    async def wait(self) -> int: ...

    async def healthy(self) -> bool: ...

    async def idle(self) -> bool: ...

    async def cut_journal(self) -> None: ...

    async def stop(self) -> None: ...


class Starting(Protocol):
    """The machine. Both raise Cannot. `hidden` are variables that no child may see."""

    hidden: frozenset[str]

    async def file(self, launch: Launch, tell: Callable[[dict[str, Any]], None]) -> Path: ...

    async def start(self, launch: Launch, file: Path) -> Running: ...


@dataclass(frozen=True, slots=True)
class World:
    """What a life needs beside the machine. `tell` writes a line of the log, `dice` gives numbers from 0 to 1."""

    machine: Starting
    tell: Callable[..., None]
    dice: Callable[[], float]
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Server:
    """`run` is its life, ended by cancelling it. `up`: it is there and has loaded."""

    def __init__(self, launch: Launch, world: World) -> None:
        self.launch = launch
        self.up = False
        self.news = asyncio.Event()
        self._world = world
        self._said = "is about to be started"
        self._why = ""  # it ended, or could not be started
        self._down = False
        self._ends = 0  # in a row
        self._part: tuple[Path, int] | None = None  # of a file that is being fetched, and the size of the whole
        self._running: Running | None = None

    def facts(self) -> Facts:
        if self._down:
            return Facts("down", problem=self._why)
        if self._part is None:
            return Facts("loading", problem=self._said)
        part, whole = self._part
        have = part.stat().st_size if part.exists() else 0
        return Facts("loading", problem=f"{self._said}: {_size(have)} of {_size(whole)}")

    async def run(self) -> None:
        while True:
            try:
                await self._life()
            except Cannot as why:
                self._ended(str(why), down=True)
            except Exception as error:  # the edge of this life: one that ended unseen would be loading for ever
                self._ended(f"cannot be started for a reason that nobody foresaw ({error!r})", down=True)
            pause = min(LONGEST, FIRST * 2 ** (self._ends - 1)) * (0.5 + 0.5 * self._world.dice())
            self._tell("paused", problem=self._why, seconds=round(pause, 1))
            await self._world.sleep(pause)

    async def idle(self) -> bool:
        """Is no request in it?"""
        return self._running is None or await self._running.idle()

    def wait_for_another(self) -> None:
        self._say("waits until the server before it at this address has ended its answers")

    async def _life(self) -> None:
        machine = self._world.machine
        self._say("looks for its model")
        try:
            file = await machine.file(self.launch, self._fetching)
        finally:
            self._part = None
        self._say("is being started")
        self._running = child = await machine.start(self.launch, file)
        self._down = self._ends >= TRIES
        self._tell("started", pid=child.pid, file=file.name, log=str(child.journal))
        self._say("loads its model")
        try:
            code, lived = await self._watched(child)
        finally:
            self.up, self._running = False, None
            await child.stop()
        if lived >= STABLE:
            self._ends = 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._ended(f"llama-server {how}, see {child.journal}", down=self._ends + 1 >= TRIES)

    async def _watched(self, child: Running) -> tuple[int, float]:
        """Until it ends: its exit code, and for how many seconds it was ready."""
        world, ended = self._world, asyncio.ensure_future(child.wait())
        try:
            while not ended.done() and not await child.healthy():
                await asyncio.wait({ended}, timeout=LOOK)
            began = world.now()
            if not ended.done():
                self.up, self._down = True, False
                self._say("is ready")
            while not ended.done():
                await asyncio.wait({ended}, timeout=CUT)
                await child.cut_journal()
            return ended.result(), world.now() - began
        finally:
            ended.cancel()

    def _fetching(self, told: dict[str, Any]) -> None:
        self._part, self._down = (Path(told["part"]), told["bytes"]), False
        self._tell("fetching", file=told["name"], size=_size(told["bytes"]))
        self._say(f"fetches {told['name']}")

    def _ended(self, why: str, *, down: bool) -> None:
        self._ends += 1
        self._why, self._down = why, down
        self._say(why)

    def _say(self, what: str) -> None:
        self._said = what
        self.news.set()

    def _tell(self, what: str, **words: Any) -> None:
        self._world.tell("llama-server", what=what, at=self.launch.at, model=self.launch.alias, **words)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
