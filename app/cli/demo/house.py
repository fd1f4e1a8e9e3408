"""The demo's house: a small and a large scripted backend and the real gateway, each on a port of this process, all
on one simulated clock.

The small one is an Ollama on a home machine: one answer at a time, 60 tokens a second, thinks unless it is told not
to. The large one stands behind a Hugging Face endpoint that begins the day asleep, takes four minutes to wake, sleeps
again after a quarter of an hour without a question, and is billed by the minute. Who meets it asleep is answered by
the small one (`fallback:loading`); who can only be answered by the large one is told to come back.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.backends.scripted import Endpoint, Model, Scripted, serve
from app.backends.scripted.server import loopback, url_of
from app.cli.demo.clock import SimClock
from app.cli.demo.day import SENTENCES
from app.main import application
from app.main.background import running
from app.main.server import Binding, Server
from app.ports import Observer
from app.settings import Source

SMALL, LARGE = "small", "large"
LLM = "llm"  # the large tier
SHARE = 0.05
USD_PER_HOUR = 5.0

CONFIG = """
backends:
  small:
    {{kind: ollama, zone: local, base_url: "{small}", model: "scripted:4b", reasoning: off,
     capacity: {{concurrent: 1, queue: 16, max_wait: 60s}},
     price: {{kind: local, watts: 350, usd_per_kwh: 0.187, hardware_usd: 1600, life_years: 3,
             source: RTX 4090 at list price; average US household electricity (EIA), as_of: 2026-04-26}}}}
  large:
    {{kind: hf-endpoint, engine: vllm, zone: remote, base_url: "{large}", model: scripted/120b, api_key_env: HF_TOKEN,
     namespace: team, endpoint: large, management_url: "{large}/v2",
     capacity: {{concurrent: 8, queue: 64, max_wait: 60s}},
     price: {{kind: compute-hour, usd_per_hour: {usd_per_hour},
             source: "Hugging Face Inference Endpoints, aws H200 x1", as_of: 2026-05-19}}}}
tiers:
  - {{name: slm, backends: [small]}}
  - {{name: llm, backends: [large]}}
routing: {{llm_share: {share}}}
baseline: {{min_replicas: 0, max_replicas: 2, scale_to_zero_after: 15m, scale_up_delay: 4m, service: 3s}}
records: {{path: "{records}", keep_days: 36500}}
"""


@dataclass(frozen=True, slots=True)
class House:
    """`url` is the gateway's; `backends` are the fakes by the name they have in its config: a real one is not there."""

    url: str
    backends: dict[str, Scripted]
    clock: SimClock
    records: Path
    stopped: asyncio.Task[None]  # done when SIGINT or SIGTERM has stopped the gateway


@asynccontextmanager
async def house(
    observer: Observer, clock: SimClock, records: Path, *, usd_per_hour: float = USD_PER_HOUR
) -> AsyncIterator[House]:
    """`observer` is told what the gateway books; `records` is where it keeps them."""
    small, large = _small(clock), _large(clock)
    with no_proxy():
        async with running(clock.run()), serve(small) as small_url, serve(large) as large_url:
            text = CONFIG.format(
                small=small_url, large=large_url, records=records, share=SHARE, usd_per_hour=usd_per_hour
            )
            fakes = {SMALL: small, LARGE: large}
            async with opened(text, {"HF_TOKEN": "scripted"}, fakes, observer, clock, records) as house:
                yield house


@asynccontextmanager
async def opened(
    text: str,
    environ: Mapping[str, str],
    fakes: dict[str, Scripted],
    observer: Observer,
    clock: SimClock,
    records: Path,
) -> AsyncIterator[House]:
    """The gateway with the config `text`; `fakes` are those of its backends that are scripted."""
    with _no_log() as log:
        async with application(Source(None, environ, text), observers=(observer,), log=log, clock=clock) as app:
            binding = Binding("127.0.0.1", 0, drain_delay=0.0, drain_timeout=5.0)
            server = Server(app.app, binding, on_drain=app.drain, on_hup=app.reloader.request)
            async with _serving(server) as (url, stopped):
                yield House(url, fakes, clock, records, stopped)


def _small(clock: SimClock) -> Scripted:
    """It stays in memory: unloaded, an Ollama does not say how much it can read."""
    pace = {"first_token": 0.3, "per_token": 1 / 60, "load": 4.0, "keep_alive": 86_400.0}
    model = Model("ollama", "scripted:4b", thinks=True, sentences=SENTENCES, **pace)  # type: ignore[arg-type]
    return Scripted(model, now=clock.utc, sleep=clock.sleep)


def _large(clock: SimClock) -> Scripted:
    pace = {"first_token": 0.6, "per_token": 1 / 90}
    model = Model(
        "vllm",
        "scripted/120b",
        slots=8,
        context_window=131_072,
        vision=True,
        sentences=14,
        **pace,  # type: ignore[arg-type]
    )
    endpoint = Endpoint("team", "large", state="scaledToZero", wake=240.0, idle=900.0, now=clock.utc, sleep=clock.sleep)
    return Scripted(model, endpoint, now=clock.utc, sleep=clock.sleep)


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
    """A line for each request would bury the table, and so would asyncio's for each word to somebody who has left."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    with Path(os.devnull).open("wb", buffering=0) as log:
        yield log


@contextmanager
def no_proxy() -> Iterator[None]:
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
