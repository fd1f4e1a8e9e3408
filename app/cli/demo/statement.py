"""What the run amounted to, from the gateway's own records; and whether everybody counted the same. Pure."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.backends.scripted import Seen
from app.cli.demo.client import request_id
from app.cli.demo.requests import Request
from app.core.types import Entry, Record

NANO = 1e9
Tokens = tuple[int, int]  # input, output


@dataclass(slots=True)
class Book:
    """An `app.ports.Observer` that keeps what it is told: records by request id, nano-dollars by kind of cost.

    Once `closed` it keeps nothing more, as the demo may stay up for long.
    """

    records: dict[str, Record] = field(default_factory=dict)
    nano_usd: Counter[str] = field(default_factory=Counter)
    settled: int = 0
    closed: bool = False

    def on_settled(self, record: Record) -> None:
        if self.closed:
            return
        self.settled += 1
        self.records[record.request_id] = record
        for receipt in record.receipts:
            if receipt.nano_usd is not None:
                self.nano_usd["tokens"] += receipt.nano_usd

    def on_entries(self, entries: Sequence[Entry]) -> None:
        if not self.closed:
            for entry in entries:
                self.nano_usd[entry.kind] += entry.nano_usd

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        """Nothing yet."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: what became of one kind of request. `hardest` is its highest score and whose."""

    name: str
    requests: int
    failed: int
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
    """`llm_share`: of the requests that the score decided; `llm_share_total`: of all that were answered."""

    kinds: tuple[Kind, ...]
    requests: int
    failed: int
    llm_share: float | None
    llm_share_total: float | None
    tokens: Tokens
    usd: Mapping[str, float]
    threshold: float | None

    @property
    def cost_usd(self) -> float:
        return sum(self.usd.values())


def state(requests: Sequence[Request], book: Book, llm: str) -> Statement:
    """`llm` is the name of the large tier."""
    told = [(one, book.records.get(request_id(number))) for number, one in enumerate(requests)]
    records = [record for _, record in told if record]
    answered = [record for record in records if record.outcome == "ok"]
    by_kind: dict[str, list[tuple[Request, Record | None]]] = defaultdict(list)
    for request, record in told:
        by_kind[request.kind].append((request, record))
    return Statement(
        kinds=tuple(_kind(name, pairs) for name, pairs in by_kind.items()),
        requests=len(told),
        failed=len(told) - len(answered),
        llm_share=_share([one for one in answered if one.reason == "score" and one.final_reason is None], llm),
        llm_share_total=_share(answered, llm),
        tokens=_tokens(records),
        usd={kind: nano / NANO for kind, nano in sorted(book.nano_usd.items())},
        threshold=next((record.threshold for record in records if record.threshold is not None), None),
    )


def differences(sent: Sequence[bool], book: Book, seen: Mapping[str, Seen], metrics: str) -> list[str]:
    """One line for each number that two of client, records, metrics and backends do not agree on."""
    records = list(book.records.values())
    pairs: list[tuple[str, float, float]] = [
        ("requests: sent, recorded", len(sent), len(records)),
        ("requests: recorded, settled", len(records), book.settled),
        ("whole answers: received, recorded", sum(sent), sum(one.outcome == "ok" for one in records)),
        ("requests: recorded, in /metrics", len(records), _metric(metrics, "requests_total")),
    ]
    for name, fake in seen.items():
        receipts = [receipt for record in records for receipt in record.receipts if receipt.backend == name]
        booked, said = _tokens(records, name), (fake.prompt_tokens, fake.completion_tokens)
        counted = _metric(metrics, "tokens_total", backend=name)
        pairs += [
            (f"{name}: attempts recorded, requests seen by the backend", len(receipts), fake.requests),
            (f"{name}: input tokens recorded, counted by the backend", booked[0], said[0]),
            (f"{name}: output tokens recorded, counted by the backend", booked[1], said[1]),
            (f"{name}: tokens recorded, in /metrics", sum(booked), counted),
        ]
    spent = book.nano_usd["tokens"] / NANO
    pairs.append(("cost of tokens: recorded, in /metrics", spent, _metric(metrics, "cost_usd_total", kind="tokens")))
    return [f"{what}: {one:g} and {other:g}" for what, one, other in pairs if abs(one - other) > 1e-6]


def _kind(name: str, pairs: Iterable[tuple[Request, Record | None]]) -> Kind:
    given = list(pairs)
    records = [record for _, record in given if record]
    scored = [(record.score, request.text) for request, record in given if record and record.score is not None]
    return Kind(
        name=name,
        requests=len(given),
        failed=len(given) - sum(record.outcome == "ok" for record in records),
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
