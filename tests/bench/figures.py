"""From measured segments to the tables that are printed: medians, spreads, ratios, and the bounds we hold ourselves to.

Differences and ratios are taken between segments of the same round, which follow one another within seconds, and only
then is the median taken: a neighbour who slows a round down slows both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SOAK = 50_000  # requests after which the bounds of memory are judged
JSON, STREAM = "JSON request", "streamed chunk"
CONNECTIONS = {JSON: (1, 16, 64), STREAM: (16, 64)}
# At most so many times what the peer uses, for 16 and 64 at once: one at a time all mostly wake up and fall asleep.
RATIOS = {
    (JSON, "nginx"): 22,
    (JSON, "litellm"): 1 / 22,
    (JSON, "portkey"): 1 / 3,
    (STREAM, "nginx"): 3,
    (STREAM, "litellm"): 1 / 12,
}
FIRST_MS, RSS_MB, GROWTH_MB = 1.0, 80.0, 2.0


@dataclass(frozen=True)
class Segment:
    """One target under one load in one round."""

    target: str
    kind: str
    connections: int
    cpu_us: float  # per request or chunk, scaled
    p50_ms: float
    p99_ms: float
    first_ms: float  # median
    first_scaled_ms: float  # the same on a core of the reference's speed
    per_second: float
    finished: int
    errors: int


@dataclass(frozen=True)
class Memory:
    """Of a target's process tree before and after the soak."""

    before_mb: float
    after_mb: float
    requests: int

    @property
    def growth_mb(self) -> float:
        return self.after_mb - self.before_mb


NOTHING = Memory(math.nan, math.nan, 0)


class Spread(NamedTuple):
    """A median with what it is the median of."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values)) if values else cls(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Measured:
    ours: Sequence[str]
    peers: Sequence[str]
    segments: Sequence[Segment]  # by round
    memory: Mapping[str, Memory]

    def values(self, target: str, kind: str, connections: int, what: str) -> list[float]:
        """One a round."""
        return [
            getattr(one, what)
            for one in self.segments
            if (one.target, one.kind, one.connections) == (target, kind, connections)
        ]

    def added(self, target: str, kind: str, connections: int, what: str) -> Spread:
        """What `target` adds to the upstream's own time."""
        pairs = zip(*(self.values(one, kind, connections, what) for one in (target, "direct")), strict=True)
        return Spread.of([theirs - bare for theirs, bare in pairs])

    def ratio(self, target: str, peer: str, kind: str, connections: int) -> Spread:
        pairs = zip(*(self.values(one, kind, connections, "cpu_us") for one in (target, peer)), strict=True)
        return Spread.of([ours / theirs if theirs else math.nan for ours, theirs in pairs])

    def sum(self, target: str, what: str) -> int:
        return sum(getattr(one, what) for one in self.segments if one.target == target)


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int((len(values) - 1) * share)] if values else math.nan


# ------------------------------------------------------------------ what is printed
def number(value: float) -> str:
    """Three digits that mean something."""
    return "-" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(value: float) -> str:
    """A ratio; below one as the part it is."""
    return f"1/{number(1 / value)}" if 0 < value < 1 else number(value)


def told(spread: Spread, tell: Callable[[float], str] = number) -> str:
    if math.isnan(spread.middle):
        return "-"
    if spread.low == spread.high:
        return tell(spread.middle)
    return f"{tell(spread.middle)} [{tell(spread.low)}, {tell(spread.high)}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(measured: Measured) -> str:
    """A row for each figure, a column for each target; of the upstream itself what others add to."""
    targets = [*measured.peers, *measured.ours]
    at_once = CONNECTIONS[JSON]

    def used(kind: str, at: int) -> list[str]:
        cells = (told(Spread.of(measured.values(one, kind, at, "cpu_us"))) for one in targets)
        return [f"CPU us per {kind}, {at} at once", "", *cells]

    def added(label: str, kind: str, at: int, what: str) -> list[str]:
        bare = told(Spread.of(measured.values("direct", kind, at, what)))
        return [f"added ms, {label}", bare, *(told(measured.added(one, kind, at, what)) for one in targets)]

    def speed(at: int) -> list[str]:
        cells = (told(Spread.of(measured.values(one, JSON, at, "per_second"))) for one in ("direct", *targets))
        return [f"JSON requests/s, {at} at once", *cells]

    def memory(label: str, tell: Callable[[Memory], str]) -> list[str]:
        return [label, "", *(tell(measured.memory[one]) for one in targets)]

    def counted(label: str, what: str) -> list[str]:
        return [label, *(f"{measured.sum(one, what):,}" for one in ("direct", *targets))]

    rows = [
        *(used(kind, at) for kind, at in _loads()),
        *(added(f"p50, {at} at once", JSON, at, "p50_ms") for at in at_once),
        *(added(f"p99, {at} at once", JSON, at, "p99_ms") for at in at_once),
        added("first token", STREAM, 1, "first_ms"),
        added("first token, scaled", STREAM, 1, "first_scaled_ms"),
        *(speed(at) for at in at_once),
        memory("RSS MB after the soak", lambda seen: number(seen.after_mb)),
        memory("growth MB in the soak", lambda seen: number(seen.growth_mb)),
        memory("requests in the soak", lambda seen: f"{seen.requests:,}"),
        counted("right answers before it", "finished"),
        counted("wrong answers", "errors"),
    ]
    return table(["", "direct", *targets], rows)


def bounds(measured: Measured) -> str:
    """A row for each ratio and bound, a column for each way to run our own."""

    def row(label: str, limit: float | None, tell: Callable[[float], str], spreads: Iterable[Spread]) -> list[str]:
        cells = (f"{told(one, tell)} {verdict(one.middle, limit)}".rstrip() for one in spreads)
        return [label, "" if limit is None else f"at most {tell(limit)}", *cells]

    def ratio(kind: str, at: int, peer: str) -> list[str]:
        limit = RATIOS.get((kind, peer)) if at > 1 else None
        spreads = (measured.ratio(one, peer, kind, at) for one in measured.ours)
        return row(f"CPU per {kind}, {at} at once, to {peer}", limit, times, spreads)

    memory = [measured.memory[one] for one in measured.ours]
    soaked = [seen if seen.requests >= SOAK else NOTHING for seen in memory]  # nothing is judged before its time
    rows = [
        *(ratio(kind, at, peer) for kind, at in _loads() for peer in measured.peers),
        row(
            "added ms, first token, scaled",
            FIRST_MS,
            number,
            (measured.added(one, STREAM, 1, "first_scaled_ms") for one in measured.ours),
        ),
        row(f"RSS MB after {SOAK:,} requests", RSS_MB, number, (Spread.of([seen.after_mb]) for seen in soaked)),
        row("growth MB over them", GROWTH_MB, number, (Spread.of([seen.growth_mb]) for seen in soaked)),
    ]
    return table(["", "bound", *measured.ours], rows)


def verdict(value: float, limit: float | None) -> str:
    if limit is None or math.isnan(value):
        return ""
    return "holds" if value <= limit else "**missed**"


def _loads() -> list[tuple[str, int]]:
    return [(kind, at) for kind, some in CONNECTIONS.items() for at in some]
