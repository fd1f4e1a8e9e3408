"""From one backend of the config to its adapter and the way to ask how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app import settings
from app.backends.http_client import HttpClient
from app.backends.openai_http import MISSING_KEY, OpenAIBackend, Wiring
from app.backends.probe import Asking, prewarm, probe, refresh, warming
from app.backends.quirks import BY_KIND
from app.core.types import BackendSpec, Facts


@dataclass(slots=True)
class Wired:
    """An adapter, and what asks about it. `asking` None: it cannot be used, so it is not asked."""

    backend: OpenAIBackend
    asking: Asking | None
    prewarm: bool = False

    async def probe(self) -> Facts:
        """Ask once. The first time a backend is there it is prewarmed, if the config wants that."""
        if self.asking is None:
            return self.backend.facts
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
) -> Wired:
    """`chosen` is the config's entry; `api_key` what its variable holds, None if that is not set."""
    engine = engine_of(chosen)
    asking = Asking(spec, engine, api_key, _management(chosen), getattr(chosen, "keep_alive", None))

    async def is_warming() -> bool:
        return await warming(asking)

    wiring = Wiring(client, BY_KIND[engine], api_key, on_unhonoured, is_warming, _headers(chosen))
    if getattr(chosen, "api_key_env", None) and api_key is None:
        return Wired(OpenAIBackend(spec, wiring, Facts("down", problem=MISSING_KEY)), None)
    return Wired(OpenAIBackend(spec, wiring, Facts()), asking, getattr(chosen, "prewarm", False))


def engine_of(chosen: settings.Backend) -> str:
    """Whose wire it speaks: an endpoint's engine, what a fake imitates, else the kind itself."""
    if isinstance(chosen, settings.HfEndpoint):
        return chosen.engine
    if isinstance(chosen, settings.Scripted):
        return "openai" if chosen.imitates == "hf-endpoint" else chosen.imitates
    return chosen.kind


def _management(chosen: settings.Backend) -> str | None:
    if isinstance(chosen, settings.HfEndpoint) and chosen.namespace:
        return f"{chosen.management_url.rstrip('/')}/endpoint/{chosen.namespace}/{chosen.endpoint}"
    return None


def _headers(chosen: settings.Backend) -> tuple[tuple[str, str], ...]:
    if isinstance(chosen, settings.HfEndpoint) and chosen.scale_up_timeout:
        return (("x-scale-up-timeout", f"{chosen.scale_up_timeout:.0f}"),)
    return ()
