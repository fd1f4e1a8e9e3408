"""The view while the day passes: what a dashboard would show, on the simulated clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.cli.demo.client import Outcome
from app.cli.demo.house import LARGE, LLM, SMALL, House
from app.cli.demo.statement import NANO, Book

EVERY = 0.1  # real seconds


async def watch(console: Console, house: House, book: Book, outcomes: Sequence[Outcome], total: int) -> None:
    """Until cancelled."""
    with Live(console=console, refresh_per_second=10, transient=True) as live:
        while True:
            live.update(view(house, book, len(outcomes), total))
            await asyncio.sleep(EVERY)


def view(house: House, book: Book, done: int, total: int) -> Table:
    """Two columns of name and value."""
    spent, baseline = book.ledger.total / NANO, book.baseline_nano / NANO
    records = list(book.records.values())
    scored = [one for one in records if one.reason == "score" and one.outcome == "ok" and one.final_reason is None]
    share = sum(one.tier == LLM for one in scored) / len(scored) if scored else 0.0
    small, endpoint = house.backends.get(SMALL), house.backends[LARGE].endpoint
    queue = f"{small.seen.running} running at the small model" if small else "the small model is real"
    rows = (
        ("time", datetime.fromtimestamp(house.clock.utc(), UTC).strftime("%H:%M"), "requests", f"{done} of {total}"),
        ("share", f"{share:.1%} to the large model", "queue", queue),
        ("spent", f"{spent:.2f} USD", "baseline", f"{baseline:.2f} USD"),
        ("saved", f"{baseline - spent:.2f} USD", "idle", f"{book.ledger.of('idle') / NANO:.2f} USD"),
        ("endpoint", endpoint.state if endpoint else "-", "its minutes", f"{len(book.minutes[LARGE])}"),
    )
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for row in rows:
        table.add_row(*row)
    return table
