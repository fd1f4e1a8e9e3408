"""What a router sees of a request: the right text, stable hashes, and no surprise from any JSON value."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from app.core import asked, cues
from app.core.features import BUCKETS, COUNTERS, TOKENS, features
from tests.core.bodies import BODIES, HUGE, JSON, ask


def counters(body: dict[str, Any]) -> dict[str, float]:
    return dict(zip(COUNTERS, features(body).counters, strict=True))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The words of both are the same."""
    return words(one) == words(other)


def words(body: dict[str, Any]) -> set[int]:
    return set(features(body).buckets.tolist())


FIXED = {"prove it": [30516, 47231], "证明": [26341, 37567, 49541]}


@pytest.mark.parametrize("text", FIXED)
def test_hashes_are_pinned(text: str) -> None:
    """A word's bucket never changes within a feature version, for it would void trained weights."""
    assert sorted(features(ask(text)).buckets.tolist()) == FIXED[text]


def test_hashes_do_not_depend_on_the_process() -> None:
    """Another process with another hash seed sees the same features in the same order."""
    code = "from app.core.features import features; import sys, json; b = json.load(sys.stdin);"
    code += "f = features(b); print(json.dumps([f.buckets.tolist(), f.counters]))"
    body = ask("Why is 根号2 irrational? Prove it.", tools=[{"function": {"parameters": {"properties": {"a": {}}}}}])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(body),
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("text", ["Plain words, and MORE words!", "", "x", "a" * 50_000, "one two " * 3_000])
def test_the_short_way_for_ascii_gives_the_same_words(text: str) -> None:
    """A text with one accent takes the general way and has the same words besides."""
    plain, accented = words(ask(text[:5_000])), words(ask(text[:5_000] + " é"))
    assert plain < accented
    assert len(accented) == len(plain) + 1


def test_chinese_gives_characters_and_bigrams_once_each() -> None:
    """你好你好 has two characters and two bigrams."""
    assert len(features(ask("你好你好")).buckets) == 4
    assert counters(ask("你好你好"))["cjk_share"] == 1.0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Prove it", "cue_reason"),
        ("请证明", "cue_reason"),
        ("Translate this", "cue_light"),
        ("帮我翻译", "cue_light"),
        ("fix the deadlock", "cue_code"),
        ("死锁怎么办", "cue_code"),
        ("what? why?", "questions"),
        ("什么？", "wide_questions"),
        ("pick one:\nA. red\nB. blue", "choices"),
        ("```\nx\n```", "code_fence"),
        ("12 and 7", "digits"),
        ("a {b}", "code_symbols"),
        ("x ≤ y", "rare_symbols"),
        ("OK", "capitals"),
        ("a b c d e", "longer_than_4"),
    ],
)
def test_counters_of_the_text(text: str, name: str) -> None:
    """What a counter is named for makes it positive; a plain word does not."""
    assert counters(ask(text))[name] > 0
    assert counters(ask("okay"))[name] == 0


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"tools": [{"function": {"parameters": {"properties": {"a": {}, "b": {}}}}}]}, "tool_parameters"),
        ({"response_format": {"type": "json_schema"}}, "json_output"),
        ({"max_tokens": 100}, "wanted_length"),
        ({"max_completion_tokens": 5}, "short_answer"),
        ({"reasoning_effort": "high"}, "effort"),
    ],
)
def test_counters_of_the_request(fields: dict[str, Any], name: str) -> None:
    """Fields beside the messages count, and leave the words alone."""
    assert counters(ask("okay", **fields))[name] > 0
    assert counters(ask("okay"))[name] == 0
    assert same(ask("okay", **fields), ask("okay"))


def test_counters_of_a_conversation() -> None:
    """System prompt, turns, tool results and images count; the words are those of the last user message."""
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    body = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Prove Fermat."},
            {"role": "assistant", "content": "No."},
            {"role": "user", "content": [{"type": "text", "text": "thanks then"}, image]},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "42"},
        ]
    }
    seen = counters(body)
    assert all(seen[name] > 0 for name in ("system", "turns", "history", "tool_result", "images"))
    assert same(body, ask("thanks then"))


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "some words"},
        {"prompt": ["some", "words"]},
        {"messages": [{"role": "assistant", "content": "some words"}]},
        {"messages": [{"role": "user", "content": "some words"}, {"role": "user", "content": ""}]},
        {"messages": [{"role": "system", "content": "older"}, {"role": "system", "content": "some words"}]},
    ],
)
def test_where_the_text_is_found(body: dict[str, Any]) -> None:
    """A prompt, or the last message that has text, when there is no user message with text at the end."""
    assert same(body, ask("some words"))


def test_a_long_text_is_cut_in_the_middle() -> None:
    """Head and tail of a long text count, its middle does not."""
    filler = "so " * 10_000
    text = f"alpha {filler} beta {filler} gamma"
    assert same(ask(text), ask("alpha so gamma"))
    assert len(features(ask("".join(map(chr, range(0x4E00, 0x8E00))))).buckets) <= 2 * TOKENS


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE)
def test_adversarial_bodies(body: dict[str, Any]) -> None:
    """Size, broken text and absurd numbers are bounded and give finite values."""
    seen = features(body)
    assert np.isfinite(seen.counters).all()
    assert len(seen.buckets) <= 3 * TOKENS
    assert seen.buckets.max(initial=0) < BUCKETS


@given(BODIES | JSON)
def test_no_json_value_raises(body: Any) -> None:
    """Whatever the body holds, there is one finite value per counter."""
    seen = features(body)
    assert len(seen.counters) == len(COUNTERS) == len(set(COUNTERS))
    assert np.isfinite(seen.counters).all()
    assert seen.buckets.dtype == np.intp


def test_packed_features_can_be_read_back() -> None:
    """What records keep of a request: a float per counter, then an integer per bucket, in a fixed byte order."""
    seen = features(ask("Prove that 根号2 is irrational."))
    packed = seen.packed()
    size = 4 * len(COUNTERS)
    assert np.frombuffer(packed[:size], "<f4").tolist() == pytest.approx(seen.counters)
    assert np.frombuffer(packed[size:], "<u4").tolist() == seen.buckets.tolist()


def test_a_cue_belongs_to_one_family() -> None:
    """No cue is listed twice, in either language, and both languages have the same families."""
    for families in (cues.ENGLISH, cues.CHINESE):
        words = " ".join(families.values()).split()
        assert len(words) == len(set(words))
    assert list(cues.ENGLISH) == list(cues.CHINESE)


def test_the_text_is_never_much_longer_than_the_window() -> None:
    """The window is counted in bytes, so scripts with three bytes a character get fewer characters."""
    for character, most in (("a", asked.WINDOW), ("中", asked.WINDOW // 3), ("é", asked.WINDOW // 2)):
        text, _ = asked.asked(ask(character * 50_000))
        assert most * 0.9 < len(text) <= most + 1
