"""What settled requests add up to, as a scrape shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from app.core.types import Entry, Usage
from app.ports import Observer
from app.telemetry.metrics import LONG, BackendNow, Histogram, LaneNow, Metrics, Now
from tests.telemetry.examples import NOW, a_receipt, a_record

EMPTY = Now(router="default", threshold=None, llm_share=None)


class Scrape:
    """One scrape, asked by name and labels."""

    def __init__(self, metrics: Metrics, now: Now = NOW) -> None:
        self.text = metrics.render(now).decode()
        families = text_string_to_metric_families(self.text)
        self.samples = [sample for family in families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of one series, None if there is none."""
        found = [one.value for one in self.samples if one.name == f"smallfirst_{name}" and one.labels == labels]
        return found[0] if found else None

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series that have these labels."""
        return sum(
            one.value
            for one in self.samples
            if one.name == f"smallfirst_{name}" and labels.items() <= one.labels.items()
        )


def settled(*records: Any) -> Metrics:
    metrics: Metrics = Metrics("0.1.0")
    observer: Observer = metrics
    for record in records:
        observer.on_settled(record)
    return metrics


def test_an_ordinary_request() -> None:
    """It is counted once, with its tier, reason and outcome, and each of its times once."""
    seen = Scrape(settled(a_record()))
    assert seen("requests_total", tier="slm", reason="score", outcome="ok") == 1
    assert seen.total("requests_total") == 1
    assert seen("upstream_attempts_total", backend="ollama", outcome="ok") == 1
    for name in ("request_duration_seconds", "time_to_first_token_seconds", "inter_token_seconds"):
        assert seen(f"{name}_count", tier="slm") == 1
    for name in ("overhead_seconds", "classify_seconds", "score"):
        assert seen(f"{name}_count") == 1
    assert seen("request_duration_seconds_sum", tier="slm") == 0.51
    assert seen("backend_queue_wait_seconds_sum", backend="ollama") == 0.002


def test_a_request_that_was_never_planned() -> None:
    """It stands under tier and reason "none" and leaves no times that it never had."""
    bare = {"reason": None, "score": None, "classify": None, "first_token": None, "inter_token": None}
    seen = Scrape(settled(a_record(tier=None, outcome="client-error", error="invalid-request", receipts=(), **bare)))
    assert seen("requests_total", tier="none", reason="none", outcome="client-error") == 1
    assert seen("request_duration_seconds_count", tier="none") == 1
    assert seen("time_to_first_token_seconds_count", tier="none") is None
    assert seen("inter_token_seconds_count", tier="none") is None
    assert (seen("score_count"), seen("classify_seconds_count")) == (0, 0)


def test_every_attempt_counts() -> None:
    """A fallback shows both attempts, each at its backend, with its tokens."""
    receipts = (
        a_receipt(outcome="timeout", usage=Usage(120, 3), first_token=None),
        a_receipt(backend="endpoint", tier="llm", usage=Usage(130, 40, cached=100)),
    )
    seen = Scrape(settled(a_record(tier="llm", backend="endpoint", receipts=receipts)))
    assert seen("upstream_attempts_total", backend="ollama", outcome="timeout") == 1
    assert seen("upstream_attempts_total", backend="endpoint", outcome="ok") == 1
    assert seen("tokens_total", tier="slm", backend="ollama", kind="output") == 3
    assert seen("tokens_total", tier="llm", backend="endpoint", kind="input") == 30
    assert seen("tokens_total", tier="llm", backend="endpoint", kind="cached") == 100
    assert seen.total("tokens_total") == 120 + 3 + 130 + 40


def test_tokens_unknown_add_nothing() -> None:
    """An attempt whose backend reported no usage is an attempt without tokens."""
    assert Scrape(settled(a_record(receipts=(a_receipt(usage=None),)))).total("tokens_total") == 0


@pytest.mark.parametrize("kind", ["tokens", "discarded"])
def test_where_the_money_of_an_attempt_goes(kind: str) -> None:
    """It is counted where the receipt says, and nowhere else."""
    seen = Scrape(settled(a_record(receipts=(a_receipt(nano_usd=1_500_000_000, kind=kind),))), EMPTY)
    assert seen("cost_usd_total", tier="slm", backend="ollama", kind=kind) == 1.5
    assert seen.total("cost_usd_total") == 1.5


def test_the_baseline_is_the_requests_and_the_minutes() -> None:
    """Tokens come with the records, hours with their minutes."""
    metrics = Metrics("0.1.0")
    metrics.baseline = "all-llm"
    assert Scrape(metrics)("baseline_cost_usd_total", baseline="all-llm") == 0
    metrics.on_settled(a_record(baseline_nano=1_500_000_000))
    metrics.on_settled(a_record())
    metrics.on_baseline("all-llm", 500_000_000, 1, 1)
    assert Scrape(metrics)("baseline_cost_usd_total", baseline="all-llm") == 2.0


def test_no_price_is_never_zero() -> None:
    """A backend without a price has no cost series; its attempts are counted as unpriced instead."""
    metrics = Metrics("0.1.0")
    metrics.unpriced = {"ollama"}
    metrics.on_settled(a_record())
    seen = Scrape(metrics, replace(NOW, backends=(BackendNow("ollama", ("slm",), "ready", ()),)))
    assert "cost_usd_total{" not in seen.text
    assert seen("unpriced_requests_total", backend="ollama") == 1


def test_priced_backends_are_not_unpriced() -> None:
    """An hourly or local price leaves the attempt itself uncharged, and that is no lack of a price."""
    assert Scrape(settled(a_record()))("unpriced_requests_total", backend="ollama") == 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["compute", "idle", "energy", "capex"]), st.integers(1, 10**12))))
def test_cost_agrees_with_the_ledger(costs: list[tuple[str, int]]) -> None:
    """The counters show the exact integer sum to 1e-6 USD."""
    metrics = Metrics("0.1.0")
    for kind, nano in costs:
        metrics.on_entries([Entry("llm", "endpoint", kind, nano, "p")])  # type: ignore[arg-type]
    for kind in {kind for kind, _ in costs}:
        exact = sum(nano for one, nano in costs if one == kind)
        shown = Scrape(metrics, EMPTY)("cost_usd_total", tier="llm", backend="endpoint", kind=kind)
        assert shown == pytest.approx(exact / 1e9, abs=1e-6, rel=0)


def test_small_sums_are_not_lost() -> None:
    """A million nano-dollar charges beside a large one still add up."""
    metrics = Metrics("0.1.0")
    metrics.on_entries([Entry("llm", "endpoint", "compute", 10**18, "p")])
    for _ in range(1000):
        metrics.on_entries([Entry("llm", "endpoint", "compute", 1_000_000, "p")])
    assert Scrape(metrics)("cost_usd_total", tier="llm", backend="endpoint", kind="compute") == 1_000_000_001


@pytest.mark.parametrize(
    ("record", "counter", "reason"),
    [
        ({"outcome": "shed", "error": "saturated"}, "shed_total", "saturated"),
        ({"outcome": "shed", "error": "deadline"}, "shed_total", "deadline"),
        ({"outcome": "aborted", "error": "malformed"}, "stream_aborts_total", "malformed"),
        ({"outcome": "cancelled"}, "stream_aborts_total", "client"),
    ],
)
def test_bad_endings(record: dict[str, Any], counter: str, reason: str) -> None:
    """Requests turned away and streams that broke are counted by their reason."""
    seen = Scrape(settled(a_record(**record)))
    assert seen(counter, reason=reason) == 1
    assert seen.total("shed_total") + seen.total("stream_aborts_total") == 1


@pytest.mark.parametrize("record", [{"first_token": None}, {"stream": False}, {"outcome": "upstream-error"}])
def test_endings_that_break_no_stream(record: dict[str, Any]) -> None:
    """A client that leaves before the first byte, or without a stream, broke none."""
    assert Scrape(settled(a_record(**{"outcome": "cancelled", **record}))).total("stream_aborts_total") == 0


def test_operational_counters() -> None:
    """Reloads, unhonoured fields, router failures and lost log lines have their own counters."""
    metrics = Metrics("0.1.0")
    metrics.on_reload(ok=True)
    metrics.on_reload(ok=False)
    metrics.on_unhonoured("ollama", "seed")
    metrics.on_router_failure()
    seen = Scrape(metrics, replace(NOW, log_dropped=7))
    assert (seen("config_reloads_total", result="ok"), seen("config_reloads_total", result="refused")) == (1, 1)
    assert seen("unhonoured_fields_total", backend="ollama", field="seed") == 1
    assert seen("router_failures_total") == 1
    assert seen("log_lines_dropped_total") == 7


def test_known_combinations_start_at_zero() -> None:
    """Before the first request the series are there, so that the first event is seen as an increase."""
    seen = Scrape(Metrics("0.1.0"))
    assert seen("requests_total", tier="llm", reason="score", outcome="ok") == 0
    assert seen("upstream_attempts_total", backend="endpoint", outcome="timeout") == 0
    assert seen("tokens_total", tier="slm", backend="ollama", kind="input") == 0
    assert seen("cost_usd_total", tier="llm", backend="endpoint", kind="idle") == 0
    assert seen("cost_usd_total", tier="llm", backend="endpoint", kind="tokens") is None
    assert seen("requests_total", tier="none", reason="none", outcome="client-error") == 0
    assert seen("shed_total", reason="saturated") == 0
    assert seen("stream_aborts_total", reason="client") == 0
    for name in ("request_duration_seconds", "time_to_first_token_seconds", "inter_token_seconds"):
        assert seen(f"{name}_count", tier="llm") == 0
    assert seen("request_duration_seconds_count", tier="none") == 0
    assert seen("backend_queue_wait_seconds_count", backend="endpoint") == 0
    assert seen("config_reloads_total", result="refused") == 0


def test_gauges_show_the_moment() -> None:
    """Lanes, states, threshold and build are what the caller says they are now."""
    seen = Scrape(Metrics("0.1.0"))
    assert (seen("backend_inflight", backend="ollama"), seen("backend_queue_depth", backend="ollama")) == (1, 3)
    assert (seen("backend_slots", backend="ollama"), seen("backend_queue_limit", backend="ollama")) == (1, 16)
    assert seen("backend_state", backend="endpoint", state="asleep") == 1
    assert seen("backend_state", backend="endpoint", state="ready") == 0
    assert (seen("threshold"), seen("llm_share_target")) == (0.75, 0.05)
    assert seen("build_info", version="0.1.0", router="default") == 1


def test_an_unset_threshold_is_not_zero() -> None:
    """Without a threshold or a target share there is no number for it."""
    seen = Scrape(Metrics("0.1.0"), EMPTY)
    assert (seen("threshold"), seen("llm_share_target")) == (None, None)


def test_after_a_reload_counters_stay_and_gauges_go() -> None:
    """A backend that left the config keeps what it did and loses how it stands."""
    metrics = settled(a_record())
    Scrape(metrics)
    left = Now("other", 0.5, None, (LaneNow("gpu", 0, 0, 1, 0),), (BackendNow("gpu", ("slm",), "ready", ()),))
    seen = Scrape(metrics, left)
    assert seen("upstream_attempts_total", backend="ollama", outcome="ok") == 1
    assert seen("backend_inflight", backend="ollama") is None
    assert seen("backend_state", backend="ollama", state="ready") is None
    assert seen("backend_state", backend="gpu", state="ready") == 1
    assert seen("build_info", version="0.1.0", router="default") is None


def test_two_sets_of_metrics_share_nothing() -> None:
    """There is no global registry."""
    settled(a_record())
    assert Scrape(Metrics("0.1.0")).total("requests_total") == 0


def test_buckets_reach_as_far_as_models_are_slow() -> None:
    """Ten minutes are still told apart from one; edges belong to their bucket; counts are cumulative."""
    histogram = Histogram(LONG)
    for value in (0.005, 0.0051, 599.0, 10_000.0):
        histogram.observe(value)
    buckets = dict(histogram.buckets())
    assert (buckets["0.005"], buckets["0.01"], buckets["300.0"]) == (1, 2, 2)
    assert (buckets["600.0"], buckets["+Inf"]) == (3, 4)
