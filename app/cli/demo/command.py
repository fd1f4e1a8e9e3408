"""`smallfirst demo`: build the house, play the day, tell what became of it, compare all counts.

With `--real` the house has a real small model, and the day is a few requests of each kind, as fast as that answers.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.cli.demo.client import Outcome
    from app.cli.demo.day import Arrival
    from app.cli.demo.house import House
    from app.cli.demo.real import Real
    from app.cli.demo.statement import Book

SETTLING = 5.0  # real seconds; a stream is booked a moment after its client has read the end


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the run instead of staying up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    real: Annotated[
        bool, typer.Option("--real", help="A real small model: a running Ollama's, else llama-server from PATH.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="With --real: file.gguf or hf://owner/repo/file.gguf for llama-server."),
    ] = None,
) -> None:
    """Play eight hours of a working day through the gateway in about a minute. Needs nothing installed."""
    if model is not None and not real:
        raise typer.BadParameter("--model names the real small model: it needs --real")
    raise typer.Exit(asyncio.run(_real(once, as_json, model) if real else _demo(once, as_json)))


async def _demo(once: bool, as_json: bool) -> int:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from app.cli.demo.clock import SimClock
    from app.cli.demo.day import START, arrivals, midnight
    from app.cli.demo.house import house
    from app.cli.demo.requests import load
    from app.cli.demo.statement import Book

    day, book = arrivals(load()), Book()
    with TemporaryDirectory(prefix="smallfirst-demo-") as folder:
        clock = SimClock(midnight() + START)
        async with house(book, clock, Path(folder) / "records.db") as place:
            _say("Eight hours of a working day in about a minute, on a simulated clock.")
            outcomes = await _played(place, book, day)
            await _ended(place, book)
            await _settled(place, book, outcomes)
            ok = await _told(place, book, outcomes, as_json)
            await _stay(place, once, as_json)
    return 0 if ok else 1


async def _real(once: bool, as_json: bool, model: str | None) -> int:
    import os
    import time
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from app.backends.llama.launch import Cannot
    from app.cli.demo.real import awake, day, find, measured, real_house
    from app.cli.demo.requests import load
    from app.cli.demo.statement import Book

    requests, book = day(load()), Book()
    try:
        box = await find(os.environ, model)
        with TemporaryDirectory(prefix="smallfirst-demo-") as folder:
            async with real_house(box, book, Path(folder) / "records.db", os.environ) as place:
                _say(f"The small model is real: {box}. The large one is scripted.")
                await awake(place, _say)
                began = time.monotonic()
                outcomes = await _played(place, book, requests, box.at_once)
                seconds = time.monotonic() - began
                await _settled(place, book, outcomes)
                real = measured(box, list(book.records.values()), seconds)
                ok = await _told(place, book, outcomes, as_json, real)
                await _stay(place, once, as_json)
    except Cannot as why:
        _say(str(why))
        return 1
    return 0 if ok else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _played(place: House, book: Book, day: Sequence[Arrival], at_once: int | None = None) -> list[Outcome]:
    """`at_once`: so many people ask in turn, else each comes at its time. Raises KeyboardInterrupt if the gateway is
    stopped before the end: it is the one who takes the signals."""
    from rich.console import Console

    from app.cli.demo.client import play, play_in_turn
    from app.cli.demo.day import midnight
    from app.cli.demo.live import watch
    from app.main.background import running

    console = Console(stderr=True)
    outcomes: list[Outcome] = []
    views = [watch(console, place, book, outcomes, len(day))] if console.is_terminal else []
    async with running(*views):
        going = (
            play(place.url, day, midnight(), place.clock, outcomes.append)
            if at_once is None
            else play_in_turn(place.url, day, at_once, place.clock, outcomes.append)
        )
        playing = asyncio.create_task(going)
        await asyncio.wait({playing, place.stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            raise KeyboardInterrupt
        await playing
        return outcomes


async def _stay(place: House, once: bool, as_json: bool) -> None:
    """Until Ctrl-C, unless `once`."""
    from app.cli.demo import show

    if not once:
        place.clock.in_real_time()
        print(show.how_to_use(place.url), file=sys.stderr if as_json else sys.stdout, flush=True)
        await place.stopped


async def _told(place: House, book: Book, outcomes: Sequence[Outcome], as_json: bool, real: Real | None = None) -> bool:
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
        print(json.dumps(show.as_json(statement, problems, real), ensure_ascii=False), flush=True)
    else:
        show.tell(Console(), statement, problems, real)
    return not problems and not statement.failed


async def _ended(place: House, book: Book) -> None:
    """Let the day end, with the minutes that are paid for."""
    from app.cli.demo.day import END, midnight

    end = midnight() + END
    await place.clock.sleep(end + 1.0 - place.clock.utc())
    await _until(lambda: book.until >= end // 60 - 1)


async def _until(done: Callable[[], bool]) -> None:
    """Or until SETTLING has passed."""
    for _ in range(round(SETTLING / 0.01)):
        if done():
            return
        await asyncio.sleep(0.01)


async def _settled(place: House, book: Book, outcomes: Sequence[Outcome]) -> None:
    """Wait for the last record; if one never comes, the comparison will say so."""
    from app.stores import read_totals

    tries = sum(len(one.ids) for one in outcomes)
    await _until(lambda: book.settled >= tries)
    book.closed = True
    place.clock.stop()
    for _ in range(round(SETTLING / 0.05)):
        kept = read_totals(place.records)  # what was asked last may have cost nothing
        if sum(kept.outcomes.values()) >= book.settled and sum(kept.accounts.values()) >= book.ledger.total:
            return
        await asyncio.sleep(0.05)
