"""A Hugging Face endpoint's proxy in front of the fake: asleep, waking, running, paused; and its management API.

A call to the data side wakes it (503 at once, or held for `X-Scale-Up-Timeout` seconds); a call to the
management side never does. Minutes are billed while it initializes and runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from app.backends.scripted.http import answer, answer_json

Json = dict[str, Any]
_LOOK = 0.02  # seconds between looks at the state while a request is held


class Endpoint:
    """`wake` is how long it takes to wake, in seconds of `now`."""

    def __init__(
        self,
        namespace: str = "team",
        name: str = "large",
        *,
        state: str = "running",
        wake: float = 0.2,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = f"/v2/endpoint/{namespace}/{name}"
        self.name = name
        self._state = state
        self._wake = wake
        self._now = now
        self._since = now()
        self._billed = 0.0
        self._ready_at: float | None = None

    @property
    def state(self) -> str:
        if self._ready_at is not None and self._now() >= self._ready_at:
            self._ready_at = None
            self._state = "running"
        return self._state

    @property
    def billed_minutes(self) -> float:
        return (self._billed + self._awake()) / 60

    def sleep(self) -> None:
        """Scale to zero."""
        self._billed += self._awake()
        self._state, self._ready_at = "scaledToZero", None

    def named(self, path: str) -> bool:
        return path == self.path

    def described(self) -> Json:
        ready = int(self.state == "running")
        status = {"state": self.state, "message": "", "readyReplica": ready, "targetReplica": ready}
        return {"name": self.name, "type": "private", "status": status}

    async def let_through(self, headers: dict[bytes, bytes], send: Any) -> bool:
        """True if the call reaches the engine; else it has been answered."""
        if self.state == "paused":
            text = b"Bad Request: The endpoint is paused, ask a maintainer to restart it"
            await answer(send, 400, text, [(b"content-type", b"text/plain")])
            return False
        if self.state == "scaledToZero":
            self._state, self._since, self._ready_at = "initializing", self._now(), self._now() + self._wake
        hold = float(headers.get(b"x-scale-up-timeout", b"0"))
        while self.state == "initializing" and hold > 0:
            await asyncio.sleep(_LOOK)
            hold -= _LOOK
        if self.state == "running":
            return True
        await answer_json(send, {"error": "503 Service Unavailable: the endpoint is scaled to zero"}, 503)
        return False

    def _awake(self) -> float:
        return self._now() - self._since if self.state in ("initializing", "running") else 0.0
