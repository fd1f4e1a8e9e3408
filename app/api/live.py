"""What the endpoints serve from: one frozen bundle per config, swapped whole on reload."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from app.api.auth import Keyring
from app.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Live:
    """Everything a reload replaces. `rule_headers` are those that rules ask about, in lower case."""

    gateway: Gateway
    keys: Keyring
    max_body: int
    local_only: bool = False
    rule_headers: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class Site:
    """The one mutable thing: which bundle is live, and whether we are draining."""

    live: Live
    loopback: bool
    now: Callable[[], float]
    render_metrics: Callable[[], bytes]
    id_prefix: str  # random per process, so that ids differ between replicas
    draining: bool = False
    reload_error: str | None = None
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def new_id(self) -> str:
        return f"{self.id_prefix}{next(self._ids):x}"
