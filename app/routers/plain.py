"""Routers that need no training: baselines to measure against, and a way to run without a score's opinion."""

from __future__ import annotations

from math import exp, log, log1p
from zlib import crc32

import numpy as np

from app.core.asked import asked
from app.core.chat import ChatRequest
from app.core.types import Score

USUAL = 400.0  # characters at which `length` says one half


class LengthRouter:
    """The longer the text that is asked, the higher the score."""

    name = "length"
    version = "1"

    def score(self, request: ChatRequest) -> Score:
        length = _length(request)
        return Score(length / (length + USUAL), lambda: (("length", log1p(length)),))

    def threshold(self, llm_share: float) -> float:
        """As if lengths were spread like a logistic curve around `USUAL`; calibrate on traffic for a better one."""
        return 1.0 - llm_share

    def explain(self, request: ChatRequest) -> list[tuple[str, float]]:
        return [("length", log((_length(request) or 1) / USUAL))]


class RandomRouter:
    """A coin that falls the same way for the same text, so that a retry goes where the first try went."""

    name = "random"
    version = "1"

    def score(self, request: ChatRequest) -> Score:
        text, _ = asked(request.body)
        return Score(crc32(text.encode("utf-8", "surrogatepass")) / 2**32)

    def threshold(self, llm_share: float) -> float:
        return 1.0 - llm_share

    def explain(self, request: ChatRequest) -> list[tuple[str, float]]:
        value = min(max(self.score(request).value, 1e-9), 1 - 1e-9)
        return [("coin", log(value / (1 - value)))]


class ConstantRouter:
    """Says the same of every request."""

    name = "constant"
    version = "1"

    def __init__(self, value: float = 0.0) -> None:
        self._logit = float(
            np.clip(log(value / (1 - value)) if 0 < value < 1 else (-30.0 if value <= 0 else 30.0), -30, 30)
        )

    def score(self, request: ChatRequest) -> Score:
        return Score(1 / (1 + exp(-self._logit)))

    def threshold(self, llm_share: float) -> float:
        """Everything or nothing; nothing unless all is wanted."""
        return 0.0 if llm_share >= 1.0 else 1.0

    def explain(self, request: ChatRequest) -> list[tuple[str, float]]:
        return [("constant", self._logit)]


def _length(request: ChatRequest) -> float:
    """Characters of the last user message, as far as scoring looks (about 6,000)."""
    text, _ = asked(request.body)
    return float(len(text))
