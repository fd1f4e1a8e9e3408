"""docs/metrics.md and what is exposed say the same: names, types, labels, closed sets, buckets, queries."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from app.backends.quirks import BY_KIND
from app.core import tokens
from app.core.types import STATES, CostKind, Reason, State
from app.main.build import EMBEDDINGS
from app.telemetry import closed, metrics
from tests.docs.pages import blocks, rows, word, words
from tests.test_metric_names import TABLE, exposed

PAGE = "metrics.md"
PREFIX = "smallfirst_"
FIELDS = {
    "tool_choice",
    "unknown",
    *(field for quirks in BY_KIND.values() for field in quirks.ignored | quirks.dropped),
}
SETS = {
    ("requests_total", "reason"): {*get_args(Reason), closed.NONE},
    ("requests_total", "outcome"): closed.OUTCOMES,
    ("upstream_attempts_total", "outcome"): closed.ATTEMPTS,
    ("shed_total", "reason"): closed.SHED,
    ("tokens_total", "kind"): {"input", "cached", "output"},
    ("cost_usd_total", "kind"): set(get_args(CostKind)),
    ("backend_state", "state"): set(STATES),
    ("config_reloads_total", "result"): {"ok", "refused"},
    ("unhonoured_fields_total", "field"): FIELDS,
}


def test_all_metrics() -> None:
    """Name, type and labels of each, as they are exposed."""
    told = {word(row[0]): (row[1], set(words(row[2]))) for row in rows(PAGE, "All metrics")}
    shown = {PREFIX + name: (kind, set(labels)) for name, (kind, labels) in exposed().items()}
    assert told == shown
    assert len(told) == len(rows(PAGE, "All metrics"))


def test_every_label_is_explained() -> None:
    """Either for all metrics, or for each that has it."""
    told = [(row[0].strip("`"), word(row[1])) for row in rows(PAGE, "Label values")]
    everywhere = {label for metric, label in told if metric == "all"}
    apart = {(name, label) for name, (_, labels) in TABLE.items() for label in labels - everywhere}
    assert {pair for pair in told if pair[0] != "all"} == apart


@pytest.mark.parametrize("metric", SETS, ids="-".join)
def test_closed_sets(metric: tuple[str, str]) -> None:
    """All values, and no others."""
    row = next(row for row in rows(PAGE, "Label values") if (row[0].strip("`"), word(row[1])) == metric)
    assert words(row[2]) == list(dict.fromkeys(words(row[2])))
    assert set(words(row[2])) == SETS[metric]


def test_other_labels() -> None:
    """What stands beside the config's names."""
    told = {(row[0].strip("`"), word(row[1])): words(row[2]) for row in rows(PAGE, "Label values")}
    assert told["all", "tier"] == [EMBEDDINGS, closed.NONE]
    assert told["stream_aborts_total", "reason"] == ["client", "ok", "cancelled"]
    assert closed.ATTEMPTS - {"ok", "cancelled"} == closed.ERRORS
    assert told["baseline_cost_usd_total", "baseline"] == ["all-"]


def test_meanings_of_outcomes_and_states() -> None:
    """Each has one."""
    assert {word(row[0]) for row in rows(PAGE, "Label values", 1)} == closed.OUTCOMES
    assert {word(row[0]) for row in rows(PAGE, "Label values", 2)} == set(get_args(State))


def test_buckets() -> None:
    """As they are in the code."""
    told = [tuple(float(bound) for bound in row[1].split(", ")) for row in rows(PAGE, "Buckets")]
    assert told == [metrics.LONG, metrics.PIECES, metrics.SHORT, metrics.UNIT]


def test_when_a_prompt_counts_as_cut() -> None:
    """The two limits that the table names."""
    told = next(row[3] for row in rows(PAGE, "All metrics") if "truncated" in row[0])
    assert "less than half" in told
    assert tokens.FAR == 0.5
    assert f"more than {tokens.MARGIN} fewer" in told


@pytest.mark.parametrize("query", "".join(blocks(PAGE, "promql")).splitlines())
def test_queries_ask_for_what_there_is(query: str) -> None:
    """Metrics by their name, with labels that they have and values from their sets."""
    asked = re.findall(r"smallfirst_(\w+?)(_bucket|_sum|_count)?\b(?:\{([^}]*)\})?", query)
    assert asked
    for name, suffix, wanted in asked:
        kind, labels = TABLE[name]
        assert bool(suffix) == (kind == "histogram")
        for label, value in re.findall(r'(\w+)="([^"]*)"', wanted):
            assert label in labels
            assert label == "tier" or value in SETS[name, label]
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            assert set(grouped.split(", ")) <= labels | {"le"}
