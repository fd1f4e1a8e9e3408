"""What each panel of the board must show, worked out from the gateway's records alone.

Expected values are by label, as in `Shown`; what is 0 is left out where a panel adds up by labels.
"""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from app.stores import read_totals
from app.telemetry.metrics import LONG, PIECES, SHORT, UNIT

Key = frozenset[tuple[str, str]]
Shown = dict[Key, float]
NANO = 1e9
FAILED = ("upstream-error", "internal-error", "aborted")
SUMS = {  # titles of panels that count what a query of the records counts, by the labels in its first columns
    "Tokens": (
        ("tier", "kind"),
        "SELECT tier, 'input', sum(input - cached) FROM attempts GROUP BY 1 UNION ALL "
        "SELECT tier, 'cached', sum(cached) FROM attempts GROUP BY 1 UNION ALL "
        "SELECT tier, 'output', sum(output) FROM attempts GROUP BY 1",
    ),
    "Attempts without a price": ((), "SELECT count(*) FROM attempts WHERE backend = 'free'"),
    "Attempts without a price, by backend": (
        ("backend",),
        "SELECT backend, count(*) FROM attempts WHERE backend = 'free' GROUP BY 1",
    ),
    "Decided by the score": ((), "SELECT count(*) FROM requests WHERE reason = 'score' AND outcome = 'ok'"),
    "Why a tier was chosen": (
        ("reason", "tier"),
        "SELECT reason, tier, count(*) FROM requests WHERE outcome = 'ok' GROUP BY 1, 2",
    ),
    "Turned away": (("reason",), "SELECT error, count(*) FROM requests WHERE outcome = 'shed' GROUP BY 1"),
    "Requests": ((), "SELECT count(*) FROM requests"),
    "Bugs of ours": ((), "SELECT count(*) FROM requests WHERE outcome = 'internal-error'"),
    "Requests by outcome": (("outcome",), "SELECT outcome, count(*) FROM requests GROUP BY 1"),
    "Failed attempts by backend": (
        ("backend", "outcome"),
        "SELECT backend, outcome, count(*) FROM attempts WHERE outcome NOT IN ('ok', 'cancelled') GROUP BY 1, 2",
    ),
    "Broken streams": (("reason",), "SELECT error, count(*) FROM requests WHERE outcome = 'aborted' GROUP BY 1"),
}


class Waits(NamedTuple):
    """Where the observations behind a quantile are in the records."""

    label: str | None
    query: str
    bounds: tuple[float, ...]
    quantile: float


def waits(column: str, bounds: tuple[float, ...], quantile: float) -> Waits:
    return Waits("tier", f"SELECT coalesce(tier, 'none'), {column} FROM requests", bounds, quantile)


def own(column: str) -> Waits:
    return Waits(None, f"SELECT '', {column} FROM requests", SHORT, 0.95)


QUANTILES: dict[str, list[Waits]] = {
    "First token": [waits("first_token", LONG, 0.5), waits("first_token", LONG, 0.95)],
    "Whole answer, 95 %": [waits("seconds", LONG, 0.95)],
    "Between two pieces of a stream, median": [waits("inter_token", PIECES, 0.5)],
    "The gateway's own time, 95 %": [own("overhead"), own("classify")],
    "Wait for a slot, 95 %": [Waits("backend", "SELECT backend, queued FROM attempts", LONG, 0.95)],
}


def key(**labels: str) -> Key:
    return frozenset(labels.items())


class Books:
    """The records of a running gateway, whose tiers are slm and llm."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def close(self) -> None:
        self.db.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.db.execute(query).fetchall()

    def spent(self) -> float:
        return sum(read_totals(self.path).accounts.values()) / NANO

    def baseline(self) -> float:
        return read_totals(self.path).baseline_nano / NANO

    def costs(self, *labels: str) -> Shown:
        """By some of tier, backend and kind."""
        sums: dict[Key, float] = defaultdict(float)
        for account, nano in read_totals(self.path).accounts.items():
            named = dict(zip(("tier", "backend", "kind"), account, strict=True))
            sums[key(**{label: named[label] for label in labels})] += nano / NANO
        return dict(sums)

    def share(self) -> float:
        decided = self.rows("SELECT tier = 'llm' FROM requests WHERE reason = 'score' AND outcome = 'ok'")
        return sum(large for (large,) in decided) / len(decided)

    def failed(self) -> float:
        outcomes = [one for (one,) in self.rows("SELECT outcome FROM requests")]
        counted = [one for one in outcomes if one not in ("client-error", "cancelled")]
        return sum(one in FAILED for one in counted) / len(counted)

    def scores(self) -> Shown:
        """How many are at or below each bound, and how many there are."""
        counts = [0] * (len(UNIT) + 1)
        for (score,) in self.rows("SELECT score FROM requests WHERE score IS NOT NULL"):
            counts[bisect_left(UNIT, score)] += 1
        bounds = [*map(str, map(float, UNIT)), "+Inf"]
        return {key(le=bound): count for bound, count in zip(bounds, accumulate(counts), strict=True) if count}

    def counted(self, title: str) -> Shown:
        labels, query = SUMS[title]
        shown = {key(**dict(zip(labels, row[:-1], strict=True))): float(row[-1] or 0) for row in self.rows(query)}
        return {one: value for one, value in shown.items() if value or not labels}

    def within(self, wanted: Waits) -> dict[Key, tuple[float, float]]:
        """Between which bounds each quantile lies: those around the observation of its rank."""
        seen: dict[Key, list[float]] = defaultdict(list)
        for value, seconds in self.rows(wanted.query):
            if seconds is not None:
                seen[key(**({wanted.label: value} if wanted.label else {}))].append(seconds)
        return {one: _around(sorted(values), wanted) for one, values in seen.items()}


def _around(values: list[float], wanted: Waits) -> tuple[float, float]:
    edges = (0.0, *wanted.bounds, math.inf)
    place = bisect_left(wanted.bounds, values[math.ceil(wanted.quantile * len(values)) - 1])
    return edges[place], edges[place + 1]


MONEY: dict[str, Callable[[Books], list[Shown]]] = {
    "Saved": lambda books: [{key(): books.baseline() - books.spent()}],
    "Saved of the baseline": lambda books: [{key(): 1 - books.spent() / books.baseline()}],
    "Spent": lambda books: [{key(): books.spent()}],
    "Without routing": lambda books: [{key(): books.baseline()}],
    "Spent, and without routing, by the hour": lambda books: [{key(): books.spent()}, {key(): books.baseline()}],
    "Cost by kind, by the hour": lambda books: [books.costs("kind")],
    "Cost by tier, backend and kind": lambda books: [books.costs("tier", "backend", "kind")],
}
RATIOS: dict[str, Callable[[Books], list[Shown]]] = {
    "Share of the large model": lambda books: [{key(): books.share()}],
    "Share against target": lambda books: [{key(): books.share()}, {key(): 0.25}],
    "Failed": lambda books: [{key(): books.failed()}],
    "Scores": lambda books: [books.scores()],
}


def expected(books: Books, titles: Iterable[str]) -> dict[str, list[Shown]]:
    """For each of these panels, by target."""
    ways = MONEY | RATIOS
    return {title: ways[title](books) if title in ways else [books.counted(title)] for title in titles}
