"""`smallfirst demo`: build the house, play the day, tell what became of it, compare all counts."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.cli.demo.client import Outcome
    from app.cli.demo.day import Arrival
    from app.cli.demo.house import House
    from app.cli.demo.statement import Book

SETTLING = 5.0  # real seconds; a stream is booked a moment after its client has read the end


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the run instead of staying up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Play eight hours of a working day through the gateway in about a minute. Needs nothing installed."""
    raise typer.Exit(asyncio.run(_demo(once, as_json)))


async def _demo(once: bool, as_json: bool) -> int:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from app.cli.demo import show
    from app.cli.demo.clock import SimClock
    from app.cli.demo.day import START, arrivals, midnight
    from app.cli.demo.house import house
    from app.cli.demo.requests import load
    from app.cli.demo.statement import Book

    day, book = arrivals(load()), Book()
    with TemporaryDirectory(prefix="smallfirst-demo-") as folder:
        clock = SimClock(midnight() + START)
        async with house(book, clock, Path(folder) / "records.db") as place:
            outcomes = await _played(place, book, day)
            await _settled(place, book, outcomes)
            ok = await _told(place, book, outcomes, as_json)
            if not once:
                clock.in_real_time()
                print(show.how_to_use(place.url), file=sys.stderr if as_json else sys.stdout, flush=True)
                await place.stopped
    return 0 if ok else 1


async def _played(place: House, book: Book, day: Sequence[Arrival]) -> list[Outcome]:
    """Raises KeyboardInterrupt if the gateway is stopped before the end: it is the one who takes the signals."""
    from rich.console import Console

    from app.cli.demo.client import play
    from app.cli.demo.day import midnight
    from app.cli.demo.live import watch
    from app.main.background import running

    console = Console(stderr=True)
    outcomes: list[Outcome] = []
    console.print("Eight hours of a working day in about a minute, on a simulated clock.", highlight=False)
    views = [watch(console, place, book, outcomes, len(day))] if console.is_terminal else []
    async with running(*views):
        playing = asyncio.create_task(play(place.url, day, midnight(), place.clock, outcomes.append))
        await asyncio.wait({playing, place.stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            raise KeyboardInterrupt
        await playing
        return outcomes


async def _told(place: House, book: Book, outcomes: Sequence[Outcome], as_json: bool) -> bool:
    """Print the statement; True if nothing failed and everybody counted the same."""
    import json

    from rich.console import Console

    from app.cli.demo import show
    from app.cli.demo.client import scrape
    from app.cli.demo.house import LLM
    from app.cli.demo.statement import differences, state
    from app.stores import read_totals

    seen = {name: fake.seen for name, fake in place.backends.items()}
    metrics, kept = await scrape(place.url), read_totals(place.records)
    problems = differences(outcomes, book, seen, metrics, kept)
    statement = state(outcomes, book, LLM)
    if as_json:
        print(json.dumps(show.as_json(statement, problems), ensure_ascii=False), flush=True)
    else:
        show.tell(Console(), statement, problems)
    return not problems and not statement.failed


async def _settled(place: House, book: Book, outcomes: Sequence[Outcome]) -> None:
    """Let the day end, then wait for the last record; if one never comes, the comparison will say so."""
    from app.cli.demo.day import END, midnight
    from app.stores import read_totals

    end = midnight() + END
    await place.clock.sleep(end + 1.0 - place.clock.utc())
    tries = sum(len(one.ids) for one in outcomes)
    for _ in range(round(SETTLING / 0.01)):
        if book.settled >= tries and book.until >= end // 60 - 1:
            break
        await asyncio.sleep(0.01)
    book.closed = True
    place.clock.stop()
    for _ in range(round(SETTLING / 0.05)):
        if sum(read_totals(place.records).accounts.values()) >= book.ledger.total:
            return
        await asyncio.sleep(0.05)
