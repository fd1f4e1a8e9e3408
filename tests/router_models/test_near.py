"""Near-duplicates: which texts are alike, and that our own requests are not."""

from __future__ import annotations

from router_models import everyday, near
from router_models.data import text_of

LONG = "the quick brown fox jumps over the lazy dog near the old stone bridge in the morning"


def test_runs() -> None:
    """Three words each, in any case and punctuation; a shorter text is one run; Chinese counts by characters."""
    assert near.runs("A b, C d!") == {b"a b c", b"b c d"}
    assert near.runs("Hi there") == {b"hi there"}
    assert near.runs("") == {b""}
    assert near.runs("今天好吗") == {"今 天 好".encode(), "天 好 吗".encode()}
    assert near.runs("x1 \ud800 y") == {b"x1 y"}


def test_groups() -> None:
    """The first text that is alike, perhaps through others; case and punctuation do not matter."""
    texts = [LONG, "Something else entirely, about cooking rice.", LONG.upper() + "!", f"please: {LONG}", "also other"]
    assert near.groups(texts) == [0, 1, 0, 0, 4]
    assert near.groups([]) == []


def test_groups_reach_through_others() -> None:
    """a is like b and b like c, so all three are together although a is not like c."""
    words = [f"w{number}" for number in range(32)]
    texts = [" ".join(words[start : start + 22]) for start in (0, 5, 10)]
    pairs = set(near.twins(texts))
    assert pairs == {(1, 0), (2, 1)}
    assert near.groups(texts) == [0, 0, 0]


def test_half_alike_is_not_enough() -> None:
    """What is found is verified; of pairs that are only just alike a few are missed, of others none."""
    words = [f"w{number}" for number in range(200)]
    texts = [" ".join(words[start : start + 60]) for start in range(0, 140, 7)]
    seen = [near.runs(text) for text in texts]
    likeness = {
        (later, earlier): len(seen[later] & seen[earlier]) / len(seen[later] | seen[earlier])
        for later in range(len(texts))
        for earlier in range(later)
    }
    found = set(near.twins(texts))
    assert all(likeness[pair] >= near.THRESHOLD for pair in found)
    assert {pair for pair, alike in likeness.items() if alike >= near.THRESHOLD + 0.1} <= found
    assert len(found) < len(likeness)


def test_our_own_requests_are_no_near_duplicates() -> None:
    """Below one per cent of everyday.jsonl has a twin in it; of the kinds kept for testing too, few elsewhere."""
    requests = everyday.read()
    pairs = list(near.twins([text_of(one.body) for one in requests]))
    assert len({later for later, _ in pairs}) < 0.01 * len(requests)
    across = [pair for pair in pairs if len({requests[at].test for at in pair}) == 2]
    assert len(across) < 0.01 * sum(one.test for one in requests)
