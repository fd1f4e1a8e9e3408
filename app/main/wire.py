"""From one backend of the config to its adapter and the way to ask how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from app import settings
from app.backends.http_client import HttpClient
from app.backends.llama.backend import StartedBackend
from app.backends.llama.launch import Launch
from app.backends.llama.server import Server
from app.backends.openai_http import MISSING_KEY, OpenAIBackend, Wiring
from app.backends.probe import Asking, prewarm, probe, refresh, warming
from app.backends.quirks import BY_KIND
from app.core.types import BackendSpec, Facts


@dataclass(slots=True)
class Wired:
    """An adapter, and what asks about it. `asking` None: it cannot be used, so it is not asked. `server`: what answers
    there, if we start it ourselves."""

    backend: OpenAIBackend
    asking: Asking | None
    prewarm: bool = False
    server: Server | None = None

    @property
    def news(self) -> asyncio.Event | None:
        """Set when it is worth asking early."""
        return self.server.news if self.server else None

    async def probe(self) -> Facts:
        """Ask once. The first time a backend is there it is prewarmed, if the config wants that."""
        if self.asking is None:
            return self.backend.facts
        if self.server is not None and not self.server.up:
            return self.server.facts()
        facts = await probe(self.asking)
        if facts.state == "ready" and self.prewarm:
            self.prewarm = False
            await prewarm(self.asking)
        elif facts.state == "ready" and self.asking.keep_alive is not None:
            await refresh(self.asking)
        return facts


def start_fake(chosen: settings.Scripted) -> tuple[str, asyncio.Task[None]]:
    """Serve the shipped fake inside this process; its URL, and the task to cancel at the end."""
    from app.backends.scripted import Endpoint, Model, Scripted, serve  # a gateway with real backends never needs it
    from app.backends.scripted.server import loopback, url_of

    imitates = chosen.imitates if chosen.imitates != "hf-endpoint" else "openai"
    endpoint = Endpoint() if chosen.imitates == "hf-endpoint" else None
    fake = Scripted(Model(imitates=imitates, name=chosen.model, slots=chosen.capacity.concurrent), endpoint)
    listening = loopback()

    async def run() -> None:
        async with serve(fake, listening):
            await asyncio.Event().wait()

    return url_of(listening), asyncio.get_running_loop().create_task(run())


def wire(
    spec: BackendSpec,
    chosen: settings.Backend,
    api_key: str | None,
    client: HttpClient,
    on_unhonoured: Callable[[str, str], None],
    server: Server | None = None,
) -> Wired:
    """`chosen` is the config's entry; `api_key` what its variable holds, None if that is not set; `server` the one that
    we start for it."""
    engine = chosen.speaks
    asking = Asking(spec, engine, api_key, _management(chosen), getattr(chosen, "keep_alive", None))

    async def is_warming() -> bool:
        return await warming(asking)

    wiring = Wiring(client, BY_KIND[engine], api_key, on_unhonoured, is_warming, _headers(chosen))
    if getattr(chosen, "api_key_env", None) and api_key is None:
        return Wired(OpenAIBackend(spec, wiring, Facts("down", problem=MISSING_KEY)), None)
    if server is not None:
        return Wired(StartedBackend(spec, wiring, server), asking, server=server)
    return Wired(OpenAIBackend(spec, wiring, Facts()), asking, getattr(chosen, "prewarm", False))


def launch_of(chosen: settings.Backend) -> Launch | None:
    """What has to be started for it, None for what runs without us."""
    if not isinstance(chosen, settings.Startable) or chosen.start is None:
        return None
    wanted, parts = chosen.start.llama_server, urlsplit(chosen.base_url)
    assert parts.hostname is not None
    assert parts.port is not None
    return Launch(wanted.model, chosen.model, parts.hostname, parts.port, wanted.slots, wanted.context)


def _management(chosen: settings.Backend) -> str | None:
    if isinstance(chosen, settings.HfEndpoint) and chosen.namespace:
        return f"{chosen.management_url.rstrip('/')}/endpoint/{chosen.namespace}/{chosen.endpoint}"
    return None


def _headers(chosen: settings.Backend) -> tuple[tuple[str, str], ...]:
    if isinstance(chosen, settings.HfEndpoint) and chosen.scale_up_timeout:
        return (("x-scale-up-timeout", f"{chosen.scale_up_timeout:.0f}"),)
    return ()
