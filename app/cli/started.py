"""Servers that the gateway starts itself: what `check` tells of them; `check --probe` starts them for a moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.backends.llama.launch import Cannot, Launch
from app.backends.llama.machine import Machine, answers, missing, program
from app.backends.llama.server import Server, World
from app.core.types import Facts
from app.main.wire import launch_of
from app.settings import GatewayConfig

Ask = Callable[[], Awaitable[Facts]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one backend. `lacks` says what is not there, and the cure."""

    backend: str
    launch: Launch
    program: str | None
    journal: str
    lacks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.backend}: starts {self.program or 'llama-server'} at {self.launch.at}, its log is {self.journal}"

    def as_json(self) -> dict[str, Any]:
        return {"program": self.program, "address": self.launch.at, "log": self.journal}

    def warnings(self) -> Iterator[str]:
        for lack in self.lacks:
            yield f"backends.{self.backend}.start: {lack}; this backend starts down"


def plans(config: GatewayConfig, environ: Mapping[str, str]) -> tuple[Plan, ...]:
    launches = ((name, launch_of(backend)) for name, backend in config.backends.items())
    return tuple(_plan(name, launch, environ) for name, launch in launches if launch is not None)


def _plan(name: str, launch: Launch, environ: Mapping[str, str]) -> Plan:
    found, lacks = None, []
    try:
        found = program(environ)
    except Cannot as why:
        lacks.append(str(why))
    try:
        missing(launch)
    except Cannot as why:
        lacks.append(str(why))
    return Plan(name, launch, found, str(launch.journal(environ)), tuple(lacks))


async def asked(
    launch: Launch, environ: Mapping[str, str], secrets: frozenset[str], patience: float, ask: Ask
) -> Facts:
    """What `ask` finds out about it: of the one that runs there, or of one that is started for the question."""
    if await answers(launch):
        return await ask()
    machine = Machine(environ)
    machine.hidden = secrets
    async with _running(Server(launch, World(machine, _tell, random.random)), patience) as server:
        return await ask() if server.up else server.facts()


@contextlib.asynccontextmanager
async def _running(server: Server, patience: float) -> AsyncIterator[Server]:
    """Until it is up or cannot be, at most `patience` seconds; ended with the block."""
    life = asyncio.create_task(server.run())
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not server.up and server.facts().state != "down":
                    await server.news.wait()
                    server.news.clear()
        yield server
    finally:
        life.cancel()
        await asyncio.wait({life})


def _tell(event: str, what: str, at: str, model: str, **words: Any) -> None:
    """Of what takes a while; whatever goes wrong is in the facts."""
    if what == "fetching":
        print(f"{model}: fetching {words['file']}, {words['size']} ...", file=sys.stderr)
    elif what == "started":
        print(f"{model}: starting it at {at} for the question ...", file=sys.stderr)
