"""A working day in an office: when each request comes. The same day every time. Pure.

People come at nine, have a peak before and after lunch, and stop at half past four; some questions come in bursts,
so that the one place of the small model is waited for. What is hard comes in two sittings, as hard work does: then
the endpoint of the large model sleeps in between, which is what a router is worth where hours are paid.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from app.backends.scripted.answers import sentences_of
from app.cli.demo.requests import Request

START, END = 9 * 3600.0, 17 * 3600.0  # seconds of the day, UTC
_HALF_HOURS = (4, 7, 9, 10, 9, 6, 3, 2, 6, 9, 10, 9, 7, 5, 3)  # weights from 9:00 on; the last ends at 16:30
_SITTINGS = ((10.25 * 3600, 11.25 * 3600), (14.5 * 3600, 15.25 * 3600))
_HARD = frozenset({"math", "code", "image", "over-long"})
_BURST = 0.3  # of all come within seconds of another
SENTENCES = 10  # of the small model, at most
_LEAVERS = 4  # close the window while the answer is being written


@dataclass(frozen=True, slots=True)
class Arrival:
    """`at` in seconds of the day; `leaves` after the first words of its answer."""

    at: float
    number: int
    request: Request
    leaves: bool = False


def midnight() -> float:
    """The day that is played: seconds since the epoch of 2026-11-23, 00:00 UTC."""
    return 20_780 * 86_400.0


def arrivals(requests: Sequence[Request], seed: int = 9) -> list[Arrival]:
    """All requests, in the order in which they come."""
    dice = random.Random(seed)
    leavers = _leavers(requests)
    times: list[float] = []
    for request in requests:
        times.append(_sitting(dice) if request.kind in _HARD else _moment(dice, times))
    day = [Arrival(at, number, requests[number], number in leavers) for number, at in enumerate(times)]
    return sorted(day, key=lambda arrival: arrival.at)


def _leavers(requests: Sequence[Request]) -> set[int]:
    """Those whose answer is the longest: there is time to leave in its middle."""
    chats = [number for number, one in enumerate(requests) if one.stream and one.kind.startswith("chat")]
    return set(sorted(chats, key=lambda number: -len(sentences_of(requests[number].text, SENTENCES)))[:_LEAVERS])


def _moment(dice: random.Random, before: Sequence[float]) -> float:
    if before and dice.random() < _BURST:
        return min(dice.choice(before) + dice.uniform(0.2, 3.0), END - 1800)
    half = dice.choices(range(len(_HALF_HOURS)), _HALF_HOURS)[0]
    return START + 1800 * (half + dice.random())


def _sitting(dice: random.Random) -> float:
    return dice.uniform(*dice.choice(_SITTINGS))
