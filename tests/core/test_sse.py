"""The decoder of server-sent events: any cut of the same bytes gives the same payloads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import sse
from app.core.sse import Decoder, encode
from app.errors import UpstreamMalformed

TABLE = [
    ("one event", b'data: {"a":1}\n\n', [b'{"a":1}']),
    ("no space after the colon", b"data:x\n\n", [b"x"]),
    ("only the first space is dropped", b"data:  x\n\n", [b" x"]),
    ("two events", b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    ("CR", b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    ("mixed line ends", b"data: a\r\n\ndata: b\n\rdata: c\r\r\n", [b"a", b"b", b"c"]),
    ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    ("a mark inside is data", b"data: \xef\xbb\xbfa\n\n", [b"\xef\xbb\xbfa"]),
    ("comments", b": ping\n\ndata: a\n: more\n\n:\n\n", [b"a"]),
    ("names, ids and retry", b"event: x\nid: 7\nretry: 5\ndata: a\n\n", [b"a"]),
    ("an event without data", b"event: x\n\ndata: a\n\n", [b"a"]),
    ("several lines of data", b"data: a\ndata: b\ndata\ndata:\n\n", [b"a\nb\n\n"]),
    ("empty data", b"data:\n\ndata\n\n", [b"", b""]),
    ("not the data field", b"database: x\n\n data: y\n\ndata: a\n\n", [b"a"]),
    ("many blank lines", b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    ("line separators of Unicode", "data: a\u2028b\u2029c\u0085d\n\n".encode(), ["a\u2028b\u2029c\u0085d".encode()]),
    ("characters of many bytes", "data: 证明根号2 🦜\n\n".encode(), ["证明根号2 🦜".encode()]),
    ("no blank line at the end", b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"]),
    ("nothing", b"", []),
    ("the beginning of a mark", b"\xef\xbb", []),
]


def decode(pieces: list[bytes]) -> list[bytes]:
    decoder = Decoder()
    return [payload for piece in pieces for payload in decoder.feed(piece)] + decoder.flush()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(("data", "payloads"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_table(data: bytes, payloads: list[bytes]) -> None:
    """Whole, byte by byte, or with empty pieces between, the payloads are those of the table."""
    assert decode([data]) == payloads
    assert decode([data[i : i + 1] for i in range(len(data))]) == payloads
    assert decode([piece for i in range(len(data)) for piece in (data[i : i + 1], b"")]) == payloads


@pytest.mark.parametrize("data", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_every_cut_in_two(data: bytes) -> None:
    """There is no place where a cut changes the payloads."""
    whole = decode([data])
    assert all(decode([data[:place], data[place:]]) == whole for place in range(len(data) + 1))


WILD = st.lists(
    st.sampled_from(
        [b"data: ", b"data", b":", b" ", b"\n", b"\r", b"\r\n", b"x", "é🦜\u2028".encode(), b"\xef\xbb\xbf"]
    ),
    max_size=30,
).map(b"".join)


@given(WILD, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_gives_the_same_events(data: bytes, places: list[int]) -> None:
    """Cuts inside line ends, marks and characters change nothing, for any bytes."""
    assert decode(cut(data, places)) == decode([data])


@given(WILD)
def test_line_ends_are_equal(data: bytes) -> None:
    """CRLF and CR mean what LF means."""
    plain = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert decode([data]) == decode([plain]) == decode([plain.replace(b"\n", b"\r\n")])


@given(
    st.lists(st.binary().filter(lambda raw: not set(raw) & {10, 13}), max_size=5), st.lists(st.integers(0), max_size=5)
)
def test_encode_and_back(payloads: list[bytes], places: list[int]) -> None:
    """What was encoded comes back, however it is cut."""
    assert decode(cut(b"".join(map(encode, payloads)), places)) == payloads


def test_events_come_as_soon_as_they_are_complete() -> None:
    """A payload is handed out by the very piece that completes it, the second LF of a CRLF not awaited."""
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\n") == []
    assert decoder.feed(b"\r") == [b"a"]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\n\n") == [b"b"]


class Counting(bytes):
    """Bytes that count how many of them were searched or joined; a join of copies shows in the length."""

    seen = 0

    def __contains__(self, wanted: object) -> bool:
        Counting.seen += len(self)
        return super().__contains__(wanted)  # type: ignore[operator]


@pytest.mark.parametrize("piece", [b"x" * 16, b"data: x\n"], ids=["one line", "many lines"])
def test_a_huge_event_in_small_pieces_is_linear(piece: bytes) -> None:
    """Each piece is looked at on its own, and all are put together once, at the end."""
    Counting.seen = 0
    decoder, pieces = Decoder(), 5_000
    decoder.feed(b"data: ")
    for _ in range(pieces):
        assert decoder.feed(Counting(piece)) == []
    assert Counting.seen <= 4 * pieces * len(piece)
    assert len(decoder._parts) == pieces + 1  # nothing was joined on the way
    assert len(decoder.feed(b"\n\n")) == 1
    assert decoder.flush() == []


def test_an_event_without_an_end_is_refused() -> None:
    """A broken backend cannot fill the memory: above MAX_EVENT the decoder gives up."""
    decoder = Decoder()
    half = bytes(sse.MAX_EVENT // 2)
    decoder.feed(half)
    decoder.feed(half)
    with pytest.raises(UpstreamMalformed):
        decoder.feed(b"x")
