"""What outlives a reload of the config: slots and queues, connections, learned facts, counters, the log.

Everything is keyed by what it physically is (a box, a way to connect, an artifact), never by its place in the
config.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from app import settings
from app.backends.http_client import HttpClient
from app.backends.llama.servers import Servers
from app.backends.openai_http import OpenAIBackend
from app.core.prices import Price
from app.core.sessions import LocalSessions
from app.core.tokens import TokenRate
from app.core.types import BackendSpec, Facts
from app.gateway import Gateway, Slots
from app.main.money import Money
from app.main.wire import Wired, launch_of, start_fake, wire
from app.ports import Backend, Router
from app.routers import load_router
from app.settings import GatewayConfig
from app.stores import SqliteRecords
from app.telemetry.logs import JsonLog
from app.telemetry.metrics import Metrics

MAX_CONNECTIONS = 8192  # far above all slots together: slots are the limit, this only guards the descriptors


@dataclass(slots=True)
class Keep:
    metrics: Metrics
    log: JsonLog
    money: Money
    servers: Servers
    records: SqliteRecords | None = None
    slots: Slots = field(default_factory=Slots)
    sessions: LocalSessions = field(default_factory=LocalSessions)
    rates: dict[str, TokenRate] = field(default_factory=dict)
    clients: dict[tuple[bool, float], HttpClient] = field(default_factory=dict)
    wired: dict[object, Wired] = field(default_factory=dict)
    routers: dict[str, Router] = field(default_factory=dict)
    fakes: list[asyncio.Task[None]] = field(default_factory=list)
    now: Callable[[], float] = time.monotonic

    def router(self, name: str) -> Router:
        if name not in self.routers:
            self.routers[name] = load_router(name)
        return self.routers[name]

    def backend(self, spec: BackendSpec, chosen: settings.Backend, environ: Mapping[str, str]) -> OpenAIBackend:
        """The same object as before a reload, with all it has learned, if nothing about it changed."""
        name = getattr(chosen, "api_key_env", None)
        api_key = settings.secret(environ, name) if name else None
        key = (spec, chosen, api_key)
        if key not in self.wired:
            if isinstance(chosen, settings.Scripted):
                url, task = start_fake(chosen)
                spec = replace(spec, base_url=url)
                self.fakes.append(task)
            launch = launch_of(chosen)
            server = self.servers.of(launch) if launch else None
            self.wired[key] = wire(spec, chosen, api_key, self._client(spec), self.metrics.on_unhonoured, server)
        return self.wired[key].backend

    def probed(self, gateway: Gateway) -> Iterator[Wired]:
        """What belongs to this gateway; the rest is forgotten."""
        self.wired = self._of(gateway)
        yield from self.wired.values()

    def serve(self, gateway: Gateway, config: GatewayConfig) -> None:
        """Start and end servers of our own: those of this gateway shall run, and no others."""
        servers = [one.server for one in self._of(gateway).values() if one.server]
        self.servers.follow(servers, frozenset(variable for _, variable in config.secret_names()))

    def _of(self, gateway: Gateway) -> dict[object, Wired]:
        used = {id(post.backend) for post in gateway.all_posts()}
        return {key: one for key, one in self.wired.items() if id(one.backend) in used}

    def on_state(self, backend: Backend, facts: Facts) -> None:
        self.log.event("backend-state", backend=backend.spec.name, state=facts.state, problem=facts.problem)

    def on_router_failure(self, error: Exception) -> None:
        self.metrics.on_router_failure()
        self.log.event("router-failed", error=type(error).__name__)

    def on_bug(self, request_id: str, error: BaseException) -> None:
        """Where, not what: the message of an unforeseen error may quote a prompt."""
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        where = [f"{frame.filename.rpartition('/app/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
        self.log.event("bug", request_id=request_id, error=type(error).__name__, where=where)

    def rate(self, spec: BackendSpec) -> TokenRate:
        """How this model at this place counts tokens, as far as that was learned."""
        return self.rates.setdefault(f"{spec.base_url}|{spec.model}", TokenRate())

    def on_prices(self, prices: Iterable[Price]) -> None:
        """Those of the config that is being built: whoever reads the records later will ask what they were."""
        if self.records is not None:
            for price in prices:
                self.records.on_price(price)

    async def close(self) -> None:
        await self.servers.close()
        for client in self.clients.values():
            await client.aclose()
        for fake in self.fakes:
            fake.cancel()
        await asyncio.gather(*self.fakes, return_exceptions=True)
        if self.records is not None:
            await asyncio.to_thread(self.records.close)
        self.log.flush()

    def _client(self, spec: BackendSpec) -> HttpClient:
        key = (spec.zone == "remote", spec.timeouts.connect)
        if key not in self.clients:
            proxies, connect = key
            self.clients[key] = HttpClient(proxies=proxies, connect_timeout=connect, max_connections=MAX_CONNECTIONS)
        return self.clients[key]
