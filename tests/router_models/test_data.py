"""Reading labelled requests: targets, gains, bodies, and what may never be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.core.chat import ChatRequest
from router_models.data import SEED_FILE, class_gain, in_conversation, read_routing, read_seed, seed_body
from tests.router_models import examples


def ask(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_only_sources_that_ship_are_read(tmp_path: Path) -> None:
    """A source that pairs.json does not mark is not even opened."""
    rows = read_routing(examples.write(tmp_path))
    assert {row.source for row in rows} == {"tiny_en", "tiny_zh"}
    assert {(row.target, row.gain, row.needed) for row in rows} == {(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)}


def question(**fields: Any) -> dict[str, Any]:
    scores = {"small-7b": 0.0, "large-70b": 1.0, "other-8b": 1.0, "gpt-4": 1.0}
    base = {"source": "one", "lang": "en", "prompt": "What?", "scores": scores, "cluster": "c", "split": "dev"}
    return base | fields


def rows_of(directory: Path, *items: dict[str, Any]) -> Any:
    pairs = {item["source"]: examples.PAIRS["tiny_en"] for item in items}
    (directory / "pairs.json").write_text(json.dumps(pairs), "utf-8")
    for source in pairs:
        lines = [json.dumps(item) + "\n" for item in items if item["source"] == source]
        (directory / f"{source}.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode()))
    return read_routing(directory)


def test_targets_are_smoothed_by_the_classes_of_models(tmp_path: Path) -> None:
    """Half the pair's gain and half that of all large over all small models."""
    (row,) = rows_of(tmp_path, question())
    assert (row.gain, row.target) == (1.0, 0.75)


def test_some_sources_use_their_own_pair_only(tmp_path: Path) -> None:
    """Columns that came from elsewhere do not touch the label."""
    (row,) = rows_of(tmp_path, question(source="routellm_mmlu"))
    assert row.target == 1.0


def test_a_question_without_both_scores_is_left_out(tmp_path: Path) -> None:
    """There is no gain without the pair."""
    assert rows_of(tmp_path, question(scores={"small-7b": 1.0})) == []


def test_tools_become_openai_tools(tmp_path: Path) -> None:
    """Training sees a request in the form in which serving sees it."""
    (row,) = rows_of(tmp_path, question(tools=[{"name": "f", "parameters": {"properties": {"a": {}}}}]))
    assert ChatRequest("chat", dict(row.body)).tools[0]["function"]["name"] == "f"


@pytest.mark.parametrize(
    ("scores", "gain"),
    [
        ({"qwen2.5-7b-instruct": 0.5, "gpt-4-1106-preview": 1.0}, 0.5),
        ({"meta-llama-3_1-8b": 0.0, "gemma-2-9b-it": 1.0, "llama-2-70b-hf": 0.0, "claude-3-5-sonnet": 1.0}, 0.5),
        ({"gpt-4o-2024-08-06": 1.0, "llama-3-8b": 0.0}, 0.0),
        ({"gpt4": 1.0}, 0.0),
    ],
)
def test_class_gain(scores: dict[str, float], gain: float) -> None:
    """Small and large models are told by name; a class that is missing gives no gain."""
    assert class_gain(scores) == gain


def test_half_of_all_prompts_are_put_into_a_conversation() -> None:
    """The last message stays; what surrounds it is drawn by the prompt alone."""
    bodies = [in_conversation(ask(f"question {number}")) for number in range(400)]
    assert bodies == [in_conversation(ask(f"question {number}")) for number in range(400)]
    assert all(body["messages"][-1]["content"] == f"question {number}" for number, body in enumerate(bodies))
    assert 150 < sum(len(body["messages"]) > 1 or "max_tokens" in body for body in bodies) < 250
    assert all(ChatRequest("chat", body) for body in bodies)


def test_the_seed_is_in_order() -> None:
    """Both languages and labels, several kinds of each, no prompt twice, every line a valid request."""
    items = [json.loads(line) for line in SEED_FILE.read_text("utf-8").splitlines()]
    assert len({item["prompt"] for item in items}) == len(items) >= 500
    assert {(item["lang"], item["label"]) for item in items} == {
        (lang, label) for lang in ("en", "zh") for label in (0, 1)
    }
    assert len({item["kind"] for item in items}) >= 30
    assert all(ChatRequest("chat", seed_body(item)) for item in items)
    assert len(read_seed()) == len(items)
