"""A small data set in the documented form: questions that need the large model say so in their words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from router_models.data import Row, read_everyday

EASY = {"en": ("greet", "spell", "name", "count", "colour"), "zh": ("问候", "拼写", "名字", "数数", "颜色")}
HARD = {"en": ("prove", "derive", "refute", "design", "audit"), "zh": ("证明", "推导", "反驳", "设计", "审计")}
THINGS = {
    "en": (
        "lamp",
        "river",
        "engine",
        "letter",
        "garden",
        "bridge",
        "window",
        "bottle",
        "winter",
        "harbour",
        "market",
        "violin",
        "ladder",
    ),
    "zh": ("灯泡", "河流", "引擎", "信件", "花园", "桥梁", "窗户", "瓶子", "冬天", "港口", "市场", "提琴", "梯子"),
}
PAIRS = {
    "tiny_en": {"slm": "small-7b", "llm": "large-70b", "ships": True},
    "tiny_zh": {"slm": "small-7b", "llm": "large-70b", "ships": True, "in_macro": False},
    "secret": {"slm": "small-7b", "llm": "large-70b", "ships": False},
}
KINDS = ("concurrency", "greeting_smalltalk", "math_proof", "tool_multi_step", "unit_conversion", "physics", "cooking")


def write(directory: Path) -> Path:
    """pairs.json and one file per source; the source that may not ship would spoil everything."""
    (directory / "pairs.json").write_text(json.dumps(PAIRS), "utf-8")
    for source, lang in (("tiny_en", "en"), ("tiny_zh", "zh")):
        jsonl(directory / f"{source}.jsonl.gz", questions(source, lang))
    (directory / "secret.jsonl.gz").write_bytes(b"never opened")
    return directory


def jsonl(path: Path, items: Iterable[Any]) -> Path:
    """JSON Lines; gzip if the name says so."""
    data = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def questions(source: str, lang: str) -> Iterator[dict[str, Any]]:
    """130 of each language, half of them hard, a quarter in the dev part."""
    for number, (verb, thing, label) in enumerate(texts(lang)):
        yield {
            "id": f"{source}/{number}",
            "source": source,
            "lang": lang,
            "prompt": f"{verb} {thing}",
            "scores": {"small-7b": 1.0 - label, "large-70b": 1.0},
            "cluster": f"{source}-{number}",
            "split": "dev" if number % 7 == 0 else "train",
        }


def texts(lang: str) -> Iterator[tuple[str, str, int]]:
    for label, verbs in enumerate((EASY[lang], HARD[lang])):
        for verb in verbs:
            for thing in THINGS[lang]:
                yield verb, thing, label


def row(text: str, **fields: Any) -> Row:
    """A labelled request, in the train part unless it says otherwise."""
    given: Mapping[str, Any] = {
        "source": "made",
        "task": "made",
        "language": "en",
        "split": "train",
        "group": text,
        "body": {"messages": [{"role": "user", "content": text}]},
        **fields,
    }
    return Row(**given)


def rows(task: str, count: int, dev: int = 0, **fields: Any) -> list[Row]:
    """`count` rows of a task in the train part and `dev` in the dev part, every other one hard."""
    found = []
    for number in range(count + dev):
        verb = (HARD if number % 2 else EASY)["en"][number % 5]
        gain = float(number % 2)
        known = {"gain": gain, "target_gain": gain, "difficulty": gain, **fields}
        text = f"{verb} the {task} {THINGS['en'][number % 13]} number {number}"
        found.append(row(text, source=task, task=task, split="train" if number < count else "dev", **known))
    return found


def everyday() -> list[Row]:
    """Our own requests of a few kinds, two of them test kinds, with their variants."""
    return [one for one in read_everyday() if one.group in KINDS]


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
