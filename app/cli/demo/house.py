"""The demo's house: a small and a large scripted backend and the real gateway, each on a port of this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.backends.scripted import Model, Scripted, serve
from app.backends.scripted.server import loopback, url_of
from app.main import application
from app.main.server import Binding, Server
from app.ports import Observer
from app.settings import Source

SMALL, LARGE = "small", "large"
LLM = "llm"  # the large tier

CONFIG = """
backends:
  small:
    {{kind: ollama, zone: local, base_url: "{small}", model: "scripted:4b", reasoning: off,
     capacity: {{concurrent: 1, queue: 64, max_wait: 60s}},
     price: {{kind: local, watts: 350, usd_per_kwh: 0.187, hardware_usd: 1600, life_years: 3,
             source: RTX 4090 at list price; average US household electricity (EIA), as_of: 2026-04-26}}}}
  large:
    {{kind: vllm, zone: remote, base_url: "{large}", model: scripted/120b,
     capacity: {{concurrent: 8, queue: 64, max_wait: 60s}},
     price: {{kind: tokens, input: 0.15, cached_input: 0.075, output: 0.60,
             source: groq list price of gpt-oss-120b, as_of: 2026-11-22}}}}
tiers:
  - {{name: slm, backends: [small]}}
  - {{name: llm, backends: [large]}}
routing: {{llm_share: 0.05}}
"""


@dataclass(frozen=True, slots=True)
class House:
    """`url` is the gateway's; `backends` are the fakes by the name they have in its config."""

    url: str
    backends: dict[str, Scripted]
    stopped: asyncio.Task[None]  # done when SIGINT or SIGTERM has stopped the gateway


@asynccontextmanager
async def house(observer: Observer, *, paced: bool = True) -> AsyncIterator[House]:
    """`observer` is told what the gateway books; unless `paced`, the models answer at once."""
    small, large = _small(paced), _large(paced)
    with _no_proxy(), _no_log() as log:
        async with serve(small) as small_url, serve(large) as large_url:
            source = Source(None, {}, CONFIG.format(small=small_url, large=large_url))
            async with application(source, observers=(observer,), log=log) as running:
                binding = Binding("127.0.0.1", 0, drain_delay=0.0, drain_timeout=5.0)
                server = Server(running.app, binding, on_drain=running.drain, on_hup=running.reloader.request)
                async with _serving(server) as (url, stopped):
                    yield House(url, {SMALL: small, LARGE: large}, stopped)


def _small(paced: bool) -> Scripted:
    """Like an Ollama on a home machine: one answer at a time, and it thinks unless it is told not to."""
    return Scripted(Model("ollama", "scripted:4b", thinks=True, first_token=0.01 if paced else 0.0))


def _large(paced: bool) -> Scripted:
    first_token = 0.05 if paced else 0.0
    return Scripted(Model("vllm", "scripted/120b", slots=8, context_window=131_072, first_token=first_token))


@asynccontextmanager
async def _serving(server: Server) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    listening = loopback()
    task = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        yield url_of(listening), task
    finally:
        server.should_exit = True
        await task
        listening.close()


@contextmanager
def _no_log() -> Iterator[IO[bytes]]:
    """A line for each request would bury the table."""
    with Path(os.devnull).open("wb", buffering=0) as log:
        yield log


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Zone remote would go through a proxy of the environment, which cannot reach ports of this machine."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    os.environ.update(dict.fromkeys(before, "127.0.0.1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
