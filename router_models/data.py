"""Labelled requests, as `train`, `evaluate` and `calibrate` read them.

A file is JSON Lines, plain or gzip, one request a line. The request is `prompt` (a text) or `messages`, with any other
field of a chat request beside it (`tools`, `response_format`, `max_tokens`, ...), or `request`, a whole body. Its label
is one of

    "scores": {"model-a": 0.0, "model-b": 1.0, ...}   what models earned on it, 0..1
    "verdict": 1                                      the large model was needed (1), was not (0), or in between

Optional: `source` (else the file's name), `category`, `task`, `lang`, `split` ("train" or "dev"), `cluster` (the same
for near-duplicates), `id`. A `pairs.json` beside the files names the small and the large model of each source; so do
patterns.

One greedy answer per model is a noisy label. So what the heads learn is half this pair's score and half the mean over
all small, or all large, models of the row; except for sources of which only their own pair may be used.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from app.errors import ConfigError
from router_models import augment, everyday, near

OWN_PAIR_ONLY = ("routellm_mmlu",)
NEEDED = 0.25  # gain from which the large model counts as needed
VARIANT = 0.3  # what a variant of a request of ours weighs beside it; by our own kinds, left out in turn
ROUNDING = 1e-6
DEV_SHARE = 15  # per cent of the groups, where the data has no split of its own
SMALL = re.compile(r"(^|[-_])(6|7|8|9|13)b|_1-8b")
LARGE = re.compile(r"^gpt-?4(?!o)|claude-3(-5)?-(opus|sonnet)|gemini-1\.5-pro|(?<!llama-2-)(49|51|7[02]|110|340)b")
REQUEST_FIELDS = ("tools", "functions", "response_format", "max_tokens", "max_completion_tokens", "reasoning_effort")
EVERYDAY = "everyday"  # the task of our own requests
_TASKS = ((re.compile(r"gsm8k|math"), "math"), (re.compile(r"mbpp|human_?eval|code"), "code"))


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled request. `gain`: the large model's score less the small one's, None if either is missing, -1..1.
    `target_gain` and `difficulty` are smoothed over classes of models; `everyday` is P(needed) by our raters;
    `weight` counts beside others of its source."""

    source: str
    task: str
    language: str
    split: str
    group: str
    body: Mapping[str, Any]
    id: str = ""
    gain: float | None = None
    target_gain: float | None = None
    difficulty: float | None = None
    everyday: float | None = None
    weight: float = 1.0

    @property
    def ours(self) -> bool:
        """One of our own everyday requests."""
        return self.everyday is not None

    @property
    def needed(self) -> float | None:
        """1.0 if the large model is needed, for our own requests how likely that is; None if nobody knows."""
        if self.everyday is not None:
            return self.everyday
        return None if self.gain is None else float(self.gain >= NEEDED)


@dataclass(frozen=True, slots=True)
class Pair:
    """Small and large model of a source: names, or patterns as in file names. `in_macro`: counts in the macro mean."""

    slm: str
    llm: str
    in_macro: bool = True
    ships: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """What to read. Patterns go before pairs.json; `ships` reads only the sources that may train what we ship."""

    slm: str | None = None
    llm: str | None = None
    ships: bool = False
    split: str | None = None


def read(paths: Sequence[Path], choice: Choice = Choice()) -> list[Row]:
    """All rows with a label, in the order of the paths. Raises ConfigError naming file, line and cure."""
    rows: list[Row] = []
    for path, pair in files(paths, choice):
        rows += _read_file(path, pair)
    if not rows:
        raise ConfigError(f"no labelled request in {', '.join(map(str, paths))}: each line needs scores or a verdict.")
    return [row for row in _split(rows) if choice.split in (None, row.split)]


def files(paths: Sequence[Path], choice: Choice) -> list[tuple[Path, Pair | None]]:
    """The files and the pair of each."""
    found: list[tuple[Path, Pair | None]] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path} does not exist.")
        pairs = read_pairs(path if path.is_dir() else path.parent)
        names = sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")]) if path.is_dir() else [path]
        for name in names:
            pair = _pair(source_of(name), pairs, choice)
            if path.is_dir() and pairs and source_of(name) not in pairs:
                continue  # not one of the sources that pairs.json names
            if not (choice.ships and pair is not None and not pair.ships):
                found.append((name, pair))
    return found


def read_pairs(directory: Path) -> dict[str, Pair]:
    """pairs.json of a directory, by source; empty if there is none."""
    path = directory / "pairs.json"
    if not path.exists():
        return {}
    try:
        return {
            name: Pair(one["slm"], one["llm"], one.get("in_macro", True), one.get("ships", True))
            for name, one in json.loads(path.read_text("utf-8")).items()
        }
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{path} is not as it should be ({error}): {{source: {{slm, llm, in_macro}}}}.") from None


def outside_macro(paths: Sequence[Path]) -> frozenset[str]:
    """The sources that the pairs.json beside these paths keep out of the macro mean."""
    pairs = [read_pairs(path if path.is_dir() else path.parent) for path in paths]
    return frozenset(name for some in pairs for name, pair in some.items() if not pair.in_macro)


def source_of(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _pair(source: str, pairs: Mapping[str, Pair], choice: Choice) -> Pair | None:
    """Of one source. Raises ConfigError if only one of two models is said and pairs.json does not know the other."""
    pair = pairs.get(source)
    if choice.slm is None and choice.llm is None:
        return pair
    slm, llm = choice.slm or (pair and pair.slm), choice.llm or (pair and pair.llm)
    if not slm or not llm:
        raise ConfigError(f"{source}: --slm and --llm belong together where no pairs.json names the other one.")
    return replace(pair, slm=slm, llm=llm) if pair else Pair(slm, llm)


def _read_file(path: Path, pair: Pair | None) -> Iterator[Row]:
    for number, item in lines(path):
        try:
            row = row_of(item, source_of(path), pair)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path}, line {number}: {error}. See docs/router.md for the format.") from None
        if row is not None:
            yield row


def lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file, with their line numbers."""
    for number, line in enumerate(_bytes(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError):
            raise ConfigError(f"{path}, line {number} is not JSON.") from None


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def row_of(item: Mapping[str, Any], source: str, pair: Pair | None) -> Row | None:
    """The labelled request of one line; None if it has no label that can be used. Raises ValueError if it has no
    request, or a label that is none."""
    if not isinstance(item, dict):
        raise ValueError("not a JSON object")
    body = body_of(item)
    source = item.get("source", source)
    row = Row(
        source=source,
        task=task_of(item, source),
        language=item.get("lang") or _language(body),
        split=item.get("split", ""),
        group=str(item.get("cluster", "")),
        body=body,
        id=str(item.get("id", "")),
    )
    if "verdict" in item:
        verdict = _unit(item["verdict"], "verdict")
        return replace(row, gain=verdict, target_gain=verdict)
    scores = {name: _unit(score, "scores") for name, score in item.get("scores", {}).items() if score is not None}
    if pair is None or not scores:
        return None
    return _scored(row, scores, pair)


def _scored(row: Row, scores: Mapping[str, float], pair: Pair) -> Row | None:
    slm, llm = _mean(scores, _named(pair.slm)), _mean(scores, _named(pair.llm))
    alone = row.source in OWN_PAIR_ONLY
    small = None if alone else _mean(scores, lambda name: bool(SMALL.search(name)))
    large = None if alone else _mean(scores, lambda name: bool(LARGE.search(name)))
    gain = _less(llm, slm)
    failed = _less(1.0, _middle(slm, small))
    if gain is None and failed is None:
        return None
    return replace(row, gain=gain, target_gain=_middle(gain, _less(large, small)), difficulty=failed)


def _named(pattern: str) -> Callable[[str], bool]:
    return lambda name: name == pattern or fnmatch(name, pattern)


def _mean(scores: Mapping[str, float], chosen: Callable[[str], bool]) -> float | None:
    values = [score for name, score in scores.items() if chosen(name)]
    return sum(values) / len(values) if values else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _middle(one: float | None, other: float | None) -> float | None:
    """The mean of what is known."""
    known = [value for value in (one, other) if value is not None]
    return sum(known) / len(known) if known else None


def _unit(value: Any, name: str) -> float:
    number = float(value)
    if not -ROUNDING <= number <= 1.0 + ROUNDING:
        raise ValueError(f"{name} must be between 0 and 1, not {value}")
    return min(max(number, 0.0), 1.0)


def body_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The chat request of a line. Raises ValueError if there is none that training can read."""
    body = _body(item)
    messages = body.get("messages")
    if messages is None and isinstance(body.get("prompt"), str):
        return body  # of a completion request
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise ValueError("it needs a prompt (text), messages (a list of objects), or request (a body with messages)")
    return body


def _body(item: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(item.get("request"), dict):
        return dict(item["request"])
    prompt = item.get("prompt")
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else item.get("messages")
    body = {name: item[name] for name in REQUEST_FIELDS if name in item}
    if body.get("tools"):  # data sets often leave the wrapper out
        body["tools"] = [one if "function" in one else {"type": "function", "function": one} for one in body["tools"]]
    return {"messages": messages, **body}


def task_of(item: Mapping[str, Any], source: str) -> str:
    """Which task's expert learns from it: math, code and tools wherever they stand, else one per source."""
    if "task" in item:
        return str(item["task"])
    if item.get("tools"):
        return "tools"
    where = f"{item.get('category', '')} {source}".lower()
    return next((task for pattern, task in _TASKS if pattern.search(where)), source.rstrip("0123456789"))


def text_of(body: Mapping[str, Any]) -> str:
    """The words of all messages, or of the prompt."""
    contents = [message.get("content") for message in body.get("messages", [])] or [body.get("prompt")]
    lists = [content for content in contents if isinstance(content, list)]
    parts = [part.get("text") if isinstance(part, dict) else part for content in lists for part in content]
    return "\n".join(text for text in [*contents, *parts] if isinstance(text, str))


def _language(body: Mapping[str, Any]) -> str:
    text = text_of(body)[:2000]
    return "zh" if sum("\u4e00" <= char <= "\u9fff" for char in text) > len(text) / 10 else "en"


def _split(rows: Sequence[Row]) -> list[Row]:
    """Groups where there are none, then a split where there is none: no near-duplicate on both sides."""
    bare = [at for at, row in enumerate(rows) if not row.group]
    named = list(rows)
    texts = [text_of(rows[at].body) for at in bare]
    for at, first in zip(bare, near.groups(texts), strict=True):
        # By the text and not by its place, so that the same file is split alike whatever is read before it.
        named[at] = replace(rows[at], group=f"near-{hashlib.sha256(_utf8(texts[first])).hexdigest()[:16]}")
    given = {row.group: row.split for row in named if row.split}
    return [row if row.split else replace(row, split=given.get(row.group) or _drawn(row.group)) for row in named]


def _drawn(group: str) -> str:
    return "dev" if zlib.crc32(_utf8(group)) % 100 < DEV_SHARE else "train"


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def read_everyday(data: Path = everyday.DATA) -> list[Row]:
    """Our own requests as rows; the group is the kind of work, and whole kinds are `test`.

    Those to learn from come with variants under the same label: amid small talk, and cut short."""
    rows = []
    for one in everyday.read(data):
        row = Row(
            source=f"everyday-{one.language}",
            task="tools" if one.body.get("tools") else EVERYDAY,
            language=one.language,
            split="test" if one.test else "train",
            group=one.kind,
            body=one.body,
            id=one.id,
            everyday=one.needed,
        )
        rows.append(row)
        if not one.test:
            rows += variants(row)
    return rows


def variants(row: Row) -> list[Row]:
    """The same request amid small talk, and its first clause alone if it has more."""
    short = augment.cut(row.body, row.language)
    padded = replace(row, body=augment.padded(row.body, row.language), id=f"{row.id}-padded", weight=VARIANT)
    return [padded, *([replace(row, body=short, id=f"{row.id}-cut", weight=VARIANT)] if short else [])]
