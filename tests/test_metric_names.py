"""The metrics that dashboards rely on: names, types and labels, and that label values are closed sets."""

from __future__ import annotations

from collections import defaultdict
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core.types import STATES, CostKind, Entry, Reason
from app.telemetry import closed
from app.telemetry.metrics import Metrics
from tests.telemetry.examples import NOW, a_receipt, a_record

TABLE = {
    "requests_total": ("counter", {"tier", "reason", "outcome"}),
    "upstream_attempts_total": ("counter", {"backend", "outcome"}),
    "request_duration_seconds": ("histogram", {"tier"}),
    "time_to_first_token_seconds": ("histogram", {"tier"}),
    "inter_token_seconds": ("histogram", {"tier"}),
    "overhead_seconds": ("histogram", set()),
    "classify_seconds": ("histogram", set()),
    "score": ("histogram", set()),
    "threshold": ("gauge", set()),
    "llm_share_target": ("gauge", set()),
    "tokens_total": ("counter", {"tier", "backend", "kind"}),
    "cost_usd_total": ("counter", {"tier", "backend", "kind"}),
    "unpriced_requests_total": ("counter", {"backend"}),
    "backend_inflight": ("gauge", {"backend"}),
    "backend_slots": ("gauge", {"backend"}),
    "backend_queue_depth": ("gauge", {"backend"}),
    "backend_queue_limit": ("gauge", {"backend"}),
    "backend_queue_wait_seconds": ("histogram", {"backend"}),
    "backend_state": ("gauge", {"backend", "state"}),
    "shed_total": ("counter", {"reason"}),
    "stream_aborts_total": ("counter", {"reason"}),
    "unhonoured_fields_total": ("counter", {"backend", "field"}),
    "config_reloads_total": ("counter", {"result"}),
    "router_failures_total": ("counter", set()),
    "log_lines_dropped_total": ("counter", set()),
    "records_dropped_total": ("counter", set()),
    "truncated_prompts_total": ("counter", {"backend"}),
    "baseline_cost_usd_total": ("counter", {"baseline"}),
    "build_info": ("gauge", {"version", "router"}),
}
CONFIGURED = {"tier": {"slm", "llm"}, "backend": {"ollama", "endpoint", "box"}}
CLOSED: dict[str, set[str]] = {
    "reason": {*get_args(Reason), *closed.ERRORS, "client"},
    "outcome": {*closed.OUTCOMES, *closed.ATTEMPTS},
    "kind": {"input", "cached", "output", *get_args(CostKind)},
    "state": {*STATES},
    "result": {"ok", "refused"},
    "field": {"seed"},
    "baseline": {"all-llm"},
    "version": {"0.1.0"},
    "router": {"default"},
}
EVIL = "ignore previous instructions"


def used() -> Metrics:
    """Metrics through which everything went that can go, some of it not as it should be."""
    metrics = Metrics("0.1.0")
    metrics.on_settled(a_record())
    metrics.on_settled(a_record(tier=None, reason=None, outcome="shed", error="saturated", receipts=()))
    metrics.on_settled(a_record(outcome="aborted", error="timeout"))
    metrics.on_settled(a_record(outcome="cancelled"))
    metrics.on_settled(a_record(reason=EVIL, outcome=EVIL, error=EVIL, receipts=(a_receipt(outcome=EVIL),)))
    metrics.on_settled(a_record(outcome="shed", error=EVIL))
    metrics.on_settled(a_record(outcome="aborted", error=EVIL, model=EVIL, request_id=EVIL, key=EVIL))
    metrics.on_entries([Entry("slm", "ollama", "energy", 5, "local-1")])
    metrics.baseline = "all-llm"
    metrics.on_baseline("all-llm", 5, 1, 1)
    metrics.on_unhonoured("ollama", "seed")
    metrics.on_reload(ok=True)
    metrics.on_router_failure()
    return metrics


def exposed() -> dict[str, tuple[str, dict[str, set[str]]]]:
    """Type and label values of each metric, by its name as Prometheus shows it, without the prefix."""
    found: dict[str, tuple[str, dict[str, set[str]]]] = {}
    for family in text_string_to_metric_families(used().render(NOW).decode()):
        name = family.name.removeprefix("smallfirst_") + ("_total" if family.type == "counter" else "")
        labels: dict[str, set[str]] = defaultdict(set)
        for sample in family.samples:
            assert not sample.name.endswith("_created")
            for label, value in sample.labels.items():
                labels[label].add(value)
        labels.pop("le", None)
        found[name] = (family.type, labels)
    return found


def test_names_types_and_labels() -> None:
    """What is exposed is the table, no more and no less."""
    assert {name: (kind, set(labels)) for name, (kind, labels) in exposed().items()} == TABLE


@pytest.mark.parametrize("name", TABLE)
def test_label_values_are_closed_sets(name: str) -> None:
    """Every label value is a name of the configuration or a word of a closed set; what is neither is "other"."""
    for label, values in exposed()[name][1].items():
        assert values <= CONFIGURED.get(label, set()) | CLOSED.get(label, set()) | {"none", "other"}


def test_prefix_and_units() -> None:
    """One prefix for all, and none of what others sent."""
    text = used().render(NOW).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(line.startswith("smallfirst_") for line in lines)
    assert EVIL not in text
