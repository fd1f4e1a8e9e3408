"""Reload: on SIGHUP and when the file changes, all or nothing.

A new config is loaded, checked and built beside the old one; only then one reference is swapped. Whatever is
wrong with it is logged and shown in `/ready`, and the old one keeps serving. Requests under way finish on the
config they began with; slots, queues and connections are the same objects before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.api.live import Site
from app.errors import ConfigError
from app.main.background import Probes
from app.main.build import build
from app.main.keep import Keep
from app.ports import Observer
from app.settings import GatewayConfig, Source

EVERY = 1.0  # seconds between looks at the file; a symlink swap of Kubernetes is seen like an edit
FIXED = ("host", "port", "drain_delay", "drain_timeout")  # of `server`: taken once, when it starts to listen


class Reloader:
    """`request` asks for a reload at the next occasion, whatever the file looks like."""

    def __init__(
        self,
        source: Source,
        config: GatewayConfig,
        site: Site,
        keep: Keep,
        observers: Sequence[Observer],
        probes: Probes,
    ) -> None:
        self._source = source
        self._config = config
        self._site = site
        self._keep = keep
        self._observers = observers
        self._probes = probes
        self._seen = source.fingerprint()
        self._asked = asyncio.Event()

    @property
    def llm_share(self) -> float | None:
        return self._config.routing.llm_share

    def request(self) -> None:
        self._asked.set()

    async def watch(self) -> None:
        while True:
            asked = await self._wait()
            found = self._source.fingerprint()
            if asked or (found and found != self._seen):
                self._seen = found
                await self.reload()

    async def reload(self) -> None:
        log, metrics = self._keep.log, self._keep.metrics
        try:
            loaded = await asyncio.to_thread(self._source.load)
            live = build(loaded.config, self._source.environ, self._keep, self._observers)
        except ConfigError as error:
            self._site.reload_error = str(error)
            metrics.on_reload(False)
            log.event("reload-refused", error=str(error))
            return
        for warning in (*loaded.warnings, *_fixed(self._config, loaded.config)):
            log.event("config-warning", message=warning)
        # New backends are asked first, so that the first request already meets their true window and state.
        await self._probes.follow(self._keep.probed(live.gateway))
        self._config, self._site.live, self._site.reload_error = loaded.config, live, None
        self._keep.serve(live.gateway, loaded.config)
        metrics.on_reload(True)
        log.event("reloaded")

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(EVERY):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True


def _fixed(old: GatewayConfig, new: GatewayConfig) -> list[str]:
    """What only a restart can change."""
    pairs = {f"server.{key}": (getattr(old.server, key), getattr(new.server, key)) for key in FIXED}
    told = [f"{key}: stays {was} until a restart" for key, (was, now) in pairs.items() if was != now]
    return told + (["records: stays as it was until a restart"] if old.records != new.records else [])
