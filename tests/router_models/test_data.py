"""Reading labelled requests: forms, labels, bodies, splits, and what is wrong with a line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.core.chat import ChatRequest
from app.errors import ConfigError
from router_models import everyday
from router_models.data import (
    NEEDED,
    VARIANT,
    Choice,
    Row,
    files,
    outside_macro,
    read,
    read_everyday,
    read_pairs,
    text_of,
    variants,
)
from tests.router_models import examples
from tests.router_models.examples import jsonl

SCORES = {"small-7b": 0.0, "large-70b": 1.0, "other-8b": 1.0, "gpt-4": 1.0}
BOTH = Choice("small-7b", "large-70b")


def question(**fields: Any) -> dict[str, Any]:
    return {"prompt": "What?", "scores": SCORES, "cluster": "c", "split": "dev", **fields}


def one(directory: Path, choice: Choice = BOTH, **fields: Any) -> Row:
    (row,) = read([jsonl(directory / "mine.jsonl", [question(**fields)])], choice)
    return row


def body_of(directory: Path, item: dict[str, Any]) -> dict[str, Any]:
    (row,) = read([jsonl(directory / "mine.jsonl", [{"verdict": 1, **item}])])
    return dict(row.body)


# --- forms of a request ----------------------------------------------------------------------------------------


def test_a_prompt_is_one_user_message(tmp_path: Path) -> None:
    """The shortest form."""
    assert body_of(tmp_path, {"prompt": "Hi"}) == {"messages": [{"role": "user", "content": "Hi"}]}


def test_messages_stay_as_they_are_with_the_fields_beside_them(tmp_path: Path) -> None:
    """Fields of a chat request that scoring looks at stand beside the messages; others are not taken over."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    fields = {"max_tokens": 5, "response_format": {"type": "json_object"}, "reasoning_effort": "low"}
    item = {"messages": messages, **fields, "post": "never"}
    assert body_of(tmp_path, item) == {"messages": messages, **fields}


def test_a_request_is_the_whole_body(tmp_path: Path) -> None:
    """As a client sent it; a completion request too."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    assert body_of(tmp_path, {"request": body}) == body
    assert body_of(tmp_path, {"request": {"prompt": "Once"}}) == {"prompt": "Once"}


@pytest.mark.parametrize("wrapped", [False, True])
def test_tools_become_openai_tools(tmp_path: Path, wrapped: bool) -> None:
    """With the wrapper or without it, training sees a request in the form in which serving sees it."""
    function = {"name": "f", "parameters": {"properties": {"a": {}}}}
    tool = {"type": "function", "function": function} if wrapped else function
    body = body_of(tmp_path, {"prompt": "Call it", "tools": [tool]})
    assert ChatRequest("chat", body).tools == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        ({}, "mine"),
        ({"category": "gsm8k"}, "math"),
        ({"category": "mbpp"}, "code"),
        ({"source": "exam2"}, "exam"),
        ({"task": "letters", "category": "math"}, "letters"),
        ({"tools": [{"name": "f"}], "category": "math"}, "tools"),
    ],
)
def test_the_task(tmp_path: Path, fields: dict[str, Any], task: str) -> None:
    """What is said, else tools, math and code wherever they stand, else the source."""
    assert one(tmp_path, **fields).task == task


@pytest.mark.parametrize(("prompt", "language"), [("What is this?", "en"), ("这是什么？", "zh"), ("", "en")])
def test_the_language_is_seen_where_it_is_not_said(tmp_path: Path, prompt: str, language: str) -> None:
    """By its characters; what is said counts first."""
    assert one(tmp_path, prompt=prompt).language == language
    assert one(tmp_path, prompt=prompt, lang="zh").language == "zh"


def test_text_of_all_messages() -> None:
    """Strings and text parts, whatever else a message may hold."""
    parts = [{"type": "text", "text": "two"}, {"type": "image_url"}, "three"]
    assert text_of({"messages": [{"content": "one"}, {"content": parts}, {"content": None}, {}]}) == "one\ntwo\nthree"
    assert text_of({"prompt": "once"}) == "once"


# --- labels ----------------------------------------------------------------------------------------------------


def test_targets_are_smoothed_by_the_classes_of_models(tmp_path: Path) -> None:
    """Half the pair's figures and half those of all large and all small models of the row."""
    row = one(tmp_path)
    assert (row.gain, row.target_gain, row.difficulty, row.needed) == (1.0, 0.75, 0.75, 1.0)


def test_some_sources_use_their_own_pair_only(tmp_path: Path) -> None:
    """Columns that came from elsewhere do not touch the label."""
    row = one(tmp_path, source="routellm_mmlu")
    assert (row.target_gain, row.difficulty) == (1.0, 1.0)


def test_models_may_be_named_by_a_pattern(tmp_path: Path) -> None:
    """A pattern means the mean over all that it fits."""
    assert one(tmp_path, Choice("*-[78]b", "gpt*")).gain == 0.5


def test_pairs_come_from_the_file_beside_the_data(tmp_path: Path) -> None:
    """For a folder and for a single file of it; a pattern of the command line goes first."""
    examples.write(tmp_path)
    for paths in ([tmp_path], [tmp_path / "tiny_en.jsonl.gz"]):
        rows = read(paths, Choice(ships=True))
        assert {(row.gain, row.needed) for row in rows} == {(0.0, 0.0), (1.0, 1.0)}
    assert {row.gain for row in read([tmp_path], Choice(llm="small-7b", ships=True))} == {0.0}


def test_one_of_two_models_is_not_enough(tmp_path: Path) -> None:
    """Where no pairs.json names the other one."""
    with pytest.raises(ConfigError, match="--slm and --llm belong together"):
        one(tmp_path, Choice(slm="small-7b"))


def test_only_sources_that_ship_are_read(tmp_path: Path) -> None:
    """A source that pairs.json does not mark is not even opened, and what it does not name is no source."""
    jsonl(examples.write(tmp_path) / "notes.jsonl", [{"prompt": "x", "verdict": 1}])
    assert {row.source for row in read([tmp_path], Choice(ships=True))} == {"tiny_en", "tiny_zh"}
    assert [path.name for path, _ in files([tmp_path], Choice())] == [
        f"{name}.jsonl.gz" for name in sorted(examples.PAIRS)
    ]


def test_sources_outside_the_macro_mean(tmp_path: Path) -> None:
    """As pairs.json says."""
    assert outside_macro([examples.write(tmp_path)]) == {"tiny_zh"}
    assert read_pairs(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(("verdict", "needed"), [(1, 1.0), (0, 0.0), (True, 1.0), (NEEDED, 1.0), (0.2, 0.0)])
def test_a_verdict(tmp_path: Path, verdict: float, needed: float) -> None:
    """Whether the large model was needed, needs no scores and no pair; in between it is as good as a gain."""
    row = one(tmp_path, Choice(), verdict=verdict)
    assert (row.gain, row.target_gain, row.needed, row.difficulty) == (verdict, verdict, needed, None)


def test_a_row_with_the_small_score_alone_teaches_difficulty(tmp_path: Path) -> None:
    """There is no gain without the pair."""
    row = one(tmp_path, scores={"small-7b": 0.25})
    assert (row.gain, row.difficulty, row.needed) == (None, 0.75, None)


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    """Neither scores nor verdict, or scores of others only."""
    items = [question(), {"prompt": "x"}, question(scores={"another": 1.0})]
    assert len(read([jsonl(tmp_path / "mine.jsonl", items)], BOTH)) == 1


# --- what is wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "not a JSON object"),
        ('{"verdict": 1}', "needs a prompt"),
        ('{"verdict": 1, "prompt": 5}', "needs a prompt"),
        ('{"verdict": 1, "messages": "hi", "lang": "en"}', "needs a prompt"),
        ('{"verdict": 1, "messages": ["hi"], "lang": "en"}', "needs a prompt"),
        ('{"verdict": 1, "messages": []}', "needs a prompt"),
        ('{"verdict": 1, "request": "hi"}', "needs a prompt"),
        ('{"prompt": "x", "verdict": 2}', "verdict must be between 0 and 1"),
        ('{"prompt": "x", "verdict": NaN}', "verdict must be between 0 and 1"),
        ('{"prompt": "x", "verdict": "yes"}', "yes"),
        ('{"prompt": "x", "verdict": null}', "NoneType"),
        ('{"prompt": "x", "scores": {"small-7b": -1}}', "scores must be between 0 and 1"),
        ('{"prompt": "x", "scores": 1}', "int"),
        ('{"prompt": "x", "verdict": 1, "tools": 5}', "int"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    """The error says which file and which line, and what is wrong there."""
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"prompt": "fine", "verdict": 0}}\n\n{line}\n', "utf-8")
    with pytest.raises(ConfigError, match=rf"mine\.jsonl, line 3.*{told}"):
        read([path], BOTH)


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"x" * 999)[:-9], gzip.compress(b"x" * 999)[:20] + b"broken"]
)
def test_a_broken_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Not gzip, cut off, or damaged."""
    (tmp_path / "mine.jsonl.gz").write_bytes(data)
    with pytest.raises(ConfigError, match=r"mine\.jsonl\.gz: cannot be read"):
        read([tmp_path])


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    """With their line."""
    (tmp_path / "mine.jsonl").write_bytes(b'{"prompt": "fine", "verdict": 0}\n{"prompt": "\xff\xfe", "verdict": 1}\n')
    with pytest.raises(ConfigError, match=r"mine\.jsonl, line 2 is not JSON"):
        read([tmp_path])


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    """Is named."""
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        read([tmp_path / "nowhere"])


def test_no_label_at_all(tmp_path: Path) -> None:
    """The error says what a label is."""
    with pytest.raises(ConfigError, match="each line needs scores or a verdict"):
        read([jsonl(tmp_path / "mine.jsonl", [{"prompt": "x"}])])


@pytest.mark.parametrize("text", ["{", "[]", '{"mine": {"slm": "a"}}', '{"mine": 1}'])
def test_a_bad_pairs_file_is_named(tmp_path: Path, text: str) -> None:
    """With the form it should have."""
    (tmp_path / "pairs.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"pairs\.json is not as it should be"):
        read([jsonl(tmp_path / "mine.jsonl", [question()])])


# --- split -----------------------------------------------------------------------------------------------------


def test_near_duplicates_are_on_one_side(tmp_path: Path) -> None:
    """Of a hundred questions in three wordings each no wording is in dev while another is in train."""
    items = [
        {"prompt": f"{start} what happens to item {number} of list {number * 7} when it rains in town {number}{end}",
         "verdict": number % 2, "category": str(number)}
        for start, end in (("", ""), ("Say", "?"), ("Please", "!!"))
        for number in range(100)
    ]  # fmt: skip
    rows = read([jsonl(tmp_path / "mine.jsonl", items)])
    sides: dict[str, set[str]] = {}
    for item, row in zip(items, rows, strict=True):
        sides.setdefault(item["category"], set()).add(row.split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert 5 <= sum(splits == {"dev"} for splits in sides.values()) <= 30


def test_a_cluster_of_the_data_is_on_one_side(tmp_path: Path) -> None:
    """Where the data names near-duplicates, and where it says the split of one of them only."""
    items = [question(prompt=f"{number}", cluster=f"c{number % 40}", split="") for number in range(200)]
    items.append(question(prompt="told", cluster="c1", split="dev"))
    items.append(question(prompt="told", cluster="c2", split="train"))
    rows = read([jsonl(tmp_path / "mine.jsonl", items)], BOTH)
    assert len({(row.group, row.split) for row in rows}) == 40
    assert {row.split for row in rows if row.group in ("c1",)} == {"dev"}
    assert {row.split for row in rows if row.group in ("c2",)} == {"train"}


def test_a_file_is_split_alike_whatever_is_read_before_it(tmp_path: Path) -> None:
    """Else what was trained on could be measured on."""
    mine = jsonl(tmp_path / "mine.jsonl", [{"prompt": f"mine {n} {n * n}", "verdict": 1} for n in range(60)])
    other = jsonl(tmp_path / "other.jsonl", [{"prompt": f"other {n} {n * n}", "verdict": 1} for n in range(7)])
    assert read([mine]) == read([other, mine])[7:]


def test_a_split_can_be_chosen(tmp_path: Path) -> None:
    """Train and dev are all there is here, and nothing is in both."""
    examples.write(tmp_path)
    whole = read([tmp_path], Choice(ships=True))
    parts = {split: read([tmp_path], Choice(ships=True, split=split)) for split in ("train", "dev")}
    assert {split: {row.split for row in rows} for split, rows in parts.items()} == {
        "train": {"train"},
        "dev": {"dev"},
    }
    assert sum(map(len, parts.values())) == len(whole) == 260


def test_text_that_is_no_unicode_is_read(tmp_path: Path) -> None:
    """Half a pair of surrogates, as JSON allows it."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "x \\ud800", "verdict": 1}\n', "utf-8")
    assert read([path])[0].split in ("train", "dev")


# --- our own requests ------------------------------------------------------------------------------------------


def test_test_kinds_are_never_trained_on() -> None:
    """Whole kinds are kept apart, the group is the kind, and each row has its label."""
    rows = read_everyday()
    assert {row.group for row in rows if row.split == "test"} == everyday.TEST_KINDS
    assert everyday.TEST_KINDS.isdisjoint(row.group for row in rows if row.split != "test")
    assert {row.split for row in rows} == {"train", "test"}
    assert all(row.ours and row.everyday is not None and 0 < row.everyday < 1 for row in rows)
    assert {row.source for row in rows} == {"everyday-en", "everyday-zh"}


def test_variants_carry_the_label() -> None:
    """Amid small talk and cut short a request is the same request: label, kind, side; but it weighs less."""
    rows = read_everyday()
    own = {row.id: row for row in rows if row.weight == 1.0}
    others = [row for row in rows if row.weight != 1.0]
    assert len(own) == len(everyday.read())
    assert len(others) > len(own)
    for row in others:
        first, _, how = row.id.rpartition("-")
        assert how in ("padded", "cut")
        assert row.weight == VARIANT
        whole = own[first]
        assert (row.everyday, row.group, row.split, row.source, row.task) == (
            (whole.everyday, whole.group, whole.split, whole.source, whole.task)
        )
        assert (len(text_of(row.body)) > len(text_of(whole.body))) == (how == "padded")


def test_a_request_of_one_clause_has_one_variant() -> None:
    """There is nothing to cut."""
    assert [row.id for row in variants(examples.row("Good morning", id="a"))] == ["a-padded"]
    assert [row.id for row in variants(examples.row("Prove that pi is odd, please", id="a"))] == ["a-padded", "a-cut"]


def test_all_requests_are_valid() -> None:
    """The gateway would take each of them."""
    assert all(ChatRequest("chat", json.loads(json.dumps(row.body))) for row in read_everyday())
