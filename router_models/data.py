"""Labelled requests: the routing data that may train a shipped artifact, and our own everyday seed.

A routing file holds one question per line with the scores many models earned on it. `gain` is what the large
model of the source's pair (pairs.json) earned more than the small one. One greedy answer per model is a noisy
label, so the `target` to learn is half this pair's gain and half the gain of all large over all small models of
the source, except for RouteLLM's MMLU, of which only its own two columns may be used.

Real requests come with system prompts, earlier turns and a wanted length, exam questions do not. So that such
surroundings are not taken for a sign of the source, half of all rows to be fitted are put into a conversation.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

SEED_FILE = Path(__file__).parent / "data" / "seed.jsonl"
OWN_PAIR_ONLY = ("routellm_mmlu",)
NEEDED = 0.25  # gain from which the large model counts as needed
SMALL = re.compile(r"(^|[-_])(6|7|8|9|13)b|_1-8b")
SMALL_TALK = (
    "Welcome to the service desk of a mail order house. Orders are shipped on weekdays before noon, returns are free "
    "for thirty days, and the team answers within a day. Be friendly, keep to the facts, ask when in doubt. "
)
LARGE = re.compile(r"^gpt-?4(?!o)|claude-3(-5)?-(opus|sonnet)|gemini-1\.5-pro|(?<!llama-2-)(49|51|7[02]|110|340)b")


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
    if item["split"] == "train":
        body = in_conversation(body)
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
    body = seed_body(item) if "request" in item else in_conversation(seed_body(item))
    return Row(f"seed-{item['lang']}", item["lang"], "train", item["kind"], body, label, label)


def seed_body(item: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a seed line: its prompt as last message, after whatever its `request` holds."""
    request = item.get("request", {})
    earlier = request.get("messages", [])
    return {**request, "messages": [*earlier, {"role": "user", "content": item["prompt"]}]}


def in_conversation(body: Mapping[str, Any]) -> dict[str, Any]:
    """Half of all bodies as they are, the others after a system prompt, turns and with a wanted length.

    Which and how much is drawn from a hash of the prompt, hence unrelated to the label.
    """
    prompt = body["messages"][-1]["content"]
    draw = crc32(prompt.encode("utf-8", "surrogatepass"))
    draw, plain = divmod(draw, 2)
    if plain:
        return dict(body)
    draw, system = divmod(draw, 4)
    draw, turns = divmod(draw, 4)
    draw, wanted = divmod(draw, 4)
    size = 1 + draw % 6
    messages = [{"role": "system", "content": SMALL_TALK * system}] if system else []
    for _ in range(turns):
        messages += [{"role": "user", "content": SMALL_TALK}, {"role": "assistant", "content": SMALL_TALK * size}]
    length = {"max_tokens": 64 * 8**wanted} if wanted else {}
    return {**body, **length, "messages": [*messages, *body["messages"]]}
