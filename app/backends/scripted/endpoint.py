"""A Hugging Face endpoint's proxy in front of the fake: asleep, waking, running, paused; and its management API.

A call to the data side wakes it (503 at once, or held for `X-Scale-Up-Timeout` seconds); a call to the
management side never does. Clock minutes in which it initializes or runs are billed whole and per replica, and it
scales to zero only at full minutes. The state follows from the clock and from what happened when: nothing runs in
the background.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.backends.scripted.http import answer, answer_json

Json = dict[str, Any]
Headers = dict[bytes, bytes]
PAUSED = b"Bad Request: The endpoint is paused, ask a maintainer to restart it"


class Endpoint:
    """`pending` (not billed) and then `wake` (initializing, billed) are how long it takes to wake, in seconds of
    `now`; at the first full minute after `idle` seconds without a data call it scales to zero, never if None.
    """

    def __init__(
        self,
        namespace: str = "team",
        name: str = "large",
        *,
        state: str = "running",
        wake: float = 0.2,
        pending: float = 0.0,
        idle: float | None = None,
        replicas: int = 1,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.path = f"/v2/endpoint/{namespace}/{name}"
        self.name = name
        self.replicas = replicas
        self._wake, self._pending, self._idle = wake, pending, idle
        self._now, self._sleep = now, sleep
        self._paused = state == "paused"
        self._busy = 0
        self._minutes = 0  # of periods that are over
        self._until = -1  # the last minute of those
        self._billed_from = self._used = now()
        self._ready_at: float | None = now() if state == "running" else None  # None: no replica, none on its way
        if state in ("pending", "initializing"):
            self._begin()

    @property
    def state(self) -> str:
        self._settle()
        if self._paused:
            return "paused"
        if self._ready_at is None:
            return "scaledToZero"
        if self._now() >= self._ready_at:
            return "running"
        return "initializing" if self._now() >= self._billed_from else "pending"

    @property
    def minutes_billed(self) -> int:
        self._settle()
        return self._minutes + (0 if self._ready_at is None else self._period(self._now()))

    def sleep(self) -> None:
        """Scale to zero."""
        self._stop(self._now())

    def pause(self) -> None:
        self._stop(self._now())
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._ready_at is None:
            self._begin()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """It does not fall asleep in here; its idle time begins anew afterwards."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._used = self._now()

    def named(self, path: str) -> bool:
        return path == self.path

    async def manage(self, method: str, path: str, headers: Headers, send: Any) -> None:
        """The management API: look, or POST pause, resume and scale-to-zero."""
        change = {"pause": self.pause, "resume": self.resume, "scale-to-zero": self.sleep}
        base, _, word = path.rpartition("/")
        if method == "POST" and self.named(base) and word in change:
            change[word]()
        elif not self.named(path):
            return await answer_json(send, {"error": "endpoint not found"}, 404)
        host = headers.get(b"host", b"").decode("latin-1")
        await answer_json(send, self.described(f"http://{host}"))

    def described(self, url: str = "") -> Json:
        state = self.state
        running = state == "running"
        status: Json = {
            "state": state,
            "message": f"Endpoint is {state}",
            "readyReplica": self.replicas if running else 0,
            "targetReplica": self.replicas if self._ready_at is not None else 0,
        }
        if running:
            status["url"] = url
        scaling = {"minReplica": self.replicas if self._idle is None else 0, "maxReplica": self.replicas}
        compute = {"accelerator": "gpu", "instanceType": "nvidia-l4", "instanceSize": "x1", "scaling": scaling}
        return {"name": self.name, "type": "private", "compute": compute, "status": status}

    async def let_through(self, headers: Headers, send: Any) -> bool:
        """True if the call reaches the engine; else it has been answered."""
        self._settle()
        self._used = self._now()
        if self._paused:
            await answer(send, 400, PAUSED, [(b"content-type", b"text/plain")])
            return False
        if self._ready_at is None:
            self._begin()
        assert self._ready_at is not None
        missing = self._ready_at - self._now()
        if missing <= 0:
            return True
        hold = _seconds(headers.get(b"x-scale-up-timeout", b""))
        if hold:
            await self._sleep(min(missing, hold))
        if self.state == "running":
            return True
        await answer_json(send, {"error": "503 Service Unavailable: the endpoint is scaling up"}, 503)
        return False

    def _begin(self) -> None:
        self._billed_from = self._now() + self._pending
        self._ready_at = self._billed_from + self._wake

    def _settle(self) -> None:
        """Scale to zero at the moment it was due."""
        if self._idle is None or self._ready_at is None or self._busy:
            return
        due = math.ceil((max(self._ready_at, self._used) + self._idle) / 60) * 60.0
        if self._now() >= due:
            self._stop(due)

    def _stop(self, at: float) -> None:
        if self._ready_at is not None:
            self._minutes += self._period(at)
            self._until = max(self._until, math.ceil(at / 60) - 1)
            self._ready_at = None

    def _period(self, until: float) -> int:
        """Clock minutes of the period that lasts; the first may have been billed with the one before."""
        first = max(math.floor(self._billed_from / 60), self._until + 1)
        return max(0, math.ceil(until / 60) - first) * self.replicas


def _seconds(header: bytes) -> float:
    try:
        return max(0.0, float(header))
    except ValueError:
        return 0.0
