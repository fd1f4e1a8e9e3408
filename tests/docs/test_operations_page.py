"""docs/operations.md: queries ask for what there is, sums are right, no alert is missing, the backup is whole."""

from __future__ import annotations

import math
import re
import sqlite3
from pathlib import Path

import pytest
import yaml

from app.cli.check import check
from app.settings.config import Server
from app.stores.sqlite import connect
from tests.deploy.names import wrong_names
from tests.deploy.test_rules import ALERTS, run
from tests.docs.pages import blocks, rows, section, text, words
from tests.settings.configs import load

PAGE = "operations.md"
QUERIES = "".join(blocks(PAGE, "promql")).splitlines()
MOVE = "When to move from Ollama to vLLM"
CHEAPER = "When an endpoint is cheaper than tokens"


def plain(heading: str) -> str:
    return " ".join(section(PAGE, heading).split())


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_what_there_is(query: str) -> None:
    """Metrics, labels and values that the gateway has."""
    assert "smallfirst_" in query
    assert wrong_names(query) == []


def test_prometheus_reads_the_queries(tmp_path: Path) -> None:
    """Each is an expression."""
    rules = [{"record": f"one:query:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}), "utf-8")
    run("check", "rules", path)


def test_what_to_watch() -> None:
    """Metrics of the table, with labels that they have."""
    for row in rows(PAGE, "What to watch"):
        names = [word for word in words(row[1]) if word.startswith("smallfirst_")]
        labels = [word for word in words(row[1]) if not word.startswith("smallfirst_")]
        asked = f"sum by ({', '.join(labels)}) ({names[0]})" if labels else ""
        bare = [name + "_sum" if name.endswith("_seconds") else name for name in names]
        assert names
        assert wrong_names(asked.replace(names[0], bare[0]) + " ".join(bare)) == []


def test_signs_for_vllm() -> None:
    """The four that one's own metrics have are all asked for."""
    asked = section(PAGE, MOVE)
    queries = [query for query in QUERIES if query in asked]
    for name in ("backend_queue_depth", "backend_queue_wait_seconds_bucket", "backend_inflight", "shed_total"):
        assert any(f"smallfirst_{name}" in query for query in queries), name


def test_each_alert_has_a_paragraph() -> None:
    """All of them, in their order, and no others; each says something to do."""
    part = text(PAGE).partition("## When an alert fires\n")[2]
    assert re.findall(r"^### (.+)$", part, re.MULTILINE) == list(ALERTS)
    for name in ALERTS:
        assert len(plain(name)) > 120, name
    told = set(re.findall(r"\bSmallfirst[A-Z]\w+", text(PAGE)))
    assert told == set(ALERTS)


def test_metrics_in_the_paragraphs() -> None:
    """They are ours, with their series' or their family's name."""
    part = text(PAGE).partition("## When an alert fires\n")[2]
    for name in re.findall(r"`(smallfirst_\w+)`", part):
        assert wrong_names(name) == [] or wrong_names(f"{name}_sum") == [], name


def test_the_example_of_break_even() -> None:
    """Each figure from the four prices and shares it starts with."""
    said = plain(CHEAPER)
    into, out, hour, ratio = 0.15, 0.60, 5.00, 3
    assert f"at {into} USD per million tokens of input and {out:.2f} of output" in said
    assert "three tokens of input to one of output" in said
    assert f"an H200 at {hour:.2f} USD an hour" in said
    blended = (into * ratio + out) / (ratio + 1)
    tokens = hour / blended * 1e6
    assert f"Blended that is {blended:.4f} USD per million" in said
    assert f"from {tokens / 1e6:.2f} million tokens an hour on" in said
    assert f"{tokens / 3600:,.0f} tokens a second" in said
    sent, made = 1_500, 500
    assert sent == ratio * made
    requests = math.ceil(hour / ((sent * into + made * out) / 1e6))
    assert f"{requests:,} requests an hour of {sent:,} tokens in and {made} out" in said


def test_the_query_has_the_prices_of_the_example() -> None:
    """So that what is read beside it can be compared."""
    query = next(one for one in QUERIES if "smallfirst_tokens_total" in one)
    assert re.findall(r"\* ([\d.]+)", query) == ["0.15", "0.60"]
    assert query.endswith("/ 1e6")


def test_times_of_draining() -> None:
    """The defaults, their sum, and a patience that is longer."""
    said, server = plain("Drain"), Server()
    both = server.drain_delay + server.drain_timeout
    assert f"`server.drain_delay` ({server.drain_delay:g} s)" in said
    assert f"`server.drain_timeout` ({server.drain_timeout:g} s)" in said
    assert f"both together, {both:g} s by default" in said
    patience = re.search(r"(\d+) s is a good", said)
    assert patience
    assert float(patience[1]) > both


def test_the_command_of_the_backup(tmp_path: Path) -> None:
    """What it says to SQLite gives the whole file while another connection writes, the salt too."""
    command = next(line for block in blocks(PAGE, "sh") for line in block.splitlines() if line.startswith("sqlite3"))
    found = re.fullmatch(r"sqlite3 (\S+) \"(VACUUM INTO '(\S+)')\"", command)
    assert found
    writer = connect(tmp_path / "records.db")
    copy = tmp_path / found[3]
    reader = sqlite3.connect(tmp_path / Path(found[1]).name)
    reader.execute(found[2].replace(found[3], str(copy)))
    restored = connect(copy)
    salts = [db.execute("SELECT * FROM meta").fetchall() for db in (writer, restored)]
    assert salts[0] == salts[1]
    assert salts[0]
    for db in (writer, reader, restored):
        db.close()


def test_the_config_of_the_move() -> None:
    """vLLM before Ollama, in one tier."""
    config = load(blocks(PAGE, "yaml")[0]).config
    assert [tier.backends for tier in config.tiers] == [("vllm", "ollama")]


def test_what_probing_does() -> None:
    """As the command's own help says."""
    assert "measure Ollama's slots, which loads its model" in str(check.__annotations__["probe"])
    assert "measures how many requests Ollama really runs at once, which loads its model" in plain("Start")
