"""Our own everyday requests: `data/everyday.jsonl`, two files of labels, and the decisions where the two differ much.

Each request has a kind of work, a language, and where it belongs to a minimal pair the pair's name. Kinds, not rows,
are kept apart for testing: a router that has learned one kind's words must still rank another kind. How labels were
given is in `data/RUBRIC.md`; the label of a request is the mean of both raters, or the third reading's word where they
contradict each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"
TEST_KINDS = frozenset(
    {
        "business_email",
        "code_explaining",
        "cooking",
        "creative_story",
        "customer_support",
        "history_causes",
        "physics",
        "regex_shell",
        "spreadsheet_formulas",
        "tutoring",
    }
)
LABELS = (1.0, 2.0, 3.0, 4.0, 5.0)
NEEDED = (0.02, 0.06, 0.3, 0.75, 0.95)  # what a label stands for: how often the large model is needed; a judgement
APART = 2
LIGHT = 3  # the highest label that a small model is trusted with


@dataclass(frozen=True, slots=True)
class Everyday:
    """One request. `body` is what a client would send, `label` between 1 and 5, halves included."""

    id: str
    kind: str
    language: str
    pair: str | None
    body: Mapping[str, Any]
    label: float

    @property
    def needed(self) -> float:
        """P(the large model is needed) that its label stands for."""
        return float(np.interp(self.label, LABELS, NEEDED))

    @property
    def test(self) -> bool:
        return self.kind in TEST_KINDS


def read(data: Path = DATA) -> list[Everyday]:
    """All requests in the order of the file. Raises ValueError if one lacks a label."""
    labels = resolved(data)
    items = [json.loads(line) for line in (data / "everyday.jsonl").read_text("utf-8").splitlines()]
    missing = [item["id"] for item in items if item["id"] not in labels]
    if missing:
        raise ValueError(f"everyday.jsonl: no label for {missing[:3]}")
    return [
        Everyday(item["id"], item["kind"], item["lang"], item["pair"], item["request"], labels[item["id"]])
        for item in items
    ]


def rated(path: Path) -> dict[str, int]:
    """Labels of one rater by id."""
    lines = map(json.loads, path.read_text("utf-8").splitlines())
    return {line["id"]: line["label"] for line in lines}


def resolved(data: Path = DATA) -> dict[str, float]:
    """The label of each request that both raters have read."""
    first, second, third = (rated(data / f"everyday_labels_{name}.jsonl") for name in ("a", "b", "third"))
    means = {one: (first[one] + second[one]) / 2 for one in first.keys() & second.keys()}
    return {**means, **{one: float(third[one]) for one in means if contested(first[one], second[one]) and one in third}}


def contested(first: int, second: int) -> bool:
    """Two or more apart, or on different sides of what a small model is trusted with: read a third time."""
    return abs(first - second) >= APART or (first <= LIGHT) != (second <= LIGHT)


def kappa(first: Sequence[int], second: Sequence[int]) -> float:
    """Cohen's kappa with quadratic weights: 1 is full agreement, 0 what chance would give."""
    size = len(LABELS)
    seen = np.zeros((size, size))
    np.add.at(seen, (np.array(first) - 1, np.array(second) - 1), 1.0 / len(first))
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    apart = np.subtract.outer(np.arange(size), np.arange(size)) ** 2
    return float(1.0 - (apart * seen).sum() / (apart * by_chance).sum())
