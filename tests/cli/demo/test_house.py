"""The house is the real thing: ports, probes, prices, records; and nothing of it stays."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from app.cli.demo.client import Outcome, play
from app.cli.demo.day import midnight
from app.cli.demo.house import LARGE, SMALL, house
from app.cli.demo.statement import NANO, Book
from app.stores import read_totals
from tests.cli.demo.runs import database, morning, nine, some


async def test_requests_reach_the_fakes_through_the_gateway(tmp_path: Path) -> None:
    """All are answered, booked and kept; the small model did not think, because its config says so."""
    book, outcomes = Book(), list[Outcome]()
    async with house(book, nine(), database(tmp_path)) as place:
        await play(place.url, morning(some()), midnight(), place.clock, outcomes.append)
        seen = {name: fake.seen for name, fake in place.backends.items()}
    assert [one.arrival.request.kind for one in outcomes if not one.complete] == []
    assert seen[SMALL].completed + seen[LARGE].completed == len(some())
    assert seen[SMALL].peak_running == 1
    assert seen[SMALL].completion_tokens / seen[SMALL].completed < 200
    assert sum(read_totals(database(tmp_path)).outcomes.values()) == book.settled


@pytest.mark.parametrize("usd_per_hour", [5.0, 10.0])
async def test_the_price_moves_cost_and_baseline_as_the_arithmetic_says(usd_per_hour: float, tmp_path: Path) -> None:
    """Cost is minutes of the endpoint at its price beside what the small box costs; so is the baseline."""
    book = Book()
    hard = [request for request in some() if request.kind in ("math", "image", "over-long", "greeting")]
    async with house(book, nine(), database(tmp_path), usd_per_hour=usd_per_hour) as place:
        await play(place.url, morning(hard, every=60.0), midnight(), place.clock, lambda outcome: None)
        minutes = place.backends[LARGE].seen.minutes_billed
    paid = (book.ledger.of("compute") + book.ledger.of("idle")) / NANO
    assert minutes > 0
    assert len(book.minutes[LARGE]) in (minutes, minutes + 1)  # closing bills the begun one
    assert paid == pytest.approx(len(book.minutes[LARGE]) * usd_per_hour / 60, abs=1e-8)
    rest = (book.ledger.of("energy") + book.ledger.of("capex")) / NANO
    assert book.ledger.total / NANO == pytest.approx(paid + rest, abs=1e-9)
    in_minutes = book.baseline_nano / NANO / (usd_per_hour / 60)
    assert in_minutes == pytest.approx(round(in_minutes), abs=1e-6)
    assert in_minutes > 0


async def test_it_ends_with_its_context(tmp_path: Path) -> None:
    """The port is closed, the task done, the environment as before."""
    before = dict(os.environ)
    async with house(Book(), nine(), database(tmp_path)) as place:
        assert not place.stopped.done()
    assert place.stopped.done()
    assert dict(os.environ) == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(place.url.rpartition(":")[2]))


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine behind a proxy the large model of the demo is still on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    hard = [request for request in some() if request.kind == "over-long"]
    outcomes = list[Outcome]()
    async with house(Book(), nine(), database(tmp_path)) as place:
        await play(place.url, morning(hard), midnight(), place.clock, outcomes.append)
        assert place.backends[LARGE].seen.completed
