"""The gateway as an ASGI app: config in, probes and clocks running beside it, everything closed at the end."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from app import __version__
from app.api.app import SmallfirstApp
from app.api.live import Site
from app.backends.llama.machine import Machine
from app.backends.llama.server import World
from app.backends.llama.servers import Servers
from app.main.background import Probes, running
from app.main.build import build
from app.main.keep import Keep
from app.main.money import Money
from app.main.reload import Reloader
from app.main.snapshot import snapshot
from app.ports import Clock, Observer
from app.settings import GatewayConfig, Source
from app.stores import Keeping, SqliteRecords
from app.telemetry.logs import JsonLog
from app.telemetry.metrics import Metrics

LOG_EVERY = 0.05  # seconds that a line of the log may wait for others


@dataclass(frozen=True, slots=True)
class Application:
    """`app` is what a server calls; the rest is for whoever runs that server."""

    app: SmallfirstApp
    site: Site
    reloader: Reloader
    log: JsonLog

    def drain(self) -> None:
        """From now on `/ready` says no; everything else goes on."""
        self.site.draining = True
        self.log.event("draining")


@asynccontextmanager
async def application(
    source: Source, *, observers: Sequence[Observer] = (), log: IO[bytes], clock: Clock | None = None
) -> AsyncIterator[Application]:
    """Raises ConfigError before anything is started. `observers` are told beside metrics and log."""
    loaded = source.load()
    clock = clock or SystemClock()
    metrics = Metrics(__version__)
    lines = JsonLog(log, time.time, partial(asyncio.get_running_loop().call_later, LOG_EVERY))
    everyone: list[Observer] = [metrics, lines, *observers]
    servers = Servers(World(Machine(source.environ), lines.event, random.random))
    keep = Keep(metrics, lines, Money(clock, everyone), servers, _records(loaded.config, clock, lines))
    everyone += [keep.money, *([keep.records] if keep.records else [])]
    for warning in loaded.warnings:
        keep.log.event("config-warning", message=warning)
    probes = Probes(clock, lambda backend, facts: keep.money.sample(backend, facts.replicas), keep.on_state)
    try:
        site = Site(
            build(loaded.config, source.environ, keep, everyone),
            loopback=loaded.config.server.loopback,
            now=keep.now,
            render_metrics=lambda: keep.metrics.render(snapshot(site.live.gateway, reloader.llm_share, keep)),
            id_prefix=f"req-{secrets.token_hex(4)}-",
        )
        reloader = Reloader(source, loaded.config, site, keep, everyone, probes)
        keep.serve(site.live.gateway, loaded.config)
        await probes.follow(keep.probed(site.live.gateway))
        app = SmallfirstApp(site, keep.on_bug)
        _settle_memory()
        async with running(keep.money.run(), reloader.watch()):
            yield Application(app, site, reloader, keep.log)
    finally:
        await probes.stop()
        keep.money.close()
        await keep.close()


def _records(config: GatewayConfig, clock: Clock, log: JsonLog) -> SqliteRecords | None:
    """Raises ConfigError if the file cannot be used."""
    wanted = config.records
    if wanted is None:
        return None
    loop = asyncio.get_running_loop()
    keeping = Keeping(
        Path(wanted.path),
        wanted.keep_days,
        wanted.max_mb,
        wanted.store_text,
        wanted.store_local_text,
        wanted.store_features,
        wanted.store_local_features,
    )

    def tell(problem: str) -> None:  # in the writing thread
        loop.call_soon_threadsafe(partial(log.event, "records", problem=problem))

    return SqliteRecords(keeping, clock.utc, tell)


class SystemClock:
    """Implements `app.ports.Clock`."""

    def utc(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _settle_memory() -> None:
    """What is alive now stays: the collector need not walk it again on every pass (measured: +29 % throughput)."""
    gc.collect()
    _give_back()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


def _give_back() -> None:
    """Start-up leaves holes in the heap; glibc can hand their pages back (about 5 MB)."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
