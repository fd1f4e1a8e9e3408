"""The complexity model: what a trained router knows, and how it makes one number of it.

    heads   linear in counters and words: gain (what the large model scores more), difficulty (what the small one
            fails), everyday (what our raters say of everyday requests)
    trees   small sets on the counters alone, each made for one task and one head
    gate    linear in counters and words, then softmax: which of the tasks known from training this one is like
    expert  one per task: a bias and a weight for each head and each of its own tree sets

    logit = sum over tasks of gate * (bias + head_weights . heads + tree_weights . trees of the task)

The score is the logit's sigmoid, calibrated in training to P(the large model is needed). Linear in its parts once the
gate is known, so every score can be told as contributions that sum to its logit. `quantiles` are the scores of the
reference traffic that training chose, in equal steps of share from 0.0 to 1.0.

Words weigh in whole numbers of `word_steps` (int8): their sum is exact in any order. Pure arithmetic, no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import exp
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.features import BUCKETS, COUNTERS, Features, features
from app.core.forest import Forest
from app.core.types import Score, Why

FORMAT_VERSION = 2
QUANTILES = 1001
TOP = 3
WHOLE = ("word_weights", "set_tasks")

Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """One request between the features and the logit. `pull` is what a unit of each head moves the logit by."""

    counters: Floats
    words: Floats  # (heads + tasks): the words' share of `linear`
    linear: Floats  # (heads + tasks)
    gate: Floats  # (tasks), sums to 1
    trees: Floats  # (sets), each times its weight and the gate of its task
    pull: Floats  # (heads)
    logit: float


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """H heads, K tasks, S sets of trees. The columns of the linear part are the heads, then the tasks."""

    heads: tuple[str, ...]
    tasks: tuple[str, ...]
    bias: Floats  # (H + K)
    counter_weights: Floats  # (counters, H + K)
    counter_means: Floats  # (counters)
    word_weights: NDArray[np.int8]  # (BUCKETS, H + K)
    word_steps: Floats  # (H + K)
    forest: Forest
    set_tasks: NDArray[np.int64]  # (S): the task whose expert asks this set
    set_weights: Floats  # (S)
    task_bias: Floats  # (K)
    head_weights: Floats  # (K, H)
    quantiles: Floats
    _names: tuple[str, ...] = field(init=False, repr=False)  # of contributions
    _usual: Floats = field(init=False, repr=False)  # linear part of an average request without words

    def __post_init__(self) -> None:
        """Raises ValueError if a shape or a kind of number is wrong or a value is not finite."""
        heads, tasks, sets = len(self.heads), len(self.tasks), len(self.forest.starts)
        wanted: Mapping[str, tuple[int, ...]] = {
            "bias": (heads + tasks,),
            "counter_weights": (len(COUNTERS), heads + tasks),
            "counter_means": (len(COUNTERS),),
            "word_weights": (BUCKETS, heads + tasks),
            "word_steps": (heads + tasks,),
            "set_tasks": (sets,),
            "set_weights": (sets,),
            "task_bias": (tasks,),
            "head_weights": (tasks, heads),
            "quantiles": (QUANTILES,),
        }
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"{name} has the shape {array.shape} instead of {shape}")
            if array.dtype.kind != ("i" if name in WHOLE else "f"):
                raise ValueError(f"{name} has the wrong kind of number, {array.dtype}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite")
        asked = self.forest.counters.max(initial=0)  # trees that never branch ask nothing
        if self.set_tasks.min() < 0 or self.set_tasks.max() >= tasks or asked >= len(COUNTERS):
            raise ValueError("a set of trees names a task or a counter that is not there")
        names = (*COUNTERS, "words", "gate", *(f"trees:{task}" for task in self.tasks))
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_usual", self.bias + self.counter_means @ self.counter_weights)

    def score(self, body: Mapping[str, Any]) -> float:
        """P(the large model is needed) for a parsed request body, 0..1."""
        return sigmoid(self.logit(body))

    def logit(self, body: Mapping[str, Any]) -> float:
        return self.parts(features(body)).logit

    def judge(self, body: Mapping[str, Any]) -> Score:
        """The score, ready to tell the TOP contributions to its logit by size, measured from an average request."""
        parts = self.parts(features(body))
        return Score(sigmoid(parts.logit), partial(self._top, parts))

    def _top(self, parts: Parts) -> Why:
        moved = self._moved(parts).tolist()
        sizes = list(map(abs, moved))
        largest = sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)
        return tuple([(self._names[at], moved[at]) for at in largest[:TOP]])

    def explain(self, body: Mapping[str, Any]) -> list[tuple[str, float]]:
        """Contributions that sum to the logit: the baseline of an average request, then the largest first.

        A counter and "words" speak through the heads, "gate" is the experts' own bias, and "trees:<task>" the trees
        that the expert of a task asks.
        """
        parts = self.parts(features(body))
        told = sorted(zip(self._names, self._moved(parts).tolist(), strict=True), key=lambda part: -abs(part[1]))
        return [("baseline", float(self._usual[: len(self.heads)] @ parts.pull)), *told]

    def threshold(self, llm_share: float) -> float:
        """The score at or above which a share `llm_share` (0..1) of the reference traffic lies."""
        return float(np.interp(1.0 - llm_share, np.linspace(0.0, 1.0, QUANTILES), self.quantiles))

    def parts(self, seen: Features) -> Parts:
        heads = len(self.heads)
        counters = np.array(seen.counters)
        words = self._words(seen.buckets)
        linear = self.bias + counters @ self.counter_weights + words
        gate = softmax(linear[heads:])
        pull = gate @ self.head_weights
        trees = self.forest.values(counters) * self.set_weights * gate[self.set_tasks]
        logit = float(gate @ self.task_bias + pull @ linear[:heads] + trees.sum())
        return Parts(counters, words, linear, gate, trees, pull, logit)

    def _moved(self, parts: Parts) -> Floats:
        """By counter, words, gate and trees of each task; measured from an average request."""
        heads = len(self.heads)
        counters = (parts.counters - self.counter_means) * (self.counter_weights[:, :heads] @ parts.pull)
        rest = (parts.words[:heads] @ parts.pull, parts.gate @ self.task_bias)
        return np.concatenate((counters, rest, np.bincount(self.set_tasks, parts.trees, len(self.tasks))))

    def _words(self, buckets: NDArray[np.intp]) -> Floats:
        """Whole numbers below 2 ** 24 are exact in float32, whose product is the quickest way to a sum of rows."""
        count = len(buckets)
        if not count:
            return np.zeros(len(self.word_steps))
        weights = self.word_weights.take(buckets, axis=0).astype(np.float32)
        total: Floats = np.ones(count, np.float32) @ weights * (self.word_steps * count**-0.5)
        return total


def softmax(logits: Floats) -> Floats:
    """Shares that sum to 1, whatever the size of the logits."""
    powers = np.exp(logits - logits.max())
    shares: Floats = powers / powers.sum()
    return shares


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), for any finite logit."""
    return 1.0 / (1.0 + exp(-max(-700.0, min(700.0, logit))))
