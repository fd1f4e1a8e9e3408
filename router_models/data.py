"""Labelled requests: the routing data that may train a shipped artifact, and our own everyday seed.

A routing file holds one question per line with the scores many models earned on it. `gain` is what the large
model of the source's pair (pairs.json) earned more than the small one. One greedy answer per model is a noisy
label, so the `target` to learn is half this pair's gain and half the gain of all large over all small models of
the source, except for RouteLLM's MMLU, of which only its own two columns may be used.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED_FILE = Path(__file__).parent / "data" / "seed.jsonl"
OWN_PAIR_ONLY = ("routellm_mmlu",)
NEEDED = 0.25  # gain from which the large model counts as needed
SMALL = re.compile(r"(^|[-_])(6|7|8|9|13)b|_1-8b")
LARGE = re.compile(r"^gpt-?4(?!o)|claude-3(-5)?-(opus|sonnet)|gemini-1\.5-pro|(?<!llama-2-)(49|51|70|72|110|340)b")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled request. `target` in [0, 1] is what to learn, `gain` in [-1, 1] what to measure by."""

    source: str
    language: str
    split: str
    group: str
    body: Mapping[str, Any]
    target: float
    gain: float

    @property
    def needed(self) -> float:
        return float(self.gain >= NEEDED)


def read_routing(directory: Path) -> list[Row]:
    """All rows of the sources that pairs.json marked `ships`, in the order of the files."""
    pairs = json.loads((directory / "pairs.json").read_text(encoding="utf-8"))
    sources = sorted(name for name, pair in pairs.items() if pair["ships"])
    return [row for name in sources for row in _read_source(directory / f"{name}.jsonl.gz", pairs[name])]


def _read_source(path: Path, pair: Mapping[str, Any]) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            scores = item["scores"]
            if pair["slm"] in scores and pair["llm"] in scores:
                yield _row(item, scores, scores[pair["llm"]] - scores[pair["slm"]])


def _row(item: Mapping[str, Any], scores: Mapping[str, float], gain: float) -> Row:
    target = max(gain, 0.0)
    if item["source"] not in OWN_PAIR_ONLY:
        target = (target + max(class_gain(scores), 0.0)) / 2
    body: dict[str, Any] = {"messages": [{"role": "user", "content": item["prompt"]}]}
    if item.get("tools"):
        body["tools"] = [{"type": "function", "function": tool} for tool in item["tools"]]
    return Row(item["source"], item["lang"], item["split"], item["cluster"], body, min(target, 1.0), gain)


def class_gain(scores: Mapping[str, float]) -> float:
    """Mean score of the large models less that of the small ones; 0 if either class is missing."""
    small = [score for name, score in scores.items() if SMALL.search(name)]
    large = [score for name, score in scores.items() if LARGE.search(name)]
    return sum(large) / len(large) - sum(small) / len(small) if small and large else 0.0


def read_seed(path: Path = SEED_FILE) -> list[Row]:
    """Our everyday requests; the source is `seed-en` or `seed-zh`, the group is the kind of work."""
    with path.open(encoding="utf-8") as lines:
        return [_seed_row(json.loads(line)) for line in lines]


def _seed_row(item: Mapping[str, Any]) -> Row:
    label = float(item["label"])
    return Row(f"seed-{item['lang']}", item["lang"], "train", item["kind"], seed_body(item), label, label)


def seed_body(item: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a seed line: its prompt as last message, after whatever its `request` holds."""
    request = item.get("request", {})
    earlier = request.get("messages", [])
    return {**request, "messages": [*earlier, {"role": "user", "content": item["prompt"]}]}
