"""Short runs of the demo: a few requests in a few simulated minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.cli.demo.clock import SimClock
from app.cli.demo.day import START, Arrival, midnight
from app.cli.demo.requests import Request, load


def some() -> list[Request]:
    """One request of each kind."""
    return list({request.kind: request for request in load()}.values())


def morning(requests: Sequence[Request], every: float = 20.0) -> Iterator[Arrival]:
    """One after the other, so many seconds apart, from nine on."""
    for number, request in enumerate(requests):
        yield Arrival(START + every * (number + 1), number, request)


def nine() -> SimClock:
    return SimClock(midnight() + START)


def database(folder: Path) -> Path:
    return folder / "records.db"
