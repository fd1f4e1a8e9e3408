"""How many requests does a server really run at once? Measured, since Ollama neither says it nor refuses more.

k tiny streamed requests are sent together. One that waits in the server's queue is silent until a slot is free,
so those whose first halves of the answer overlap ran side by side. Other traffic on the same server makes the
number smaller, never larger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

_BODY = {
    "messages": [{"role": "user", "content": "Count from 1 to 60, one number a line."}],
    "stream": True,
    "max_tokens": 32,
    "temperature": 0,
}


@dataclass(frozen=True, slots=True)
class Slots:
    """Of `asked` requests sent together `at_once` ran side by side, `failed` gave no answer."""

    asked: int
    at_once: int
    failed: int = 0

    def advice(self, configured: int) -> str:
        """One sentence: what to write into capacity.concurrent, or why nothing is known."""
        if not self.at_once:
            return "none of the probing requests was answered, so nothing is known about its slots"
        more = " or more" if self.at_once == self.asked else ""
        found = f"it runs {self.at_once}{more} at once"
        if self.at_once < configured:
            return (
                f"{found}, the config says {configured}: set capacity.concurrent to {self.at_once} (the rest would "
                f"wait unseen inside it), or raise OLLAMA_NUM_PARALLEL to {configured}"
            )
        if self.at_once > configured:
            return f"{found}, the config says {configured}: set capacity.concurrent to {self.at_once} to use it fully"
        return f"{found}, as the config says"


async def measure(base_url: str, model: str, asked: int, load_timeout: float = 300.0) -> Slots:
    """Loads the model first, with one request of its own. `load_timeout` in seconds bounds each request."""
    timeout = httpx.Timeout(load_timeout, connect=5.0)
    limits = httpx.Limits(max_connections=asked)
    async with httpx.AsyncClient(base_url=base_url, timeout=timeout, limits=limits, trust_env=False) as client:
        if await _times(client, model) is None:
            return Slots(asked, 0, asked)
        answers = await asyncio.gather(*(_times(client, model) for _ in range(asked)))
    spans = [(times[0], (times[0] + times[-1]) / 2) for times in answers if times]
    return Slots(asked, most_at_once(spans), asked - len(spans))


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """The largest number of (start, end) spans that hold one moment in common."""
    return max((sum(start <= moment <= end for start, end in spans) for moment, _ in spans), default=0)


async def _times(client: httpx.AsyncClient, model: str) -> list[float] | None:
    """When each piece of one streamed answer arrived; None if there was no answer."""
    now = asyncio.get_running_loop().time
    try:
        async with client.stream("POST", "/v1/chat/completions", json={**_BODY, "model": model}) as answer:
            if not answer.is_success:
                return None
            return [now() async for line in answer.aiter_lines() if _is_piece(line)] or None
    except httpx.HTTPError:
        return None


def _is_piece(line: str) -> bool:
    return line.startswith("data: {") and '"error"' not in line
