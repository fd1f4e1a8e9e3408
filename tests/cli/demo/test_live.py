"""The view while the day passes."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from app.cli.demo.house import house
from app.cli.demo.live import view
from app.cli.demo.statement import Book
from app.core.types import Entry
from tests.cli.demo.runs import database, nine
from tests.telemetry.examples import a_record


async def test_it_shows_what_a_dashboard_would(tmp_path: Path) -> None:
    """Time, share, money, queue and the endpoint's state, before anything has happened and after."""
    book, out = Book(), io.StringIO()
    async with house(book, nine(), database(tmp_path)) as place:
        console = Console(file=out, width=100)
        console.print(view(place, book, 0, 10))
        book.on_settled(a_record(tier="llm"))
        book.on_entries([Entry("llm", "large", "idle", 1_500_000_000, "p", minute=1)])
        console.print(view(place, book, 1, 10))
    shown = out.getvalue()
    assert "09:0" in shown
    for words in ("1 of 10", "100.0% to the large model", "1.50 USD", "-1.50 USD", "scaledToZero", "queue", "baseline"):
        assert words in shown
