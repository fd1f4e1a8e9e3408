"""`smallfirst demo`: build the house, send the requests, tell what became of them, compare all counts."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.cli.demo.house import House
    from app.cli.demo.requests import Request
    from app.cli.demo.statement import Book

SETTLING = 5.0  # seconds; a stream is booked a moment after its client has read the end


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the run instead of staying up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Run the gateway on two scripted backends and send it 104 requests. Needs nothing installed."""
    raise typer.Exit(asyncio.run(_demo(once, as_json)))


async def _demo(once: bool, as_json: bool) -> int:
    from app.cli.demo import show
    from app.cli.demo.house import house
    from app.cli.demo.requests import load
    from app.cli.demo.statement import Book

    requests, book = load(), Book()
    async with house(book) as place:
        sent = await _sent(place, requests)
        ok = await _told(place, requests, book, sent, as_json)
        if not once:
            print(show.how_to_use(place.url), file=sys.stderr if as_json else sys.stdout, flush=True)
            await place.stopped
    return 0 if ok else 1


async def _sent(place: House, requests: Sequence[Request]) -> list[bool]:
    """Raises KeyboardInterrupt if the gateway is stopped before the end: it is the one who takes the signals."""
    from rich.console import Console
    from rich.progress import Progress

    from app.cli.demo.client import send_all

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("requests", total=len(requests))
        sending = asyncio.create_task(send_all(place.url, requests, lambda: progress.advance(bar)))
        await asyncio.wait({sending, place.stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            sending.cancel()
            raise KeyboardInterrupt
        return await sending


async def _told(place: House, requests: Sequence[Request], book: Book, sent: list[bool], as_json: bool) -> bool:
    """Print the statement; True if nothing failed and everybody counted the same."""
    import json

    from rich.console import Console

    from app.cli.demo import show
    from app.cli.demo.client import scrape
    from app.cli.demo.house import LLM
    from app.cli.demo.statement import differences, state

    await _settled(book, len(sent))
    seen = {name: fake.seen for name, fake in place.backends.items()}
    metrics = await scrape(place.url)
    book.closed = True
    problems = differences(sent, book, seen, metrics)
    statement = state(requests, book, LLM)
    if as_json:
        print(json.dumps(show.as_json(statement, problems), ensure_ascii=False), flush=True)
    else:
        show.tell(Console(), statement, problems)
    return not problems and not statement.failed


async def _settled(book: Book, wanted: int) -> None:
    """Wait for the last record; if one never comes, the comparison will say so."""
    for _ in range(round(SETTLING / 0.01)):
        if book.settled >= wanted:
            return
        await asyncio.sleep(0.01)
