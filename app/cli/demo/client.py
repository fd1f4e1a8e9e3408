"""The demo's client: an office full of applications. It sees only what applications see.

Like the SDKs it asks again when it is told to (429 or 503 with Retry-After): somebody whose question only the large
model can answer waits until its endpoint is awake. Times are those of the simulated clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import httpx

from app.cli.demo.clock import SLOW, SimClock
from app.cli.demo.day import Arrival

PATIENCE = 60.0  # real seconds
REAL_PATIENCE = 900.0  # for an answer of a real model, which may have a slow processor
TRIES = 40
LEAVING = 5.0  # how fast the clock runs while somebody is about to leave: so slowly that the leaving is noticed
GONE, NOTICED = 1.0, 0.3  # and for so many real seconds after: else the answer is whole before anybody has noticed


@dataclass(slots=True)
class Outcome:
    """What one person met. `ids` are the requests made for it: one, and one more for each time it was turned away."""

    arrival: Arrival
    ids: list[str] = field(default_factory=list)
    complete: bool = False
    left: bool = False
    tier: str | None = None
    first_token: float | None = None  # simulated seconds, of the try that was answered

    @property
    def shed(self) -> int:
        """How often it was turned away and asked again."""
        return max(len(self.ids) - 1, 0)

    @property
    def failed(self) -> bool:
        return not self.complete and not self.left


async def play(
    url: str, day: Iterable[Arrival], midnight: float, clock: SimClock, done: Callable[[Outcome], None]
) -> None:
    """Everybody comes at their time; returns when the last answer is there. `done` is called after each."""
    async with (
        httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client,
        asyncio.TaskGroup() as office,
    ):

        async def person(arrival: Arrival) -> None:
            done(await ask(client, arrival, clock))

        for arrival in day:
            await clock.sleep(midnight + arrival.at - clock.utc())
            office.create_task(person(arrival))


async def play_in_turn(
    url: str, day: Iterable[Arrival], at_once: int, clock: SimClock, done: Callable[[Outcome], None]
) -> None:
    """So many people ask, one question after the other: nobody waits longer than a real model makes them."""
    waiting = iter(day)

    async def person(client: httpx.AsyncClient) -> None:
        for arrival in waiting:
            done(await ask(client, arrival, clock))

    async with (
        httpx.AsyncClient(base_url=url, timeout=REAL_PATIENCE, trust_env=False) as client,
        asyncio.TaskGroup() as office,
    ):
        for _ in range(at_once):
            office.create_task(person(client))


async def ask(client: httpx.AsyncClient, arrival: Arrival, clock: SimClock) -> Outcome:
    outcome = Outcome(arrival)
    for number in range(TRIES):
        outcome.ids.append(f"demo-{arrival.number:03d}-{number}")
        with clock.watched(LEAVING if arrival.leaves else SLOW):
            again = await _try(client, outcome, clock)
            if outcome.left:
                with clock.watched(GONE):
                    await asyncio.sleep(NOTICED)
        if again is None:
            break
        await clock.sleep(again)
    return outcome


async def _try(client: httpx.AsyncClient, outcome: Outcome, clock: SimClock) -> float | None:
    """One request; seconds after which to try again if it was turned away for now."""
    request, began = outcome.arrival.request, clock.utc()
    headers = {**request.headers, "x-request-id": outcome.ids[-1]}
    try:
        async with client.stream("POST", "/v1/chat/completions", json=request.body, headers=headers) as answer:
            if answer.status_code in (429, 503):
                return float(answer.headers.get("retry-after", "5"))
            outcome.tier = answer.headers.get("x-smallfirst-tier")
            body = b""
            async for piece in answer.aiter_bytes():
                if not body:
                    outcome.first_token = clock.utc() - began
                body += piece
                if outcome.arrival.leaves:
                    outcome.left = True
                    return None
            outcome.complete = is_complete(answer.status_code, body, request.stream)
    except (httpx.HTTPError, ValueError):
        pass
    return None


async def scrape(url: str) -> str:
    """The gateway's /metrics."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        return (await client.get("/metrics")).raise_for_status().text


def is_complete(status: int, body: bytes, stream: bool) -> bool:
    """A stream that breaks has status 200 as well: only its last event tells."""
    return status == 200 and (body.endswith(b"data: [DONE]\n\n") if stream else b'"choices"' in body)
