"""Prometheus metrics: what settled requests add up to, and how the lanes stand at the moment of a scrape.

The hot path only adds to plain dicts keyed by label values; families, label strings and totals are made when
somebody scrapes. Money is summed in integer nano-dollars and becomes floating USD only there, so counters
agree with the ledger. Nothing that a client sends becomes a label: words are clamped to closed sets, tiers
and backends are names of the configuration. Every sum over labels means something, so `input` tokens exclude
`cached` ones.

`Metrics` is fed by one thread; `render` may run in another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.core.ledger import Ledger, entries_of
from app.core.types import STATES, CostKind, Entry, Receipt, Record, State
from app.telemetry import closed
from app.telemetry.closed import clamp

LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
SHORT = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1)
PIECES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
UNIT = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)

Labels = tuple[str, ...]
Counts = defaultdict[Labels, int]


@dataclass(frozen=True, slots=True)
class LaneNow:
    """One lane: `backend` is its backend's name, or that of the host which several share. At most `slots` are inflight
    and `queue` waiting."""

    backend: str
    inflight: int
    waiting: int
    slots: int
    queue: int


@dataclass(frozen=True, slots=True)
class BackendNow:
    """One configured backend, the tiers it stands in, and `app.core.prices.kinds` of its price."""

    name: str
    tiers: tuple[str, ...]
    state: State
    kinds: tuple[CostKind, ...]


@dataclass(frozen=True, slots=True)
class Now:
    """What the process looks like at a scrape. `llm_share` None: the threshold is fixed by configuration."""

    router: str
    threshold: float | None
    llm_share: float | None
    lanes: tuple[LaneNow, ...] = ()
    backends: tuple[BackendNow, ...] = ()
    log_dropped: int = 0
    records_dropped: int = 0


class Histogram:
    """Counts per bucket and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        names = [*map(str, map(float, self.bounds)), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class Histograms(dict[str, Histogram]):
    """One histogram per value of a single label."""

    __slots__ = ("bounds",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self.bounds = bounds

    def __missing__(self, label: str) -> Histogram:
        return self.setdefault(label, Histogram(self.bounds))


class Metrics:
    """An `app.ports.Observer`. `unpriced` names the backends whose price is stated as unknown, `baseline` what the bill
    is compared with, if anything. The cost counters are `ledger` itself."""

    def __init__(self, version: str) -> None:
        self.unpriced: Collection[str] = ()
        self.baseline: str | None = None
        self.ledger = Ledger()
        self._version = version
        self._requests: Counts = defaultdict(int)
        self._attempts: Counts = defaultdict(int)
        self._tokens: Counts = defaultdict(int)
        self._baseline: Counts = defaultdict(int)  # nano-dollars
        self._unpriced: Counts = defaultdict(int)
        self._shed: Counts = defaultdict(int)
        self._aborts: Counts = defaultdict(int)
        self._truncated: Counts = defaultdict(int)
        self._unhonoured: Counts = defaultdict(int)
        self._reloads: Counts = defaultdict(int)
        self._router_failures = 0
        self._duration = Histograms(LONG)
        self._first_token = Histograms(LONG)
        self._inter_token = Histograms(PIECES)
        self._queue_wait = Histograms(LONG)
        self._overhead = Histogram(SHORT)
        self._classify = Histogram(SHORT)
        self._score = Histogram(UNIT)

    def on_settled(self, record: Record) -> None:
        tier = record.tier or closed.NONE
        outcome = clamp(record.outcome, closed.OUTCOMES)
        self._requests[tier, clamp(record.reason, closed.REASONS), outcome] += 1
        self._duration[tier].observe(record.seconds)
        self._overhead.observe(record.overhead)
        if record.first_token is not None:
            self._first_token[tier].observe(record.first_token)
        if record.inter_token is not None:
            self._inter_token[tier].observe(record.inter_token)
        if record.classify is not None:
            self._classify.observe(record.classify)
        if record.score is not None:
            self._score.observe(record.score)
        for receipt in record.receipts:
            self._on_receipt(receipt)
        self.ledger.book(entries_of(record))
        if record.truncated and record.backend is not None:
            self._truncated[(record.backend,)] += 1
        if record.baseline_nano is not None and self.baseline is not None:
            self._baseline[(self.baseline,)] += record.baseline_nano
        if outcome != "ok":
            self._on_ending(record, outcome)

    def on_entries(self, entries: Sequence[Entry]) -> None:
        self.ledger.book(entries)

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        self._baseline[(baseline,)] += nano_usd

    def on_unhonoured(self, backend: str, field: str) -> None:
        """A request field that `backend` ignores was sent to it. `field` is a name of its quirk table."""
        self._unhonoured[backend, field] += 1

    def on_reload(self, ok: bool) -> None:
        self._reloads[("ok" if ok else "refused",)] += 1

    def on_router_failure(self) -> None:
        self._router_failures += 1

    def render(self, now: Now) -> bytes:
        """The text exposition. Counters of backends that are gone stay; their gauges do not."""
        self._fill(now)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Scrape([*self._counters(now), *self._histograms(), *self._gauges(now)]))
        return generate_latest(registry)

    def _on_receipt(self, receipt: Receipt) -> None:
        backend, tier, usage = receipt.backend, receipt.tier, receipt.usage
        self._attempts[backend, clamp(receipt.outcome, closed.ATTEMPTS)] += 1
        self._queue_wait[backend].observe(receipt.queued)
        if backend in self.unpriced:
            self._unpriced[(backend,)] += 1
        if usage is not None:
            self._tokens[tier, backend, "input"] += usage.input - usage.cached
            self._tokens[tier, backend, "cached"] += usage.cached
            self._tokens[tier, backend, "output"] += usage.output

    def _on_ending(self, record: Record, outcome: str) -> None:
        if outcome == "shed":
            self._shed[(clamp(record.error, closed.SHED),)] += 1
        elif outcome == "aborted":
            self._aborts[(clamp(record.error, closed.ERRORS),)] += 1
        elif outcome == "cancelled" and record.stream and record.first_token is not None:
            self._aborts[("client",)] += 1

    def _fill(self, now: Now) -> None:
        """Known label combinations start at 0, so that a first event shows as an increase. Money without a
        price stays absent."""
        steps = [(tier, backend) for backend in now.backends for tier in backend.tiers]
        tiers = dict.fromkeys(tier for tier, _ in steps)
        for tier in (*tiers, closed.NONE):
            for reason in (*closed.REASONS, closed.NONE):
                for outcome in closed.OUTCOMES:
                    self._requests.setdefault((tier, reason, outcome), 0)
        self._fill_histograms(tiers, [backend.name for backend in now.backends])
        for tier, backend in steps:
            for kind in ("input", "cached", "output"):
                self._tokens.setdefault((tier, backend.name, kind), 0)
            for kind in backend.kinds:
                self.ledger.accounts.setdefault((tier, backend.name, kind), 0)
        if self.baseline is not None:
            self._baseline.setdefault((self.baseline,), 0)
        for backend in now.backends:
            self._unpriced.setdefault((backend.name,), 0)
            self._truncated.setdefault((backend.name,), 0)
            for outcome in closed.ATTEMPTS:
                self._attempts.setdefault((backend.name, outcome), 0)
        for reason in closed.SHED:
            self._shed.setdefault((reason,), 0)
        for reason in (*closed.ERRORS, "client"):
            self._aborts.setdefault((reason,), 0)
        for result in ("ok", "refused"):
            self._reloads.setdefault((result,), 0)

    def _fill_histograms(self, tiers: Collection[str], backends: Collection[str]) -> None:
        """Looking at one makes it."""
        for tier in tiers:
            for by_tier in (self._duration, self._first_token, self._inter_token):
                by_tier[tier]
        self._duration[closed.NONE]
        for backend in backends:
            self._queue_wait[backend]

    def _counters(self, now: Now) -> Iterator[Metric]:
        yield _counter("requests", "Settled requests.", ("tier", "reason", "outcome"), self._requests)
        yield _counter("upstream_attempts", "Attempts at backends.", ("backend", "outcome"), self._attempts)
        yield _counter("tokens", "Tokens; input excludes cached.", ("tier", "backend", "kind"), self._tokens)
        yield _counter("cost_usd", "Money spent, in USD.", ("tier", "backend", "kind"), self.ledger.accounts, 1e9)
        yield _counter("baseline_cost_usd", "What it would have cost unrouted.", ("baseline",), self._baseline, 1e9)
        yield _counter("unpriced_requests", "Attempts at backends without a price.", ("backend",), self._unpriced)
        yield _counter("shed", "Requests turned away.", ("reason",), self._shed)
        yield _counter("stream_aborts", "Streams that broke after their first byte.", ("reason",), self._aborts)
        yield _counter("unhonoured_fields", "Request fields a backend ignores.", ("backend", "field"), self._unhonoured)
        yield _counter("config_reloads", "Reloads of the configuration.", ("result",), self._reloads)
        yield _counter("router_failures", "Requests that could not be scored.", (), {(): self._router_failures})
        yield _counter("records_dropped", "Records that could not be written.", (), {(): now.records_dropped})
        yield _counter("truncated_prompts", "Prompts a backend cut, it seems.", ("backend",), self._truncated)
        yield _counter("log_lines_dropped", "Log lines nobody took.", (), {(): now.log_dropped})

    def _histograms(self) -> Iterator[Metric]:
        yield _histogram("request_duration_seconds", "Time of a request.", "tier", self._duration)
        yield _histogram("time_to_first_token_seconds", "Time to the first token.", "tier", self._first_token)
        yield _histogram("inter_token_seconds", "Mean time between pieces of a stream.", "tier", self._inter_token)
        yield _histogram("backend_queue_wait_seconds", "Wait for a slot.", "backend", self._queue_wait)
        yield _histogram("overhead_seconds", "The gateway's own time.", None, {"": self._overhead})
        yield _histogram("classify_seconds", "Time to score a request.", None, {"": self._classify})
        yield _histogram("score", "P(the large model is needed).", None, {"": self._score})

    def _gauges(self, now: Now) -> Iterator[Metric]:
        yield _gauge("build_info", "What runs.", ("version", "router"), {(self._version, now.router): 1})
        yield _gauge("threshold", "Score from which the last tier serves.", (), {(): now.threshold})
        yield _gauge("llm_share_target", "Share the threshold aims at.", (), {(): now.llm_share})
        inflight = {(lane.backend,): lane.inflight for lane in now.lanes}
        yield _gauge("backend_inflight", "Requests that hold a slot.", ("backend",), inflight)
        slots = {(lane.backend,): lane.slots for lane in now.lanes}
        yield _gauge("backend_slots", "Requests that can hold one.", ("backend",), slots)
        waiting = {(lane.backend,): lane.waiting for lane in now.lanes}
        yield _gauge("backend_queue_depth", "Requests that wait for a slot.", ("backend",), waiting)
        places = {(lane.backend,): lane.queue for lane in now.lanes}
        yield _gauge("backend_queue_limit", "Requests that may wait.", ("backend",), places)
        states = {(one.name, state): int(one.state == state) for one in now.backends for state in STATES}
        yield _gauge("backend_state", "1 for the state a backend is in.", ("backend", "state"), states)


class _Scrape(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _counter(name: str, words: str, labels: Labels, counts: Mapping[Any, int], unit: float = 1) -> Metric:
    family = CounterMetricFamily(f"smallfirst_{name}", words, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count / unit)
    return family


def _gauge(name: str, words: str, labels: Labels, values: Mapping[Any, float | None]) -> Metric:
    family = GaugeMetricFamily(f"smallfirst_{name}", words, labels=labels)
    for label_values, value in values.items():
        if value is not None:
            family.add_metric(label_values, value)
    return family


def _histogram(name: str, words: str, label: str | None, by_label: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(f"smallfirst_{name}", words, labels=[label] if label else [])
    for value, histogram in sorted(by_label.items()):
        family.add_metric([value] if label else [], histogram.buckets(), histogram.total)
    return family
