"""Short runs of the demo, whose models answer at once."""

from __future__ import annotations

from app.cli.demo.requests import Request, load


def some() -> list[Request]:
    """One request of each kind."""
    return list({request.kind: request for request in load()}.values())
