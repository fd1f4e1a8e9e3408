"""Run the gateway on its port until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from typing import IO

from app.main.application import application
from app.main.server import Binding, Server
from app.settings import Source

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop


def serve(source: Source) -> None:
    """Blocks until SIGTERM or SIGINT and the drain after it. Raises ConfigError before anything is started."""
    with (
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as log,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(_serve(source, log))


async def _serve(source: Source, log: IO[bytes]) -> None:
    server = source.load().config.server
    binding = Binding(server.host, server.port, server.drain_delay, server.drain_timeout)
    async with application(source, log=log) as running:
        await Server(running.app, binding, on_drain=running.drain, on_hup=running.reloader.request).serve()
