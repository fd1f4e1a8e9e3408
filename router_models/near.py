"""Near-duplicates by MinHash: texts that share more than half of their three-word runs, in one group.

A router must not be measured on a question whose twin it was trained on. Words are runs of letters or digits, and
single CJK characters. Candidates come from locality-sensitive hashing, and each is verified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from datasketch import MinHash, MinHashLSH

THRESHOLD = 0.55  # Jaccard similarity of runs
PERMUTATIONS = 64
RUN = 3
_WORD = re.compile(r"[a-z0-9]+|[\u3040-\ud7a3]|[^\W\d_a-z]+")


def runs(text: str) -> frozenset[bytes]:
    """Three words each, or all words of a shorter text."""
    words = _WORD.findall(text.lower()[:20_000])
    return frozenset(
        " ".join(words[at : at + RUN]).encode("utf-8", "surrogatepass") for at in range(max(1, len(words) - RUN + 1))
    )


def groups(texts: Sequence[str]) -> list[int]:
    """For each text the number of its group: the first text that is like it, perhaps through others."""
    parent = list(range(len(texts)))
    for one, other in twins(texts):
        parent[_root(parent, max(one, other))] = _root(parent, min(one, other))
    return [_root(parent, at) for at in range(len(texts))]


def twins(texts: Sequence[str], threshold: float = THRESHOLD) -> Iterator[tuple[int, int]]:
    """Pairs (later, earlier) of texts that are alike."""
    index = MinHashLSH(threshold=threshold * 0.9, num_perm=PERMUTATIONS)  # lower, as what it finds is verified
    seen = [runs(text) for text in texts]
    for number, one in enumerate(seen):
        sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update_batch(one)
        for other in sorted(index.query(sketch)):
            if len(one & seen[other]) >= threshold * len(one | seen[other]):
                yield number, other
        index.insert(number, sketch)


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at
