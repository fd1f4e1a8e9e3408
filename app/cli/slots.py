"""How many requests does a server really run at once? Measured, since Ollama neither says it nor refuses more.

Several tiny streamed requests are sent together. One that waits in the server's queue is silent until a slot is
free, so those whose first halves of the answer overlap ran side by side. Other traffic on the same server makes
the number smaller, never larger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

# Sends one request and tells when each piece of its answer arrived (seconds); None if there was none.
Ask = Callable[[], Awaitable[list[float] | None]]


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


async def measure(ask: Ask, asked: int) -> Slots:
    """Asks once alone, which loads the model, then `asked` times together."""
    if not await ask():
        return Slots(asked, 0, asked)
    answers = await asyncio.gather(*(ask() for _ in range(asked)))
    spans = [(times[0], (times[0] + times[-1]) / 2) for times in answers if times]
    return Slots(asked, most_at_once(spans), asked - len(spans))


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """The largest number of (start, end) spans that hold one moment in common."""
    return max((sum(start <= moment <= end for start, end in spans) for moment, _ in spans), default=0)
