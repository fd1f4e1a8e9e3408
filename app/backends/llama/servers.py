"""All servers that the config wants started, by what they are: a reload keeps those that are wanted as before.

One that is not wanted any more ends its answers first; another at its address is started after that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from app.backends.llama.launch import Launch
from app.backends.llama.server import Server, World

PATIENCE = 600.0  # seconds for the answers of one that is not wanted any more: as long as an answer may take by default
CALM = 1.0  # and between looks at whether it has any: twice in a row it must have none


class Servers:
    def __init__(self, world: World) -> None:
        self._world = world
        self._servers: dict[Launch, Server] = {}
        self._lives: dict[Server, asyncio.Task[None]] = {}
        self._leaving: dict[Server, asyncio.Task[None]] = {}

    def of(self, launch: Launch) -> Server:
        """The one that is there, or one that `follow` will start."""
        if launch not in self._servers:
            self._servers[launch] = Server(launch, self._world)
        return self._servers[launch]

    def follow(self, wanted: Iterable[Server], secrets: frozenset[str]) -> None:
        """Start and end what has to be; nothing is waited for. `secrets` are variables that no server may see."""
        self._world.machine.hidden = secrets
        kept = {server.launch: server for server in wanted}
        gone = [server for launch, server in self._servers.items() if launch not in kept and server in self._lives]
        self._servers = kept
        for server in gone:
            self._leaving[server] = asyncio.create_task(self._leave(server))
        for server in kept.values():
            if server not in self._lives:
                self._lives[server] = asyncio.create_task(self._live(server))

    async def close(self) -> None:
        """End all, now."""
        tasks = [*self._leaving.values(), *self._lives.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, server: Server) -> None:
        before = [task for one, task in self._leaving.items() if one.launch.at == server.launch.at]
        if before:
            server.wait_for_another()
            await asyncio.wait(before)
        await server.run()

    async def _leave(self, server: Server) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                calm = 0
                while calm < 2:
                    await self._world.sleep(CALM)
                    calm = calm + 1 if await server.idle() else 0
        self._lives[server].cancel()
        await asyncio.wait({self._lives[server]})
        del self._lives[server], self._leaving[server]
