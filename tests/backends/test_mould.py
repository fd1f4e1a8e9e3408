"""What fits a mould, and what one can be made of."""

from __future__ import annotations

import orjson
import pytest

from app.backends.mould import Mould


def event(text: str, *, id: str = "a", **more: object) -> bytes:
    return b"data: " + orjson.dumps({"id": id, "choices": [{"delta": {"content": text}}], **more}) + b"\n\n"


@pytest.mark.parametrize("text", ["other", "中文", "a\nb", "back\\slash", "\u2028", ""])
def test_other_words_fit(text: str) -> None:
    """Escapes are bytes like others, as long as none is a quote."""
    mould = Mould.cast(event("some"), event("some"))
    assert mould is not None
    assert mould.ours is None
    assert mould.fits(event(text))


@pytest.mark.parametrize(
    "data",
    [
        event('"'),
        event("x", id="b"),
        event("x", more=1),
        event("x") + event("y"),
        event("x")[:-1],
        event("x")[1:],
        event("x") + b": ping\n\n",
        b"",
    ],
)
def test_all_else_does_not(data: bytes) -> None:
    """A quote, another id or field, two events at once, a piece of one: those are read."""
    mould = Mould.cast(event("some"), event("some"))
    assert mould is not None
    assert not mould.fits(data)


@pytest.mark.parametrize("text", [b"\xff", b"a\nb", b"a\n\nb", b"\t", b"\x00", b"a\\", b"\\q", b"\\ud83d"])
def test_what_is_not_json_does_not_fit(text: bytes) -> None:
    """It is read then, and found broken."""
    mould = Mould.cast(event("some"), event("some"))
    assert mould is not None
    assert not mould.fits(event("some").replace(b"some", text))


def test_our_id_is_put_before_their_words() -> None:
    """What was changed before the text is changed in all that fit."""
    mould = Mould.cast(event("some"), event("some", id="ours"))
    assert mould is not None
    assert mould.ours is not None
    data = event("other")
    assert mould.ours + data[len(mould.prefix) :] == event("other", id="ours")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (event(""), event("")),
        (event('a"b'), event('a"b')),
        (event("a\\b"), event("a\\b")),
        (event("a", more={"content": "b"}), event("a", more={"content": "b"})),
        (event("a", more=1), event("a", more=2)),
        (event("a"), b"data: {}\n\n"),
    ],
)
def test_what_is_not_that_simple_makes_none(theirs: bytes, ours: bytes) -> None:
    """No text, an escape in it, two of them, or a change behind it."""
    assert Mould.cast(theirs, ours) is None
