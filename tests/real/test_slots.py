"""Two slots, seen from both sides: by the server's `/slots` and `/metrics`, and by the gateway's own numbers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.process import chat, exchange, post
from tests.real.house import PATIENCE, SLOTS, TO_THE_LIMIT, WINDOW, House, hello, until
from tests.real.llama import Llama

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
CLIENTS = 5
TOKENS = 100
SOON = 1.0  # seconds within which a slot is free again
LOOK = 1.0  # seconds of silence after which the server looks whether the client of a whole answer is there


def answer(house: House, number: int) -> int:
    """Tokens of a streamed answer."""
    chunks = house.client.chat.completions.create(
        model="slm",
        messages=hello(f"Question {number}"),
        max_tokens=TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=TO_THE_LIMIT,
    )
    last: Any = list(chunks)[-1]
    return int(last.usage.completion_tokens)


def test_never_more_at_once_than_there_are_slots(house: House) -> None:
    """What is too much waits in the gateway, where it is seen, and not in the server, where it would not be."""
    busy: list[int] = []
    server_waits: list[float] = []
    ours: list[tuple[float, float]] = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(answer, house, number) for number in range(CLIENTS)]
        while not all(one.done() for one in asked):
            busy.append(house.llama.busy())
            server_waits.append(house.llama.metric("requests_deferred"))
            inflight, queue = (house.metric(f"backend_{one}", backend="small") for one in ("inflight", "queue_depth"))
            ours.append((inflight, queue))
    assert [one.result() for one in asked] == [TOKENS] * CLIENTS
    assert max(busy) == SLOTS
    assert max(server_waits) == 0
    assert max(inflight for inflight, _ in ours) == SLOTS
    assert max(queue for _, queue in ours) >= 1


def test_who_leaves_a_stream_frees_the_slot(house: House) -> None:
    """The server stops at once, though it had thousands of tokens to go."""
    stream = house.client.chat.completions.create(
        model="slm", messages=hello(), max_tokens=WINDOW, stream=True, extra_body=TO_THE_LIMIT
    )
    for _ in range(3):
        next(stream)
    assert house.llama.busy() == 1
    stream.close()
    assert until(lambda: house.llama.busy() == 0) < SOON
    until(lambda: house.metric("backend_inflight", backend="small") == 0)


def test_who_leaves_before_the_answer_frees_the_slot(house: House) -> None:
    """A whole answer says nothing until it is there, and its client may not wait for it.

    The gateway leaves at once. The server looks after a second in which it has told nobody anything: as long as it is
    busy with another stream, or is asked for its slots, it does not look (llama.cpp's `recv_with_timeout`).
    """
    before = house.metric("upstream_attempts_total", backend="small", outcome="cancelled")

    async def leave() -> None:
        asked = asyncio.create_task(
            exchange(house.gateway.port, post(chat("hello", model="slm")), leave_after=PATIENCE)
        )
        await asyncio.to_thread(until, lambda: house.llama.busy() == 1)
        asked.cancel()
        await asyncio.wait([asked])

    asyncio.run(leave())
    until(lambda: house.metric("upstream_attempts_total", backend="small", outcome="cancelled") == before + 1)
    until(lambda: house.metric("backend_inflight", backend="small") == 0)
    assert until(lambda: house.llama.busy() == 0, pause=2 * LOOK) < 6 * LOOK


def test_both_count_the_same(house: House) -> None:
    """Tokens by the server's own counters and by ours; what it had in its cache, it does not count as read."""
    before = counted(house.llama), booked(house)
    for number in range(3):
        answer(house, number)
    house.client.chat.completions.create(
        model="slm", messages=hello("Once more"), max_tokens=7, extra_body=TO_THE_LIMIT
    )
    after = counted(house.llama), booked(house)
    read, made = (now - was for now, was in zip(after[0], before[0], strict=True))
    assert (read, made) == tuple(now - was for now, was in zip(after[1], before[1], strict=True))
    assert made == 3 * TOKENS + 7
    assert read > 0


def counted(llama: Llama) -> tuple[float, float]:
    """Prompt tokens read and tokens made, of all that is over."""
    until(lambda: llama.metric("requests_processing") == 0)
    return llama.metric("prompt_tokens_total"), llama.metric("tokens_predicted_total")


def booked(house: House) -> tuple[float, float]:
    kinds = ("input", "output")
    read, made = (house.metric("tokens_total", backend="small", kind=kind) for kind in kinds)
    return read, made


def test_the_probe_knows_the_slots_window(house: House) -> None:
    """The window of one slot, not of all."""
    props = house.llama.get("/props")
    assert props["total_slots"] == SLOTS
    assert props["default_generation_settings"]["n_ctx"] == WINDOW
    assert {slot["n_ctx"] for slot in house.llama.get("/slots")} == {WINDOW}
