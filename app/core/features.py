"""What a router sees of a request: hashed words and a few dozen named counters, from one pass over bounded
text.

`asked` chooses the text (about 6,000 bytes at most) and counts what stands around it. Of the text at most
`TOKENS` words and as many CJK characters are used, two thirds from the head and a third from the tail, so
Chinese, which has several tokens where English has one, costs no more.

Tokens are words (runs of letters) of the alphabetic scripts up to U+07FF, lower-cased, and single CJK
characters and their bigrams, hashed into one space of `BUCKETS`: CRC-32 for words, multiplication for
CJK, the same in every process. Numbers are counted, not hashed. A change here, in `asked` or in `cues`
that changes a value raises `FEATURE_VERSION`.

Pure; bounded work for any input; never raises on any JSON value. No Python loop runs per character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import log1p
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from app.core import asked
from app.core.cues import CHINESE_CUES, FAMILIES, FAMILY_OF_CHINESE, FAMILY_OF_WORD

FEATURE_VERSION = 1
BITS = 16
BUCKETS = 1 << BITS
TOKENS = 1_500
HEAD = 1_000

WORD = re.compile("[a-zß-\u07ff]+")
CUE_WORDS = frozenset(FAMILY_OF_WORD)
LETTERS = bytes(byte + 32 if 65 <= byte <= 90 else byte if 97 <= byte <= 122 else 32 for byte in range(256))
CHOICE = re.compile(r"[\n;；。.] ?\(?[A-J][.:)、：．]")
CJK_FIRST, CJK_SPAN = np.uint32(0x3040), np.uint32(0xD7A4 - 0x3040)  # kana, han, hangul
ONE, LEFT, RIGHT = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)  # odd, well mixed
SHIFT, MASK = np.uint32(32 - BITS), BUCKETS - 1
SHORT = 1_500  # bytes; up to here plain Python is quicker than numpy, whose code has to come into the cache first

BYTE_CLASSES: Mapping[str, bytes] = {
    "letters": b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digits": b"0123456789",
    "capitals": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lines": b"\n",
    "questions": b"?",
    "sentences": b".!;",
    "commas": b",:",
    "brackets": b"()[]",
    "code_symbols": b"{}<>=_#&|@`~\t",
    "math_symbols": b"+*/^\\%$-",
    "rare_symbols": b"\xe2",  # lead byte of U+2000..U+2FFF: arrows, operators, dashes
}
LENGTHS = (4, 8, 16, 32, 64, 128, 256, 512)
TEXT_NAMES = (
    "length",
    *(f"longer_than_{tokens}" for tokens in LENGTHS),
    *BYTE_CLASSES,
    "digit_share",
    "capital_share",
    "cjk_share",
    "word_length",
    "distinct_words",
    "choices",
    "code_fence",
    "wide_questions",
    "wide_sentences",
)
COUNTERS: tuple[str, ...] = (*TEXT_NAMES, *FAMILIES, *asked.NAMES)

CLASS_OF_BYTE = np.zeros((256, len(BYTE_CLASSES)), np.int64)
for _column, _bytes in enumerate(BYTE_CLASSES.values()):
    CLASS_OF_BYTE[list(_bytes), _column] = 1


@dataclass(frozen=True, slots=True)
class Features:
    """`counters`: one value per name in COUNTERS. `buckets`: of the distinct tokens, each in [0, BUCKETS)."""

    counters: list[float]
    buckets: NDArray[np.intp]

    def packed(self) -> bytes:
        """Little-endian: all counters as float32, then the buckets as uint32."""
        return np.array(self.counters, "<f4").tobytes() + self.buckets.astype("<u4").tobytes()


def features(body: Mapping[str, Any]) -> Features:
    """The features of a parsed request body, whatever it holds."""
    text, around = asked.asked(body)
    data = text.encode("utf-8", "surrogatepass")
    words = _words(text, data)
    distinct = dict.fromkeys(words)  # unlike a set in the same order everywhere, so sums are equal to the last bit
    families = [FAMILY_OF_WORD[word] for word in CUE_WORDS.intersection(distinct)]
    buckets, cjk = np.array([crc32(word) & MASK for word in distinct], np.intp), 0
    if len(data) > len(text):
        codes = _cjk(text)
        cjk = len(codes)
        buckets = np.concatenate((buckets, _cjk_buckets(codes)), dtype=np.intp)
        families += [FAMILY_OF_CHINESE[cue] for cue in CHINESE_CUES.findall(text)]
    counters = _text_counters(text, data, len(words), len(distinct), cjk)
    counters += _cue_counters(families)
    counters += around
    return Features(counters, buckets)


def _words(text: str, data: bytes) -> list[bytes]:
    """The words in order, head and tail of them. ASCII has a short way that gives the same tokens."""
    ascii_only = len(data) == len(text)
    words = data.translate(LETTERS).split() if ascii_only else " ".join(WORD.findall(text.lower())).encode().split()
    return words if len(words) <= TOKENS else words[:HEAD] + words[HEAD - TOKENS :]


def _cjk(text: str) -> NDArray[np.uint32]:
    """Code points of the CJK characters of a text, head and tail of them."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = codes[(codes - CJK_FIRST) < CJK_SPAN]
    return codes if len(codes) <= TOKENS else np.concatenate((codes[:HEAD], codes[HEAD - TOKENS :]))


def _cjk_buckets(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Distinct buckets of the characters and of the bigrams, which reach over what stands between two of them.

    By sorting: np.unique hashes, which takes twenty times as long at this size.
    """
    singles = (codes * ONE) >> SHIFT
    pairs = ((codes[:-1] * LEFT + codes[1:]) * RIGHT) >> SHIFT
    buckets = np.concatenate((singles, pairs))
    buckets.sort()
    return buckets[np.flatnonzero(np.diff(buckets, prepend=BUCKETS))]


def _text_counters(text: str, data: bytes, words: int, distinct: int, cjk: int) -> list[float]:
    """Values for TEXT_NAMES: logs of counts, and shares."""
    size, tokens = len(text) or 1, words + cjk
    classes = _class_counts(data)
    letters, digits, capitals, *_ = classes
    return [
        log1p(tokens),
        *(1.0 if tokens > length else 0.0 for length in LENGTHS),
        *map(log1p, classes),
        digits / size,
        capitals / size,
        cjk / (tokens or 1),
        letters / (words or 1) / 8,
        distinct / (words or 1),
        log1p(len(CHOICE.findall(text))),
        1.0 if "```" in text else 0.0,
        log1p(text.count("？")),
        log1p(text.count("。")),
    ]


def _class_counts(data: bytes) -> list[int]:
    """How many bytes of each of BYTE_CLASSES; two ways to the same numbers, for short texts and for long ones."""
    if len(data) <= SHORT:
        return [len(data) - len(data.translate(None, members)) for members in BYTE_CLASSES.values()]
    histogram = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    counts: list[int] = (histogram @ CLASS_OF_BYTE).tolist()
    return counts


def _cue_counters(families: list[int]) -> list[float]:
    """How many cue words of each family the text has, as logs."""
    counts = [0.0] * len(FAMILIES)
    for family in families:
        counts[family] += 1.0
    return [log1p(count) if count else 0.0 for count in counts]
