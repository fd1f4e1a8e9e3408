"""Choosing a threshold: from scores, from the records of a gateway, into a config."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigError
from app.settings import Source
from app.stores.sqlite import Keeping, SqliteRecords
from router_models.calibrate import BINS, calibrate, diff, recorded, with_threshold
from router_models.metrics import measure
from tests.telemetry.examples import a_record

PICK = np.random.default_rng(2)
SCORES = PICK.random(400)
GAIN = (PICK.random(400) < SCORES).astype(float)


@pytest.mark.parametrize("wanted", [0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_the_threshold_gives_the_share(wanted: float) -> None:
    """As near as whole requests allow; the interval holds what was wanted."""
    found = calibrate(SCORES, wanted)
    assert found.share == np.mean([score >= found.threshold for score in SCORES]) == pytest.approx(wanted, abs=1 / 400)
    assert found.wanted == wanted
    low, high = found.share_interval
    assert low <= wanted <= high
    assert (found.pgr, found.pgr_interval, found.rows) == (None, None, 400)


def test_nothing_is_nothing() -> None:
    """A share of 0 sends nobody, not even the highest score."""
    found = calibrate(SCORES, 0.0)
    assert (found.threshold, found.share, found.share_interval) == (1.0, 0.0, (0.0, 0.0))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
def test_a_written_threshold_does_what_is_reported(scores: list[float], wanted: float) -> None:
    """Six digits of it, as they stand in a config, send the same share; ties go together, so it may be more."""
    found = calibrate(np.array(scores), wanted)
    written = Source(None, {}, with_threshold(CONFIG + "routing: {llm_share: 0.5}\n", found.threshold)).load()
    threshold = written.config.routing.threshold
    assert threshold == found.threshold
    assert found.share == np.mean([score >= threshold for score in scores])
    assert found.share >= min(wanted, 1.0) - 1 / len(scores)
    assert found.share > 0


def test_fewer_requests_leave_more_open() -> None:
    """The interval of the share on other traffic of the kind grows as rows become few."""
    few, many = calibrate(SCORES[:40], 0.25).share_interval, calibrate(SCORES, 0.25).share_interval
    assert few[1] - few[0] > many[1] - many[0]


def test_labels_say_what_it_buys() -> None:
    """PGR at the share that results, as the metrics have it, within its interval."""
    found = calibrate(SCORES, 0.1, GAIN)
    assert found.pgr == pytest.approx(measure(SCORES, GAIN, GAIN)["pgr10"], abs=0.01)
    assert found.pgr is not None
    assert found.pgr_interval is not None
    assert found.pgr_interval[0] < found.pgr < found.pgr_interval[1]
    assert calibrate(SCORES, 0.1, -GAIN).pgr is None  # no gap to recover


def test_the_histogram_counts_everyone() -> None:
    """Bins of equal width; a score of 1 is in the last."""
    found = calibrate(np.array([0.0, 0.049, 0.05, 0.5, 1.0, 1.0]), 0.5)
    counts = dict(enumerate(found.histogram))
    assert len(counts) == BINS
    assert {at: count for at, count in counts.items() if count} == {0: 2, 1: 1, 10: 1, 19: 2}


def test_no_scores_are_refused() -> None:
    """Nothing can be chosen on nothing."""
    with pytest.raises(ConfigError, match="no scored request"):
        calibrate(np.array([]), 0.5)


def test_scores_of_a_gateways_records(tmp_path: Path) -> None:
    """Of all chats and completions that were scored; not of embeddings, nor of requests that a client decided."""
    path = tmp_path / "what? #1 100%.db"
    store = SqliteRecords(Keeping(path), lambda: 0.0, print)
    for record in (
        a_record(score=0.25),
        a_record(score=0.75, api="completion"),
        a_record(score=None, reason="explicit-tier"),
        a_record(score=0.5, api="embedding"),
    ):
        store.on_settled(record)
    store.close()
    assert recorded(path).tolist() == [0.25, 0.75]
    assert recorded(path).tolist() == [0.25, 0.75]  # reading leaves it as it was


def test_records_of_a_gateway_that_runs(tmp_path: Path) -> None:
    """Reading does not wait for the gateway to end, nor hold it up."""
    path = tmp_path / "records.db"
    store = SqliteRecords(Keeping(path), lambda: 0.0, print)
    assert recorded(path).tolist() == []
    store.on_settled(a_record(score=0.125))
    store.close()
    assert recorded(path).tolist() == [0.125]


def test_what_is_no_database_of_records(tmp_path: Path) -> None:
    """A file that is not there is not made; text and other databases are refused by name."""
    (tmp_path / "text.db").write_text("score\n0.5\n" * 100)
    db = sqlite3.connect(tmp_path / "other.db")
    db.execute("CREATE TABLE requests (words TEXT)")
    db.close()
    for name in ("none.db", "text.db", "other.db"):
        with pytest.raises(ConfigError, match=name):
            recorded(tmp_path / name)
    assert not (tmp_path / "none.db").exists()


CONFIG = """# A config of ours.
backends:
  small: {kind: ollama, zone: local, base_url: "http://127.0.0.1:11434", model: "qwen3:4b", price: unpriced}
  large: {kind: openai, zone: remote, base_url: "http://127.0.0.1:8000", model: large, price: unpriced}
tiers: [{name: slm, backends: [small]}, {name: llm, backends: [large]}]
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("routing:\n  llm_share: 0.05 # or a threshold: 1\n", "routing:\n  threshold: 0.731 # or a threshold: 1\n"),
        ("routing: {llm_share: .05}\n", "routing: {threshold: 0.731}\n"),
        ("routing: {router: default, threshold: 1e-3 }", "routing: {router: default, threshold: 0.731 }"),
        ("routing:\n    threshold :  0\n", "routing:\n    threshold :  0.731\n"),
        ('routing:\n  "threshold": "0.5"\n', "routing:\n  threshold: 0.731\n"),
        ("routing:\n  llm_share:\n  router: length\n", "routing:\n  threshold: 0.731\n  router: length\n"),
        ("routing: {\n  # llm_share: 1\n  llm_share: 0.1}", "routing: {\n  # llm_share: 1\n  threshold: 0.731}"),
        (
            "routing:\n\n  # threshold: 0.9 was too much\n# llm_share: 3\n  llm_share: 0.05\n",
            "routing:\n\n  # threshold: 0.9 was too much\n# llm_share: 3\n  threshold: 0.731\n",
        ),
        (
            'routing:\n  rules: [{name: "llm_share: 1", when: {content: ["threshold: 2"]}, then: {tier: llm}}]\n'
            "  llm_share: 0.05\nstate: {kind: memory}\n",
            'routing:\n  rules: [{name: "llm_share: 1", when: {content: ["threshold: 2"]}, then: {tier: llm}}]\n'
            "  threshold: 0.731\nstate: {kind: memory}\n",
        ),
        ("routing:\r\n  llm_share: 0.05\r\n", "routing:\r\n  threshold: 0.731\r\n"),
    ],
)
def test_only_the_threshold_is_changed(before: str, after: str) -> None:
    """Block or flow, amid comments, quotes and rules that speak of thresholds: the one setting, and nothing else."""
    for head, tail in ((CONFIG, ""), ("# llm_share: 7, see routing: below\n", CONFIG), ("\ufeff", CONFIG)):
        if tail and not before.endswith("\n"):
            before, after = before + "\n", after + "\n"
        assert with_threshold(head + before + tail, 0.731) == head + after + tail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no section 'routing'"),
        ("- routing\n", "no section 'routing'"),
        ("# routing: {llm_share: 1}\nother: {routing: {llm_share: 1}}\n", "no section 'routing'"),
        ("routing:\n", "neither llm_share nor threshold"),
        ("routing: {router: length}\n", "neither llm_share nor threshold"),
        ("routing:\n  rules: [{threshold: 1}]\nother: {llm_share: 1}\n", "neither llm_share nor threshold"),
        ("a: &share 0.5\nrouting: {llm_share: *share}\n", "by an alias"),
        ("routing: {llm_share: [\n", "not YAML"),
        ("routing: {llm_share: 1}\n---\nmore: 1\n", "not YAML"),
    ],
)
def test_what_cannot_be_changed_is_said(text: str, said: str) -> None:
    """Nothing is guessed and nothing else is touched."""
    with pytest.raises(ConfigError, match=said):
        with_threshold(text, 0.5)


def test_a_diff_shows_the_one_line() -> None:
    """As `patch` reads it, by the file's name."""
    before = CONFIG + "routing: {llm_share: 0.05}\n"
    assert diff(before, with_threshold(before, 0.5), "gateway.yaml").splitlines() == [
        "--- a/gateway.yaml",
        "+++ b/gateway.yaml",
        "@@ -4,3 +4,3 @@",
        *(f" {line}" for line in CONFIG.splitlines()[-2:]),
        "-routing: {llm_share: 0.05}",
        "+routing: {threshold: 0.5}",
    ]
