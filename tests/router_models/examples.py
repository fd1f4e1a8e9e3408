"""A small data set in the documented form: questions that need the large model say so in their words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EASY = {"en": ("greet", "spell", "name", "count", "colour"), "zh": ("问候", "拼写", "名字", "数数", "颜色")}
HARD = {"en": ("prove", "derive", "refute", "design", "audit"), "zh": ("证明", "推导", "反驳", "设计", "审计")}
THINGS = {"en": ("lamp", "river", "engine", "letter", "garden"), "zh": ("灯泡", "河流", "引擎", "信件", "花园")}
PAIRS = {
    "tiny_en": {"slm": "small-7b", "llm": "large-70b", "ships": True},
    "tiny_zh": {"slm": "small-7b", "llm": "large-70b", "ships": True},
    "secret": {"slm": "small-7b", "llm": "large-70b", "ships": False},
}


def write(directory: Path) -> Path:
    """pairs.json, one file per source, and seed.jsonl; the source that may not ship would spoil everything."""
    (directory / "pairs.json").write_text(json.dumps(PAIRS), "utf-8")
    for source, lang in (("tiny_en", "en"), ("tiny_zh", "zh")):
        with gzip.open(directory / f"{source}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in questions(source, lang))
    (directory / "secret.jsonl.gz").write_bytes(b"never opened")
    with (directory / "seed.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in everyday())
    return directory


def questions(source: str, lang: str) -> Iterator[dict[str, Any]]:
    for number, (verb, thing, label) in enumerate(texts(lang)):
        yield {
            "id": f"{source}/{number}",
            "source": source,
            "lang": lang,
            "prompt": f"{verb} {thing}",
            "scores": {"small-7b": 1.0 - label, "large-70b": 1.0},
            "cluster": f"{source}-{number}",
            "split": "dev" if number % 4 == 0 else "train",
        }


def everyday() -> Iterator[dict[str, Any]]:
    for lang in ("en", "zh"):
        for verb, thing, label in texts(lang):
            yield {"prompt": f"{thing} {verb}", "lang": lang, "kind": thing, "label": label}


def texts(lang: str) -> Iterator[tuple[str, str, int]]:
    for label, verbs in enumerate((EASY[lang], HARD[lang])):
        for verb in verbs:
            for thing in THINGS[lang]:
                yield verb, thing, label
