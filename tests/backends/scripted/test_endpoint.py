"""An endpoint that sleeps, wakes, pauses and costs, on a clock that only the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from app.backends.scripted import Endpoint
from tests.backends.scripted.asking import CHAT, asking, chat

MANAGED = "/v2/endpoint/team/large"


class Clock:
    """Sleeping is what moves it."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def endpoint(clock: Clock, **more: Any) -> Endpoint:
    return Endpoint(now=clock.now, sleep=clock.sleep, **more)


async def test_a_call_wakes_it_and_is_refused_at_once() -> None:
    """503 by the proxy, then pending, initializing, running."""
    clock = Clock()
    front = endpoint(clock, state="scaledToZero", pending=30.0, wake=60.0)
    async with asking("vllm", front) as (scripted, client):
        assert (await client.post(CHAT, json=chat())).status_code == 503
        states = []
        for wait in (0, 30, 60):
            clock.time += wait
            states.append(front.state)
        assert states == ["pending", "initializing", "running"]
        assert (await client.post(CHAT, json=chat())).status_code == 200
    assert (scripted.seen.failed, scripted.seen.completed) == (1, 1)


@pytest.mark.parametrize(("seconds", "status"), [("120", 200), ("60", 503), ("nonsense", 503)])
async def test_a_request_can_be_held(seconds: str, status: int) -> None:
    """With X-Scale-Up-Timeout it waits until the endpoint is ready, or that long."""
    clock = Clock()
    async with asking("vllm", endpoint(clock, state="scaledToZero", wake=90.0)) as (_, client):
        answer = await client.post(CHAT, json=chat(), headers={"X-Scale-Up-Timeout": seconds})
    assert answer.status_code == status


async def test_looking_does_not_wake_it_but_its_own_address_does() -> None:
    """The management API tells and leaves alone; a probe of the server costs money."""
    clock = Clock()
    async with asking("vllm", endpoint(clock, state="scaledToZero", wake=90.0)) as (scripted, client):
        asleep = (await client.get(MANAGED)).json()["status"]
        assert (asleep["state"], asleep["readyReplica"], asleep["targetReplica"]) == ("scaledToZero", 0, 0)
        assert scripted.seen.minutes_billed == 0
        assert (await client.get("/health")).status_code == 503
        waking = (await client.get(MANAGED)).json()["status"]
        assert (waking["state"], waking["readyReplica"], waking["targetReplica"]) == ("initializing", 0, 1)
        assert (await client.get("/v2/endpoint/team/other")).status_code == 404
    assert scripted.seen.management_calls == 3


async def test_a_running_one_says_where() -> None:
    """Its replicas and its address."""
    async with asking("vllm", endpoint(Clock(), replicas=2)) as (_, client):
        said = (await client.get(MANAGED)).json()
    assert (said["status"]["readyReplica"], said["compute"]["scaling"]["maxReplica"]) == (2, 2)
    assert said["status"]["url"] == str(client.base_url).rstrip("/")


async def test_a_paused_one_says_so_with_a_400() -> None:
    """Text, no JSON, and nothing wakes it but its owner."""
    async with asking("vllm", endpoint(Clock(), state="paused", wake=0.0)) as (scripted, client):
        answer = await client.post(CHAT, json=chat())
        assert (answer.status_code, "endpoint is paused" in answer.text) == (400, True)
        assert (await client.get(MANAGED)).json()["status"]["state"] == "paused"
        assert (await client.post(f"{MANAGED}/resume")).json()["status"]["state"] == "running"
        assert (await client.post(CHAT, json=chat())).status_code == 200
        assert (await client.post(f"{MANAGED}/pause")).json()["status"]["state"] == "paused"
    assert scripted.seen.failed == 1


def test_minutes_are_billed_from_initializing_on_and_per_replica() -> None:
    """Pending is free, each clock minute it is awake in counts whole, sleeping is free again."""
    clock = Clock()
    front = endpoint(clock, state="scaledToZero", pending=30.0, wake=60.0, replicas=2)
    front.resume()
    billed = []
    for wait in (30, 1, 60, 3600):
        clock.time += wait
        billed.append(front.minutes_billed)
    front.sleep()
    clock.time += 3600
    assert billed == [2, 2, 4, 124]
    assert front.minutes_billed == 124
    assert front.state == "scaledToZero"


def test_a_minute_is_billed_once_however_often_it_wakes_in_it() -> None:
    """Minutes are those of the clock, not of each period."""
    clock = Clock()
    front = endpoint(clock, state="scaledToZero", wake=1.0)
    for _ in range(3):
        front.resume()
        clock.time += 2
        front.sleep()
    assert front.minutes_billed == 1


def test_it_falls_asleep_at_the_first_full_minute_after_its_idle_time() -> None:
    """When it was due, not when somebody looks; never while it is busy."""
    clock = Clock()
    front = endpoint(clock, idle=900.0)
    with front.busy():
        clock.time += 3600
        assert front.state == "running"
    clock.time += 899
    assert front.state == "running"
    clock.time += 20  # one second later it is due, and the clock's next full minute is twenty seconds on
    assert front.state == "running"
    clock.time += 9999
    assert front.state == "scaledToZero"
    assert front.minutes_billed == 76
