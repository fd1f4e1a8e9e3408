"""What holds of any stream: the same end whatever the cuts, and no accident whatever the bytes."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backends.inbound import DONE
from app.errors import UpstreamFault
from tests.backends.streams import USAGE, chunk, events, last, stream, through, whole

TEXTS = st.lists(st.text(max_size=6) | st.sampled_from(['"', "\\", "\u2028", "中文", '{"error":1}']), max_size=12)


@settings(max_examples=150)
@given(texts=TEXTS, cuts=st.lists(st.integers(0, 4000), max_size=30), own=st.booleans(), usage=st.booleans())
def test_any_cuts_give_the_same_bytes(texts: list[str], cuts: list[int], own: bool, usage: bool) -> None:
    """Also inside a multibyte character, and whether events are read or passed on unread."""
    pieces = [chunk({"content": text}) for text in ["first", *texts]] + [last(USAGE), DONE]
    raw = b"".join(pieces)
    places = sorted({min(cut, len(raw)) for cut in cuts})
    parts = [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]
    whole = through(stream(usage, own), raw)
    assert through(stream(usage, own), *parts) == whole
    assert through(stream(usage, own), *pieces) == whole
    said = [event["choices"][0]["delta"].get("content", "") for event in events(whole) if event["choices"]]
    assert "".join(said) == "".join(["first", *texts])


def outcome(parts: list[bytes], **options: Any) -> tuple[bytes, type[UpstreamFault] | None]:
    """All that was given, and the class of the fault it ended in."""
    one, given = stream(**options), b""
    try:
        for part in parts:
            given += one.feed(part)
        given += one.finish()
    except UpstreamFault as fault:
        return given, type(fault)
    return given, None


ENDINGS = [
    last(USAGE) + DONE,
    last(USAGE),
    last()[:-1],  # its blank line is missing
    b"",  # cut off
    DONE,
    b'data: {"error": "boom"}\n\n' + last(),
    b'data: {"error": {"message": "overloaded"}}\n\n',
    b"data: {broken\n\n" + last(),
    b'data: {"choices": 1}\n\n' + last(),
]


@settings(max_examples=150)
@given(
    texts=TEXTS,
    ending=st.sampled_from(ENDINGS),
    line=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    between=st.sampled_from([b"", b": ping\n\n", b"event: x\nid: 1\nretry: 9\n\n"]),
    cuts=st.lists(st.integers(0, 4000), max_size=30),
    forced=st.none() | st.just("f"),
)
def test_any_cuts_end_alike(
    texts: list[str], ending: bytes, line: bytes, between: bytes, cuts: list[int], forced: str | None
) -> None:
    """Whole or in a fault: the same bytes before it, and the same class of fault."""
    raw = between.join([chunk({"role": "assistant"}), *[chunk({"content": text}) for text in texts], ending])
    raw = raw.replace(b"\n", line)
    places = sorted({min(cut, len(raw)) for cut in cuts})
    parts = [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]
    assert outcome(parts, forced=forced) == outcome([raw], forced=forced)


BROKEN = st.binary(max_size=5) | st.sampled_from([b"a\\", b"\n\n", b'"', b"\xff", b"ok"])


@settings(max_examples=100)
@given(texts=st.lists(BROKEN, max_size=6))
def test_broken_texts_end_alike_whatever_the_cuts(texts: list[bytes]) -> None:
    """An event at a time or all in one read: what an answer comes to does not hang on how it arrived."""
    marked = [chunk({"content": "first"}), *(chunk({"content": "@"}).replace(b"@", text) for text in texts)]
    parts = [*marked, last(), DONE]
    assert outcome(parts) == outcome([b"".join(parts)])


KEYS = [
    "choices",
    "delta",
    "message",
    "index",
    "finish_reason",
    "usage",
    "error",
    "content",
    "tool_calls",
    "id",
    "model",
    "data",
    "text",
    "reasoning",
    "prompt_tokens",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(value=JSON)
def test_odd_answers_raise_nothing_but_faults(value: Any) -> None:
    """Whatever a broken backend sends, it is a fault of ours to name, never an accident."""
    raw = orjson.dumps(value)
    for forced in (None, "f"):
        with contextlib.suppress(UpstreamFault):
            through(stream(forced=forced, usage=True), b"data: " + raw + b"\n\n", last())
        with contextlib.suppress(UpstreamFault):
            whole(forced).shape(raw)
