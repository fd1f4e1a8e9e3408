"""The seams: what the driver needs from routers, backends and observers. Adding a kind = one implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from app.core.chat import ChatRequest
from app.core.types import BackendSpec, Capability, Entry, Facts, Record, Score, Usage


class Router(Protocol):
    """Scores requests. Pure and quick (well under a millisecond); None = no opinion, which is not a low score."""

    name: str
    version: str

    def score(self, request: ChatRequest) -> Score | None: ...

    def threshold(self, llm_share: float) -> float:
        """The score at or above which a share `llm_share` (0..1) of calibration traffic lies."""
        ...

    def explain(self, request: ChatRequest) -> list[tuple[str, float]]:
        """Named contributions that sum to the score's logit."""
        ...


Give = Callable[[bytes], bool]  # takes a piece, always; True: another one may follow at once


class Reply(Protocol):
    """One answer of a backend, already in the wire form the client asked for.

    `pieces` were handed on until now, the last one at `last` in the time of the loop.
    """

    pieces: int
    last: float

    @property
    def usage(self) -> Usage | None:
        """Tokens so far: as the backend said, else estimated. None if there is nothing to say."""
        ...

    @property
    def model(self) -> str | None:
        """The model that answers, in the backend's words."""
        ...

    async def first(self) -> bytes:
        """Something usable: whole JSON, or the events up to the first that carries content, so that a failure before it
        may still fall back. Called once. Raises UpstreamFault."""
        ...

    async def relay(self, give: Give) -> bool:
        """After `first`, and only of a stream: hand each piece to `give` in the moment it arrives, with nobody woken
        for it. True after a clean and complete end, False as soon as `give` has no room; then it can be called again.
        Raises UpstreamFault."""
        ...

    def close(self) -> None:
        """Abandon what is left, at once; idempotent, safe after the end."""
        ...


class Backend(Protocol):
    """One configured model endpoint."""

    spec: BackendSpec
    facts: Facts

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it has or can emulate, by the table of its kind and by what probing taught."""
        ...

    async def send(self, request: ChatRequest, request_id: str) -> Reply:
        """Open one upstream call; returns when its head is good. Raises UpstreamFault."""
        ...

    async def warming(self) -> bool:
        """Ask, without waking it, whether it is loading its model right now (the first-token clock asks)."""
        ...


class Observer(Protocol):
    """Told about each settled request, and about money that time costs or would have cost. Sync and cheap."""

    def on_settled(self, record: Record) -> None: ...

    def on_entries(self, entries: Sequence[Entry]) -> None:
        """What minutes of an endpoint or a box cost, told after they are over."""
        ...

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        """What one clock minute would have cost without routing, where the baseline is paid by the hour."""
        ...


class Clock(Protocol):
    """The time that ledger, records and probes go by: the system's, or a simulated one."""

    def utc(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None: ...
