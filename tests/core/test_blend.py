"""The linear model: its arithmetic, its explanation and its thresholds, on weights made by hand."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest

from app.core.features import BUCKETS, COUNTERS, features
from app.core.linear import QUANTILES, LinearModel, sigmoid


def ask(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def model() -> LinearModel:
    """Word weights from a fixed seed, and counter weights that differ from each other."""
    size = len(COUNTERS)
    return LinearModel(
        bias=-0.5,
        counter_weights=tuple(np.linspace(-0.1, 0.1, size).tolist()),
        counter_means=tuple(np.linspace(0.0, 1.0, size).tolist()),
        word_weights=np.random.default_rng(1).normal(size=BUCKETS).astype(np.float32),
        quantiles=np.linspace(0.0, 1.0, QUANTILES, dtype=np.float32) ** 2,
    )


@pytest.mark.parametrize("text", ["", "Hello there", "证明根号2是无理数", "Prove that 根号2 is irrational."])
def test_score_is_the_sigmoid_of_the_sum(text: str) -> None:
    """The score is what numpy computes from the same features the plain way."""
    one, seen = model(), features(ask(text))
    words = one.word_weights[seen.buckets].astype(float).sum() / sqrt(max(len(seen.buckets), 1))
    logit = one.bias + np.dot(seen.counters, one.counter_weights) + words
    assert one.score(ask(text)) == pytest.approx(1 / (1 + exp(-logit)), abs=1e-6)


@pytest.mark.parametrize("text", ["", "Hello there", "证明根号2是无理数"])
def test_explanation_sums_to_the_logit(text: str) -> None:
    """Baseline, counters and words add up to the logit, the largest first."""
    parts = model().explain(ask(text))
    score = model().score(ask(text))
    assert sum(value for _, value in parts) == pytest.approx(log(score / (1 - score)), abs=1e-6)
    assert parts[0][0] == "baseline"
    assert {name for name, _ in parts} == {"baseline", "words", *COUNTERS}
    sizes = [abs(value) for _, value in parts[1:]]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("text", ["Hello there", "证明根号2是无理数"])
def test_a_judgement_names_what_moved_it_most(text: str) -> None:
    """With the score come the largest contributions of the explanation."""
    score, why = model().judge(ask(text))
    assert score == model().score(ask(text))
    assert [name for name, _ in why] == [name for name, _ in model().explain(ask(text))[1:4]]
    assert dict(why) == pytest.approx(dict(model().explain(ask(text))[1:4]))


@pytest.mark.parametrize(("share", "threshold"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.25), (0.05, 0.9025), (0.0005, 0.999)])
def test_threshold_reads_the_quantiles(share: float, threshold: float) -> None:
    """A share of the reference traffic lies at or above its threshold; between two steps it is interpolated."""
    assert model().threshold(share) == pytest.approx(threshold, abs=1e-4)


@pytest.mark.parametrize(("logit", "value"), [(0.0, 0.5), (1e6, 1.0), (-1e6, 0.0)])
def test_sigmoid_never_overflows(logit: float, value: float) -> None:
    """Any finite logit has a score."""
    assert sigmoid(logit) == pytest.approx(value)


@pytest.mark.parametrize(
    "broken",
    [
        {"counter_weights": (0.0,)},
        {"word_weights": np.zeros(3, np.float32)},
        {"quantiles": np.zeros((QUANTILES, 1), np.float32)},
        {"bias": float("nan")},
        {"word_weights": np.full(BUCKETS, np.inf, np.float32)},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_wrong_arrays_are_refused(broken: dict[str, Any]) -> None:
    """Shapes and finite values are checked when the model is made."""
    with pytest.raises(ValueError, match=r"shapes|finite"):
        replace(model(), **broken)
