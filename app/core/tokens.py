"""How many tokens a prompt is: guessed from its bytes before anybody counts, and mended by those who count.

A vocabulary has whole words and syllables for letters, about a token for each other sign, and for Chinese one for
most characters and for many pairs. So the guess gives each kind of byte its weight: English prose comes out at
about 4.3 characters a token, code at 3 to 3.5, Chinese at 0.7 tokens a character (vocabularies made for it have
0.6, others up to 1), which leaves an error of a third either way. What remains belongs to the vocabulary of one
backend, and `TokenRate` learns it from what that backend reports.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.core.types import Usage

MESSAGE = 4  # tokens around each message: its marks, its role, the line ends
ANSWER = 3  # the opening of the answer, which stands in the prompt
FIELD = 2  # of a tool's description: quotes, colon and comma, as one JSON string has them

_WORDS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t\n\r\f\v"
_DIGITS = b"0123456789"
_WORD, _DIGIT, _SIGN = 1 / 4.75, 0.6, 0.7  # tokens for each letter or space, digit, other ASCII sign
_TWO, _THREE, _FOUR = 0.4, 0.7, 2.0  # for each character of two bytes (accents, Cyrillic), three (CJK), four (emoji)

LEAST, MOST = 0.5, 2.0  # a vocabulary does not differ more; what does is no vocabulary
WEIGHT = 0.1  # of one answer in the learnt rate
ENOUGH = 100  # tokens of a prompt that teaches: in a shorter one the template's own words would count
FAR, MARGIN = 0.5, 500


def text_tokens(text: str) -> float:
    """Tokens of a text, with fractions, so that the parts of a prompt may be added up."""
    ascii_only = text.encode("ascii", "ignore")
    rest = ascii_only.translate(None, _WORDS)
    signs = len(rest.translate(None, _DIGITS))
    tokens = (len(ascii_only) - len(rest)) * _WORD + (len(rest) - signs) * _DIGIT + signs * _SIGN
    others = len(text) - len(ascii_only)
    if others:
        size = len(text.encode("utf-8", "surrogatepass")) - len(ascii_only)
        tokens += others * _weight(size / others)
    return tokens


def _weight(size: float) -> float:
    """Tokens of a character, by the mean size in bytes of all that are not ASCII: between two kinds in proportion."""
    if size <= 3:
        return _TWO + (_THREE - _TWO) * (size - 2)
    return _THREE + (_FOUR - _THREE) * (size - 3)


def prompt_tokens(texts: Iterable[str], messages: int = 0, tools: list[Any] | None = None) -> int:
    """Of a whole prompt: its texts, what the template puts around `messages`, and the tools it describes."""
    tokens = sum(map(text_tokens, texts))
    if messages:
        tokens += messages * MESSAGE + ANSWER
    return round(tokens + _tool_tokens(tools)) if tools else round(tokens)


def _tool_tokens(tools: list[Any]) -> float:
    """Of JSON values. It does not recurse, so deep nesting cannot hurt."""
    words: list[str] = []
    left: list[Any] = [tools]
    fields = 0
    while left:
        one = left.pop()
        if isinstance(one, dict):
            words += one.keys()
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str):
            words.append(one)
        else:
            fields += 1
    return text_tokens(" ".join(words)) + (fields + len(words)) * FIELD


class TokenRate:
    """Reported tokens for each guessed one at one backend: a running mean, 1.0 until something is learnt.

        estimate = rate.of(raw)              before the answer
        rate.learn(raw, usage)               after it

    Prompts with images, audio or token arrays are not for it: their tokens are not in the guess.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1.0

    def of(self, raw: int) -> int:
        """Tokens of a prompt that was guessed at `raw`."""
        return round(raw * self.value)

    def learn(self, raw: int, usage: Usage) -> None:
        """From the usage of a whole answer to a prompt that was guessed at `raw` tokens.

        A count far below the guess teaches nothing: the prompt was cut, or the backend does not count what it
        had in its cache. A guess of ours that stands where the backend said nothing teaches nothing either.
        """
        if usage.estimated or raw < ENOUGH or usage.input < FAR * self.value * raw:
            return
        seen = min(max(usage.input / raw, LEAST), MOST)
        self.value += WEIGHT * (seen - self.value)


def is_truncated(estimate: int, reported: int) -> bool:
    """Did the backend read far less than was sent?

    Less than half, because guess and vocabulary differ by a third at most and the rate takes even that away; and
    by more than 500 tokens, because a template, a picture or a cached beginning can hide that much in a short one.
    """
    return reported < FAR * estimate and estimate - reported > MARGIN
