"""The demo's client: sends requests as an application does and sees only what an application sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import httpx

from app.cli.demo.requests import Request

AT_ONCE = 6  # fewer than the small model's queue holds, so that nothing is turned away
PATIENCE = 60.0


def request_id(number: int) -> str:
    """What joins a request with the gateway's record of it."""
    return f"demo-{number:03d}"


async def send_all(url: str, requests: Sequence[Request], done: Callable[[], None]) -> list[bool]:
    """For each request whether a complete answer came back. `done` is called after each."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def send(number: int, request: Request) -> bool:
        async with slots:
            headers = {**request.headers, "x-request-id": request_id(number)}
            try:
                answer = await client.post("/v1/chat/completions", json=request.body, headers=headers)
            except httpx.HTTPError:
                return False
            finally:
                done()
            return is_complete(answer, request.stream)

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        return list(await asyncio.gather(*(send(number, one) for number, one in enumerate(requests))))


async def scrape(url: str) -> str:
    """The gateway's /metrics."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        return (await client.get("/metrics")).raise_for_status().text


def is_complete(answer: httpx.Response, stream: bool) -> bool:
    """A stream that breaks has status 200 as well: only its last event tells."""
    if answer.status_code != 200:
        return False
    return answer.content.endswith(b"data: [DONE]\n\n") if stream else bool(answer.json().get("choices"))
