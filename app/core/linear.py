"""The linear model: a bias, one weight per counter and one per hash bucket of words, and what its scores mean.

logit = bias + counters . counter_weights + sum(word_weights[buckets]) / sqrt(number of buckets); the score is its
sigmoid. Training folds scaling and calibration into the weights, so that the score is P(the large model is needed).
`quantiles` are the scores of the reference traffic that training chose (see `router_models.fit`), in equal steps
of share from 0.0 to 1.0. Pure arithmetic: no files, no state.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import exp, sqrt
from operator import mul, sub
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.features import BUCKETS, COUNTERS, features

FORMAT_VERSION = 1
QUANTILES = 1001
TOP = 3
NAMES = (*COUNTERS, "words")  # of contributions

Why = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """`counter_weights` and `counter_means` follow COUNTERS; `word_weights` has BUCKETS entries."""

    bias: float
    counter_weights: tuple[float, ...]
    counter_means: tuple[float, ...]
    word_weights: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    _weight_of: Callable[[int], float] = field(init=False, repr=False)
    _usual: tuple[float, ...] = field(init=False, repr=False)  # what each counter of an average request contributes

    def __post_init__(self) -> None:
        """Raises ValueError if a shape is wrong or a value is not finite."""
        shapes = (len(self.counter_weights), len(self.counter_means), self.word_weights.shape, self.quantiles.shape)
        if shapes != (len(COUNTERS), len(COUNTERS), (BUCKETS,), (QUANTILES,)):
            raise ValueError(f"unexpected shapes {shapes}")
        numbers = (self.bias, *self.counter_weights, *self.counter_means)
        if not all(np.isfinite(part).all() for part in (numbers, self.word_weights, self.quantiles)):
            raise ValueError("a weight is not finite")
        # Few words are quicker looked up one by one than through numpy, whose code has to come into the cache first.
        weights = array("f", self.word_weights.astype(np.float32).tobytes())
        object.__setattr__(self, "_weight_of", weights.__getitem__)
        object.__setattr__(self, "_usual", tuple(map(mul, self.counter_means, self.counter_weights)))

    def score(self, body: Mapping[str, Any]) -> float:
        """P(the large model is needed) for a parsed request body, 0..1."""
        return self.judge(body)[0]

    def judge(self, body: Mapping[str, Any]) -> tuple[float, Why]:
        """The score, and the TOP contributions to its logit by size, measured from an average request."""
        seen = features(body)
        parts = list(map(mul, seen.counters, self.counter_weights))
        words = self._words(seen.buckets)
        moved = [*map(sub, parts, self._usual), words]
        sizes = list(map(abs, moved))
        why = [(NAMES[at], moved[at]) for at in map(sizes.index, sorted(sizes)[: -TOP - 1 : -1])]
        return sigmoid(self.bias + sum(parts) + words), tuple(why)

    def explain(self, body: Mapping[str, Any]) -> list[tuple[str, float]]:
        """Contributions that sum to the logit: the baseline of an average request, then the largest first."""
        seen = features(body)
        moved = map(sub, map(mul, seen.counters, self.counter_weights), self._usual)
        parts = list(zip(NAMES, (*moved, self._words(seen.buckets)), strict=True))
        parts.sort(key=lambda part: -abs(part[1]))
        return [("baseline", self.bias + sum(self._usual)), *parts]

    def threshold(self, llm_share: float) -> float:
        """The score at or above which a share `llm_share` (0..1) of the reference traffic lies."""
        return float(np.interp(1.0 - llm_share, np.linspace(0.0, 1.0, QUANTILES), self.quantiles))

    def _words(self, buckets: list[int]) -> float:
        return sum(map(self._weight_of, buckets)) / sqrt(len(buckets) or 1)


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), for any finite logit."""
    return 1.0 / (1.0 + exp(-max(-700.0, min(700.0, logit))))
