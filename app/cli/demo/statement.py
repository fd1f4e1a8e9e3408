"""What the day amounted to, from the gateway's own records; and whether everybody counted the same. Pure."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.backends.scripted import Seen
from app.cli.demo.client import Outcome
from app.cli.demo.requests import Request
from app.core.ledger import Ledger, entries_of
from app.core.types import Entry, Record
from app.stores import Totals

NANO = 1e9
HARD = frozenset({"math", "code"})  # kinds that we wrote to be hard, most of them
Tokens = tuple[int, int]  # input, output


@dataclass(slots=True)
class Book:
    """An `app.ports.Observer` that keeps what it is told. Once `closed` it keeps nothing more, as the demo may stay up
    for long. `minutes` are the clock minutes paid for, by backend, and `until` is the last of all."""

    records: dict[str, Record] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    baseline_nano: int = 0
    minutes: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    until: int = 0
    settled: int = 0
    closed: bool = False

    def on_settled(self, record: Record) -> None:
        if self.closed:
            return
        self.settled += 1
        self.records[record.request_id] = record
        self.ledger.book(entries_of(record))
        self.baseline_nano += record.baseline_nano or 0

    def on_entries(self, entries: Sequence[Entry]) -> None:
        if self.closed:
            return
        self.ledger.book(entries)
        for entry in entries:
            if entry.minute is not None:
                self.minutes[entry.backend].add(entry.minute)
                self.until = max(self.until, entry.minute)

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        if not self.closed:
            self.baseline_nano += nano_usd


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: what became of one kind of request. `hardest` is its highest score and whose."""

    name: str
    requests: int
    complete: int
    tiers: Mapping[str, int]
    reasons: Mapping[str, int]
    scores: tuple[float, ...]
    hardest: tuple[float, str] | None
    tokens: int

    @property
    def median(self) -> float | None:
        return statistics.median(self.scores) if self.scores else None


@dataclass(frozen=True, slots=True)
class Statement:
    """`requests` are people's questions; `shed` counts how often one of them was told to come back, which all did.

    `llm_share`: of the requests that the score decided; `llm_share_total`: of all that were answered;
    `llm_share_under_random`: what a router that knows nothing would have to send up of the former to catch as many of
    the hard kinds, which is the share of those that was caught: a coin catches what it sends. Times in ms, of the
    gateway's own work in real time (`overhead`, p50 and p99), of first tokens on the simulated clock (median by tier).
    """

    kinds: tuple[Kind, ...]
    requests: int
    complete: int
    left: int
    shed: int
    failed: int
    llm_share: float | None
    llm_share_total: float | None
    llm_share_under_random: float | None
    tokens: Tokens
    usd: Mapping[str, float]
    baseline_usd: float
    threshold: float | None
    overhead: tuple[float, float]
    first_token: Mapping[str, float]

    @property
    def cost_usd(self) -> float:
        return sum(self.usd.values())

    @property
    def saved_usd(self) -> float:
        return self.baseline_usd - self.cost_usd

    @property
    def idle_usd(self) -> float:
        return self.usd.get("idle", 0.0)


def state(outcomes: Sequence[Outcome], book: Book, llm: str) -> Statement:
    """`llm` is the name of the large tier."""
    told = [(one.arrival.request, book.records.get(one.ids[-1])) for one in outcomes]
    records = list(book.records.values())
    answered = [record for _, record in told if record and record.outcome == "ok"]
    by_kind: dict[str, list[tuple[Request, Record | None]]] = defaultdict(list)
    for request, record in told:
        by_kind[request.kind].append((request, record))
    return Statement(
        kinds=tuple(_kind(name, pairs) for name, pairs in sorted(by_kind.items())),
        requests=len(outcomes),
        complete=sum(one.complete for one in outcomes),
        left=sum(one.left for one in outcomes),
        shed=sum(one.shed for one in outcomes),
        failed=sum(one.failed for one in outcomes),
        llm_share=_share([one for one in answered if _scored(one)], llm),
        llm_share_total=_share(answered, llm),
        llm_share_under_random=_caught(told, llm),
        tokens=_tokens(records),
        usd=_usd(book.ledger),
        baseline_usd=book.baseline_nano / NANO,
        threshold=next((record.threshold for record in records if record.threshold is not None), None),
        overhead=_percentiles([record.overhead for record in answered]),
        first_token=_first_tokens(outcomes),
    )


def differences(
    outcomes: Sequence[Outcome], book: Book, seen: Mapping[str, Seen], metrics: str, kept: Totals
) -> list[str]:
    """One line for each number that two of client, records, metrics, database and backends do not agree on."""
    records = list(book.records.values())
    tries = sum(len(one.ids) for one in outcomes)
    left = [book.records.get(one.ids[-1]) for one in outcomes if one.left]
    whole = sum(one.complete for one in outcomes) + sum(one is not None and one.outcome == "ok" for one in left)
    spent = book.ledger.total / NANO
    pairs: list[tuple[str, float, float]] = [
        ("requests: sent, recorded", tries, len(records)),
        ("requests: recorded, settled", len(records), book.settled),
        ("requests: recorded, in /metrics", len(records), _metric(metrics, "requests_total")),
        ("requests: recorded, in the database", len(records), sum(kept.outcomes.values())),
        ("whole answers: received, recorded", whole, sum(one.outcome == "ok" for one in records)),
        ("cost: in the ledger, in /metrics", spent, _metric(metrics, "cost_usd_total")),
        ("cost: in the ledger, in the database", spent, sum(kept.accounts.values()) / NANO),
        ("baseline: told, in /metrics", book.baseline_nano / NANO, _metric(metrics, "baseline_cost_usd_total")),
        ("baseline: told, in the database", book.baseline_nano / NANO, kept.baseline_nano / NANO),
    ]
    for name, fake in seen.items():
        pairs += _of_backend(name, fake, records, metrics)
        if fake.management_calls:
            paid = len(book.minutes[name])
            pairs.append((f"{name}: minutes paid, billed by the endpoint", paid, fake.minutes_billed))
    return [f"{what}: {one:g} and {other:g}" for what, one, other in pairs if abs(one - other) > 1e-6]


def _of_backend(name: str, fake: Seen, records: Sequence[Record], metrics: str) -> Iterator[tuple[str, float, float]]:
    receipts = [receipt for record in records for receipt in record.receipts if receipt.backend == name]
    usages = [receipt.usage for receipt in receipts if receipt.usage and receipt.outcome == "ok"]
    aborted = sum(receipt.outcome == "cancelled" for receipt in receipts)
    booked = sum(_tokens(records, name))
    yield f"{name}: attempts recorded, requests seen by the backend", len(receipts), fake.requests
    yield f"{name}: answers recorded, completed by the backend", len(usages), fake.completed
    yield f"{name}: cancelled, aborts seen by the backend", aborted, fake.aborted
    yield (
        f"{name}: input tokens of answers, counted by the backend",
        sum(one.input for one in usages),
        fake.prompt_tokens,
    )
    yield (
        f"{name}: output tokens of answers, counted by the backend",
        sum(one.output for one in usages),
        fake.completion_tokens,
    )
    yield f"{name}: tokens recorded, in /metrics", booked, _metric(metrics, "tokens_total", backend=name)


def _usd(ledger: Ledger) -> dict[str, float]:
    kinds: Counter[str] = Counter()
    for (_, _, kind), nano in ledger.accounts.items():
        kinds[kind] += nano
    return {kind: nano / NANO for kind, nano in sorted(kinds.items())}


def _caught(told: Iterable[tuple[Request, Record | None]], llm: str) -> float | None:
    """Of the hard kinds, as far as the score decided, the share that went up."""
    hard = [record for request, record in told if request.kind in HARD and record and _scored(record)]
    return _share(hard, llm)


def _scored(record: Record) -> bool:
    return record.outcome == "ok" and record.reason == "score" and record.final_reason is None


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    return tuple(1000 * ordered[round(share * (len(ordered) - 1))] for share in (0.5, 0.99))  # type: ignore[return-value]


def _first_tokens(outcomes: Iterable[Outcome]) -> dict[str, float]:
    by_tier: dict[str, list[float]] = defaultdict(list)
    for one in outcomes:
        if one.tier is not None and one.first_token is not None and one.arrival.request.stream:
            by_tier[one.tier].append(one.first_token)
    return {tier: 1000 * statistics.median(times) for tier, times in sorted(by_tier.items())}


def _kind(name: str, pairs: Iterable[tuple[Request, Record | None]]) -> Kind:
    given = list(pairs)
    records = [record for _, record in given if record]
    scored = [(record.score, request.text) for request, record in given if record and record.score is not None]
    return Kind(
        name=name,
        requests=len(given),
        complete=sum(record.outcome == "ok" for record in records),
        tiers=Counter(record.tier or "none" for record in records),
        reasons=Counter(word for record in records for word in _why(record)),
        scores=tuple(sorted(score for score, _ in scored)),
        hardest=max(scored, default=None),
        tokens=sum(_tokens(records)),
    )


def _why(record: Record) -> Iterator[str]:
    yield record.final_reason or record.reason or record.error or "none"


def _share(records: Sequence[Record], llm: str) -> float | None:
    return sum(record.tier == llm for record in records) / len(records) if records else None


def _tokens(records: Iterable[Record], backend: str | None = None) -> Tokens:
    usages = [
        receipt.usage
        for record in records
        for receipt in record.receipts
        if receipt.usage and backend in (None, receipt.backend)
    ]
    return sum(usage.input for usage in usages), sum(usage.output for usage in usages)


def _metric(text: str, name: str, **labels: str) -> float:
    """The sum over the series of `smallfirst_<name>` that carry these labels."""
    total = 0.0
    for labelled, value in re.findall(rf"^smallfirst_{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE):
        given = dict(re.findall(r'(\w+)="([^"]*)"', labelled))
        if labels.items() <= given.items():
            total += float(value)
    return total
